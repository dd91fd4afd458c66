"""The shipped languages are complete and found by name, alias and extension; broken data is refused."""

from __future__ import annotations

import shlex
import tomllib
from importlib.resources import files
from pathlib import PurePath
from typing import Any

import pytest

from embedenv_jupyter.languages.language import (
    TOOLCHAINS,
    Language,
    LanguageDataError,
    PromptWay,
    SessionWay,
    language_from,
)
from embedenv_jupyter.languages.registry import Languages, UnknownLanguageError
from embedenv_jupyter.sandbox import spec
from embedenv_jupyter.sandbox.supervisor import program_environment

NAMED = ("python", "javascript", "c", "cpp", "java", "go", "rust", "ruby", "php", "typescript", "kotlin")
LANGUAGES = Languages.shipped()


def row_of(name: str) -> dict[str, Any]:
    text = files("embedenv_jupyter.languages").joinpath("languages.toml").read_text("utf-8")
    row = tomllib.loads(text)["languages"][name]
    assert isinstance(row, dict)
    return row


def test_the_eleven_named_languages_come_first() -> None:
    assert tuple(language.id for language in LANGUAGES)[: len(NAMED)] == NAMED
    assert len(LANGUAGES) == 59


def test_all_but_those_without_a_way_have_sessions() -> None:
    without = {language.id for language in LANGUAGES if language.session is None}
    assert without == {
        "zig", "fortran", "pascal", "ada", "cobol", "assembly", "fsharp", "awk", "haxe", "vala", "objectivec",
        "brainfuck", "basic", "algol68", "wat",
    }  # fmt: skip


@pytest.mark.parametrize("language", list(LANGUAGES), ids=lambda language: language.id)
def test_a_shipped_language_agrees_with_itself(language: Language) -> None:
    assert language.source in language.run or language.compile or "Main" in language.run
    assert not language.compile or language.source in language.compile
    for line in (language.compile, language.run, language.version, language.prepare):
        shlex.split(line)  # quotes are closed
    shows = language.prompt is not PromptWay.NONE
    assert ("name> " in language.samples.echo) == shows or language.id == "brainfuck"


def test_languages_that_read_lines_show_their_prompts() -> None:
    hidden = {language.id for language in LANGUAGES if language.prompt is PromptWay.FLUSHED}
    assert hidden == {"rust", "clojure", "haskell", "commonlisp", "tcl"}
    assert {language.id for language in LANGUAGES if language.prompt is PromptWay.NONE} == {
        "sqlite",
        "fsharp",
    }


def test_aliases_and_extensions() -> None:
    assert LANGUAGES.named("PY").id == "python"
    assert LANGUAGES.named("C#").id == "csharp"
    assert LANGUAGES.of_file(PurePath("x/y.CPP")).id == "cpp"
    assert LANGUAGES.of_file(PurePath("plot.r")).id == "r"
    assert LANGUAGES.of_file(PurePath("main.ts")).id == "typescript", "the first of several"
    assert LANGUAGES.of_file(PurePath("main.pl")).id == "perl"


def test_an_unknown_language_names_those_that_are_known() -> None:
    with pytest.raises(
        UnknownLanguageError, match=r"'cobol80' is no language known here; known are: python,"
    ):
        LANGUAGES.named("cobol80")
    with pytest.raises(UnknownLanguageError, match="'Makefile'"):
        LANGUAGES.of_file(PurePath("Makefile"))


def test_what_a_session_takes_is_installed_with_the_language() -> None:
    assert LANGUAGES.named("c").all_packages["apt"] == ("gcc", "libc6-dev", "clang-tools-22")
    assert LANGUAGES.named("zig").all_packages == {"apt": (), "pip": ("ziglang==0.14.1",), "npm": ()}


