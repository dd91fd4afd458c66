from __future__ import annotations

import dataclasses
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.accounts.costs import COSTS, FREE, MAX_CHARACTERS, cost_of

FREE_LINES = [
    *sorted(FREE),
    "",
    "   ",
    "# pip install x",
    "cd app && ls -la | head -n 3",
    "echo 'pip install x'; pwd",
    "A=1",
    "A=1 B=2 cat x > out",
    "/bin/ls",
    "sudo ls",
    "time -p env",
    "if cat a; then echo b; fi",
    "echo $((1 + 2))",
    "cat <<EOF > install.md\npip install x\nEOF",
    "bash -c 'cd x; ls'",
]

STANDARD_LINES = [
    "python script.py",
    "node app.js",
    "gcc main.c",
    "go run main.go",
    "git status",
    "git commit -m 'git clone'",
    "git log clone",
    "git -C clone status",
    "pip list",
    "pip show install",
    "python -m venv install",
    "python -c 'import pip' -m pip install",
    "python -m cat",
    "npm test",
    "yarn test",
    "cargo run",
    "some-unknown-program",
    "./pip.sh install",
    "bash",
    "bash build.sh",
    "sudo",
    "nohup",
    "xargs -n 1 gcc",
    "cd project && python -u main.py",
    "echo $PATH | grep bin",
    "$X install",
]

HEAVY_LINES = [
    "pip install x",
    "pip3 install x",
    "pip3.11 --proxy http://p install x",
    "python -m pip install x",
    "python3.12 -Im pip install x",
    "python -W error -m pip install x",
    "python -mpip install x",
    "npm install",
    "npm i left-pad",
    "npm --prefix web ci",
    "yarn add x",
    "yarn",
    "git clone https://x",
    "git -C dir -c a=b clone x",
    "/usr/bin/git clone x",
    "wget x",
    "curl -s x",
    "docker ps",
    "cargo build --release",
    "cargo --color never build",
    "uv pip install x",
    "ls; ls && ls || wget x",
    "ls | curl x",
    "ls & wget x",
    "ls\nwget x",
    "(cd a; wget x)",
    "{ wget x; }",
    "echo $(curl x)",
    'echo "`curl x`"',
    "diff <(ls) <(curl x)",
    "A=$(curl x)",
    "A=1 B='x y' pip install x",
    "env -i A=1 pip install x",
    "env -S 'pip install x'",
    "sudo -u ana -- pip install x",
    "sudo A=1 pip install x",
    "time -p nohup nice -n 5 pip install x",
    "exec pip install x",
    "timeout -k 5 10 wget x",
    "stdbuf -oL curl x",
    "echo x | xargs -n 1 pip install",
    "bash -lc 'cd x && pip install y'",
    "sh -c \"sh -c 'curl x'\"",
    "sudo bash <<EOF\npip install x\nEOF",
    "su - ana -c 'pip install x'",
    "eval pip install x",
    "watch -n 5 curl x",
    "find . -name x -exec wget {} \\; -print",
    "find . -exec ls {} \\; -exec wget {} +",
    "f() { wget x; }; f",
    "while true; do curl x; done",
    "case x in a) ls;; b) curl x;; esac",
    "\\pip install x",
    "p'i'p in\"sta\"ll x",
    ">out 2>&1 pip install x",
    "pip \\\n install x",
]


@pytest.mark.parametrize("line", FREE_LINES)
def test_free_lines(line: str) -> None:
    assert cost_of(line) == 0


@pytest.mark.parametrize("line", STANDARD_LINES)
def test_standard_lines(line: str) -> None:
    assert cost_of(line) == 1


@pytest.mark.parametrize("line", HEAVY_LINES)
def test_heavy_lines(line: str) -> None:
    assert cost_of(line) == 5


def test_prices_can_be_replaced() -> None:
    table = dataclasses.replace(
        COSTS, free=COSTS.free | {"make"}, heavy={"train": frozenset({"deep"})}, heavy_cost=9
    )
    assert [cost_of(line, table) for line in ("make", "pip install x", "train", "train deep")] == [0, 1, 1, 9]


@pytest.mark.parametrize("line", ["echo " + "$(" * 40 + "ls", "eval " * 40 + "ls", "sudo " * 40 + "ls"])
def test_what_is_nested_too_deep_costs_most(line: str) -> None:
    assert cost_of(line) == 5


def test_what_is_too_long_costs_most() -> None:
    assert cost_of("echo " + "x" * MAX_CHARACTERS) == 5


@pytest.mark.parametrize(
    "piece",
    [
        "$(",
        "`",
        "${",
        "$((",
        "(a)",
        "<<a ",
        "case x in ",
        "eval ",
        "sudo ",
        "git -C a ",
        "find -exec ",
        "a=(",
        "\\",
        '"',
    ],
)
def test_hostile_lines_are_priced_in_linear_time(piece: str) -> None:
    line = (piece * MAX_CHARACTERS)[:MAX_CHARACTERS]
    started = time.process_time()
    assert cost_of(line) in (0, 1, 5)
    assert time.process_time() - started < 2  # 0.1 s is usual; what grows with the square needs minutes


@given(st.text() | st.text(alphabet="pip install$(){}<>|&;'\"`\\\n#="))
def test_every_text_has_a_price(line: str) -> None:
    assert cost_of(line) in (0, 1, 5)


simple_lines = st.sampled_from(FREE_LINES[:18] + STANDARD_LINES[:20] + HEAVY_LINES[:36]).filter(
    lambda line: "#" not in line and line.strip()
)
lines = st.recursive(
    simple_lines,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" && ", " || ", "; ", " | ", " & ", "\n", "&&"]), inner).map(
            "".join
        ),
        inner.map("( {} )".format),
        inner.map("{{ {}; }}".format),
        inner.map("echo $( {} )".format),
        inner.map("if {}; then ls; fi".format),
    ),
    max_leaves=5,
)


@given(lines, lines, st.sampled_from([" && ", " || ", "; ", " | ", " & ", "\n"]))
def test_a_line_costs_what_its_dearest_part_costs(first: str, second: str, joint: str) -> None:
    assert cost_of(first + joint + second) == max(cost_of(first), cost_of(second))


@given(lines)
def test_running_a_line_by_other_means_does_not_make_it_cheaper(line: str) -> None:
    quoted = line.replace("'", "'\\''")
    assert cost_of(f"bash -c '{quoted}'") == cost_of(line)
    assert cost_of(f"echo '{quoted}'") == 0
