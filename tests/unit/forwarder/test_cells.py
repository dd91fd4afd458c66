"""The language of a cell: by default, by ``%%lang``, by alias, and by names that only a gateway knows."""

from __future__ import annotations

import pytest

from embedenv_jupyter.forwarder.cells import Cell, CellMagicError, LanguageNameError, language_id, split
from embedenv_jupyter.languages.registry import Languages

LANGUAGES = Languages.shipped()


@pytest.mark.parametrize(
    ("source", "cell"),
    [
        ("print(1)", Cell("python", "print(1)")),
        ("", Cell("python", "")),
        ("%%lang bash\necho 1\necho 2", Cell("bash", "echo 1\necho 2")),
        ("%%lang  js \t\nlet x", Cell("javascript", "let x")),
        ("%%lang C++\r\nint x;", Cell("cpp", "int x;")),
        ("%%lang Go", Cell("go", "")),
        ("%%lang cobol85\nX", Cell("cobol85", "X")),
        ("%%lang php\n<?php 1;", Cell("php", "<?php 1;")),
        ("\n%%lang bash", Cell("python", "\n%%lang bash")),
        (" %%lang bash", Cell("python", " %%lang bash")),
        ("%%language bash", Cell("python", "%%language bash")),
        ("%%bash\nls", Cell("python", "%%bash\nls")),
        ("# %%lang bash", Cell("python", "# %%lang bash")),
    ],
)
def test_the_first_line_may_name_the_language(source: str, cell: Cell) -> None:
    assert split(source, "python", LANGUAGES) == cell


@pytest.mark.parametrize("source", ["%%lang", "%%lang \nx", "%%lang a b\nx", "%%lang\tbash -c\nx"])
def test_a_magic_needs_one_word(source: str) -> None:
    with pytest.raises(CellMagicError, match="as in: %%lang bash"):
        split(source, "python", LANGUAGES)


@pytest.mark.parametrize("name", ["-x", "a/b", 'a"b', "é", "x" * 41, ""])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(LanguageNameError, match="cannot be a language"):
        language_id(name, LANGUAGES)


def test_every_alias_stands_for_its_language() -> None:
    for language in LANGUAGES:
        for name in (language.id, *language.aliases):
            assert language_id(name.upper(), LANGUAGES) == language.id


@pytest.mark.parametrize(("code", "is_blank"), [("", True), (" \n\t\n", True), ("0", False)])
def test_a_blank_cell_is_known(code: str, is_blank: bool) -> None:
    assert Cell("python", code).is_blank is is_blank
