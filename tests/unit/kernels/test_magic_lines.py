"""Which cells are magics, and what they ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.kernels.magics import lines
from embedenv_jupyter.kernels.magics.answer import as_html, as_text
from embedenv_jupyter.kernels.magics.lines import Home, Join, Keys, Magic, MagicError, New, Show
from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.sandbox.magic_stubs import MAGICS

NAMES = tuple(MAGICS)


def test_every_magic_that_has_a_stub_is_read() -> None:
    assert {lines.read(name) for name in NAMES} == {Magic(name, "", "") for name in NAMES}


@pytest.mark.parametrize(
    ("code", "magic"),
    [
        ("%embedenv", Magic("%embedenv", "", "")),
        ("\n  \n\t\n%embedenv new", Magic("%embedenv", "new", "")),
        ("%%lang c\r\nint main;\r\n", Magic("%%lang", "c", "int main;\r\n")),
        ("%%room  'my room' \n\nprint(1)\n", Magic("%%room", "'my room'", "\nprint(1)\n")),
        ("%%room\t\tx\n%%lang c\n1", Magic("%%room", "x", "%%lang c\n1")),
    ],
)
def test_magic_is_the_first_line_that_is_not_blank(code: str, magic: Magic) -> None:
    assert lines.read(code) == magic


@pytest.mark.parametrize(
    "code",
    [
        "", " ", "\n", "print(1)", " %embedenv", "\t%%lang c", "x = 1\n%embedenv", "# note\n%%room a\n1",
        "%embedenv?", "%embedenv??", "?%embedenv", "%%lang?", "%embedenvs", "%embedenv.new", "%%embedenv",
        "%room x", "%lang c", "%%time\n%%room x\n1", "'%embedenv'", "%%rooms x", "%%LANG c", "\x0b%embedenv",
        "\u2028%embedenv", "\ufeff%embedenv",
    ],
)  # fmt: skip
def test_everything_else_is_the_kernels(code: str) -> None:
    assert lines.read(code) is None


pieces = st.sampled_from([*NAMES, " ", "\n", "\r", "\t", "?", "x", "'", "new", "\u2028", "%", "\\"])
texts = st.text() | st.lists(pieces, max_size=12).map("".join)


@given(texts)
def test_any_text_is_a_magic_or_goes_to_the_kernel_untouched(code: str) -> None:
    magic = lines.read(code)
    content = [line for line in code.split("\n") if line.strip()]
    first = content[0] if content else ""
    begins = [
        name for name in NAMES if first == name or (first.startswith(name) and first[len(name)].isspace())
    ]
    assert [magic.name] == begins if magic is not None else not begins
    if magic is not None:
        assert code.endswith(magic.body)
        head = code[: len(code) - len(magic.body)]
        assert head.strip() == (f"{magic.name}{first[len(magic.name) :]}").strip()
        assert magic.rest == first[len(magic.name) :].strip()


@given(st.sampled_from(NAMES), st.text(), st.text())
def test_any_arguments_are_read_or_refused_with_a_reason(name: str, rest: str, body: str) -> None:
    magic = Magic(name, rest, body)
    for read in (lines.command, lines.room_target, lines.language_call):
        refusal = ""
        try:
            read(magic)
        except MagicError as exc:
            refusal = str(exc)
        assert refusal == "" or len(refusal) > 20


@pytest.mark.parametrize(
    ("rest", "command"),
    [
        ("", Show()),
        ("new", New()),
        ("new --name 'my room' --memory=256 --backend docker", New("my room", 256, "docker")),
        ("join abc", Join("abc")),
        ("home", Home()),
        ("keys", Keys(Role.RUN, None)),
        ("keys --expires 90m --role view", Keys(Role.VIEW, 5400.0)),
    ],
)
def test_command_is_read(rest: str, command: lines.Command) -> None:
    assert lines.command(Magic("%embedenv", rest, "\n")) == command


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        ("join", "%embedenv join KEY"),
        ("join a b", "%embedenv join KEY"),
        ("home now", "%embedenv home"),
        ("new --memory", "needs a value"),
        ("new --memory lots", "MiB"),
        ("new --memory 1", "MiB"),
        ("new --memory ٢٥٦", "MiB"),
        ("new --name a --name b", "twice"),
        ("new --role run", "--backend"),
        ("new --name " + "n" * 65, "64"),
        ("keys --role own", "view, run or edit"),
        ("keys --expires soon", "1h"),
        ("keys --expires 0s", "1h"),
        ("keys --expires 366d", "365d"),
        ("x" * 5000, "4096"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(rest: str, word: str) -> None:
    with pytest.raises(MagicError) as caught:
        lines.command(Magic("%embedenv", rest, ""))
    assert word in str(caught.value)


def test_key_behind_a_misspelt_word_is_not_repeated() -> None:
    magic = Magic("%embedenv", "jion secret-key", "")
    with pytest.raises(MagicError) as caught:
        lines.command(magic)
    assert "secret-key" not in str(caught.value)
    assert magic.may_hold_key
    assert "secret-key" not in magic.masked()


@pytest.mark.parametrize(("rest", "may"), [("", False), ("new", False), ("keys", False), ("join k", True)])
def test_only_what_may_be_a_key_is_masked(rest: str, may: bool) -> None:
    assert Magic("%embedenv", rest, "").may_hold_key is may


def test_masked_cell_keeps_what_is_below_the_magic() -> None:
    assert Magic("%%room", "key", "print(1)\n").masked() == "%%room …\nprint(1)\n"


def test_arguments_of_a_program_are_split_like_a_shells() -> None:
    assert lines.language_call(Magic("%%lang", "c 'a b' c", "int main;")) == ("c", ["a b", "c"])


@given(st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_tables_hold_what_they_are_given_escaped(title: str, rows: list[tuple[str, str]]) -> None:
    shown = as_html(title, rows)
    tags = {"<table>", "</table>", "<caption>", "</caption>", "<tr>", "</tr>", "</th>", "</td>"}
    tags |= {'<th style="text-align:left">', '<td style="text-align:left">'}
    for tag in tags:
        shown = shown.replace(tag, "")
    assert "<" not in shown
    assert ">" not in shown
    assert all(value in as_text(title, rows) for _, value in rows)
