"""The shipped languages are complete and found by name, alias and extension."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from embedenv_jupyter.languages.registry import Languages, UnknownLanguageError

NAMED = ("python", "javascript", "c", "cpp", "java", "go", "rust", "ruby", "php", "typescript", "kotlin")


def test_the_eleven_named_languages_are_there() -> None:
    languages = Languages.shipped()
    for name in NAMED:
        language = languages.named(name)
        assert language.run
        assert language.source.endswith(f".{language.extension}")


def test_aliases_and_extensions() -> None:
    languages = Languages.shipped()
    assert languages.named("PY").id == "python"
    assert languages.of_file(PurePath("x/y.CPP")).id == "cpp"


def test_an_unknown_language_names_those_that_are_known() -> None:
    with pytest.raises(
        UnknownLanguageError, match=r"'cobol80' is no language known here; known are: python,"
    ):
        Languages.shipped().named("cobol80")
    with pytest.raises(UnknownLanguageError, match="'Makefile'"):
        Languages.shipped().of_file(PurePath("Makefile"))
