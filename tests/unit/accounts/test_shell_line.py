from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.accounts.shell_line import MAX_DEPTH, TooDeepError, commands_in


def words(line: str) -> list[list[str]]:
    return sorted(command.words for command in commands_in(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("  # nothing; but a comment", []),
        ("a b  c", [["a", "b", "c"]]),
        ("a#b", [["a#b"]]),
        ("a && b || c; d | e & f\ng |& h", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"], ["h"]]),
        ("a '&& b' \"; c\" \\| d", [["a", "&& b", "; c", "|", "d"]]),
        ("a '' b", [["a", "", "b"]]),
        ("p'i'p \"in\"st\\all", [["pip", "install"]]),
        ("a \\\n b", [["a", "b"]]),
        ('a "b\\\nc"', [["a", "bc"]]),
        ("a $'it\\'s' b", [["a", "it's", "b"]]),
        ("(a; b)", [["a"], ["b"]]),
        ("{ a; b; }", [["a"], ["b"]]),
        ("! a", [["a"]]),
        ("if a; then b; elif c; then d; else e; fi", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("while a; do b; done | c", [["a"], ["b"], ["c"]]),
        ("for x in a b; do c $x; done", [["c", "$x"]]),
        ("f() { a; }; f", [["a"], ["f"]]),
        ("function f { a; }", [["a"]]),
        ("x=(a b $(c))", [["c"], ["x=()"]]),
    ],
)
def test_words_in_command_position_are_found(line: str, expected: list[list[str]]) -> None:
    assert words(line) == sorted(expected)


@pytest.mark.parametrize(
    "line",
    [
        "x $(run)",
        'x "$(run)"',
        "x `run`",
        'x "`run`"',
        "x $(y $(run))",
        "x `y \\`run\\``",
        "x <(run)",
        "x >(run)",
        "x ${y:-$(run)}",
        'x ${y:-"$(run)"}',
        "x=$(run)",
        "x $(( $(run) + 1 ))",
        "x $((run) )",
        "x <<EOF\n$(run)\nEOF",
        "x $(case y in (a) z;; b|c) run;; esac)",
        "x $(case y in\na) run\nesac)",
    ],
)
def test_what_a_substitution_runs_is_found(line: str) -> None:
    assert ["run"] in words(line)


@pytest.mark.parametrize(
    "line",
    [
        "x '$(run)'",
        'x "\\$(run)"',
        "x \\$(",
        "x '`run`'",
        "x $((run + 1))",
        "x # $(run)",
        "x <<'EOF'\n$(run)\nEOF",
        "x <<EOF\nrun\nEOF",
        "case x in run) y;; esac",
        "case x in\n(run|z) y;;\n run) y\nesac",
        "x > run",
        "x 2>&1 >>run <run",
        "x &> run",
        "x <<< run",
    ],
)
def test_data_is_not_mistaken_for_commands(line: str) -> None:
    assert all(found[0] != "run" for found in words(line))


def test_a_redirection_is_no_word() -> None:
    assert words(">out 2>&1 a {fd}<in b 3x>c") == [["a", "b", "3x"]]


def test_here_documents_belong_to_their_commands() -> None:
    found = commands_in("a <<ONE | b <<-'TWO'; c\n1\n$x\nONE\n\t2\n\tTWO\nd")
    assert [(command.words, command.documents) for command in found] == [
        (["a"], ["1\n$x"]),
        (["b"], ["\t2"]),
        (["c"], []),
        (["d"], []),
    ]


def test_quoted_reserved_words_are_commands() -> None:
    assert words("\\case x in; 'if' y") == [["case", "x", "in"], ["if", "y"]]


@pytest.mark.parametrize("opening", ["$(", '"${', "a=(", "<("])
def test_hostile_nesting_is_given_up(opening: str) -> None:
    with pytest.raises(TooDeepError, match=str(MAX_DEPTH)):
        commands_in(opening * 10_000)


@given(st.text(alphabet="ab $(){}[]<>|&;'\"`\\\n\t#=!1case inesac"))
def test_any_text_can_be_read(text: str) -> None:
    try:
        found = commands_in(text)
    except TooDeepError:
        return
    assert all(command.words for command in found)