def test_a_language_is_read_as_it_was_written() -> None:
    language = language_from("kotlin", row_of("kotlin"))
    assert language.session is not None
    assert language.session.way is SessionWay.KERNEL
    assert language.env["KOTLINC_JAVA_OPTS"].startswith(f"-XX:SharedArchiveFile={TOOLCHAINS}/")
    assert language.needs == ("java", "kotlinc", "kotlin")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": 3}, "python.name: is no text"),
        ({"name": ""}, "python.name: is empty"),
        ({"run": "python3\0"}, "python.run: is no text"),
        ({"tier": "best"}, "python.tier: is not one of core, extra"),
        ({"prompt": "maybe"}, "python.prompt: is not one of shown, flushed, none"),
        ({"aliases": "py"}, "python.aliases: is no list"),
        ({"aliases": ["Py"]}, "python.aliases: 'Py' is not allowed in it"),
        ({"source": "../main.py"}, "python.source: is no plain file name"),
        ({"extension": "rb"}, "python.source: has another extension"),
        ({"needs": []}, "python.needs: is empty"),
        ({"colour": "red"}, "python.colour: is no known key"),
        ({"editor": 3}, "python.editor: is no table"),
        ({"packages": {"pip": ["numpy"]}}, "python.packages.pip: numpy names no version"),
        ({"packages": {"npm": ["@scope/x"]}}, "python.packages.npm: @scope/x names no version"),
        ({"packages": {"brew": []}}, "python.packages.brew: is no known key"),
        ({"env": {"A": 1}}, "python.env.A: is no text"),
        (
            {"session": {"way": "magic", "command": "x", "keeps_on_interrupt": True}},
            "python.session.way: is not one of driver, replay, kernel",
        ),
        (
            {"session": {"way": "driver", "command": "x", "keeps_on_interrupt": 1}},
            "python.session.keeps_on_interrupt: is neither true nor false",
        ),
        (
            {"session": {"way": "driver", "command": "x", "keeps_on_interrupt": True, "build": "make"}},
            "python.session.build: and built stand together",
        ),
    ],
)
def test_broken_data_is_refused_by_its_place(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(LanguageDataError) as caught:
        language_from("python", row_of("python") | change)
    assert fault in str(caught.value)


def test_a_missing_key_is_named() -> None:
    row = row_of("python")
    del row["run"]
    with pytest.raises(LanguageDataError, match=r"languages\.toml: python\.run: is missing"):
        language_from("python", row)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("schema = ", "no TOML"),
        ("schema = 1\n", "schema: is 1, 2 is read here"),
        ("schema = 2\nlanguages = 3\n", "languages: is no table"),
        ('schema = 2\nlanguages = { "a b" = {} }\n', "a b: is no name"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, fault: str) -> None:
    with pytest.raises(LanguageDataError, match=fault):
        Languages.read(text)


def test_two_languages_cannot_have_one_name() -> None:
    one, other = LANGUAGES.named("perl"), LANGUAGES.named("prolog")
    with pytest.raises(LanguageDataError, match="'pl' is perl already"):
        Languages({"perl": one, "pl": language_from("pl", row_of("prolog"))})
    assert len(Languages({"perl": one, "prolog": other})) == 2


def test_rooms_have_on_their_path_what_is_installed_for_languages() -> None:
    assert TOOLCHAINS == spec.TOOLCHAINS
    path = program_environment(spec.SandboxSpec(id="a"), spec.HOME)["PATH"].split(":")
    assert {f"{TOOLCHAINS}/bin", f"{TOOLCHAINS}/venv/bin"} < set(path)
    assert path.index("/usr/bin") < path.index(f"{TOOLCHAINS}/venv/bin"), "its python3 is not the room's"


@pytest.mark.parametrize("language", list(LANGUAGES), ids=lambda language: language.id)
def test_what_a_command_names_of_ours_is_shipped(language: Language) -> None:
    session = language.session
    lines = [language.compile, language.run, language.prepare]
    lines += [session.command, session.build] if session else []
    folder = files("embedenv_jupyter.languages")
    for word in (word for line in lines for word in shlex.split(line)):
        _, ours, path = word.partition("$EMBEDENV_LANGUAGES/")
        if ours and not path.startswith("lib ") and "." in path.rpartition("/")[2]:
            assert folder.joinpath(path).is_file(), path
