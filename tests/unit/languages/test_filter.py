"""What the filter finds and what it lets pass (tests/golden/filter.toml), and that nothing can upset it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embedenv_jupyter.languages.filter import JUDGED, RULES, check
from embedenv_jupyter.languages.filter.check import MAX_CODE_CHARS, MAX_EXCERPT_CHARS, MAX_FINDINGS
from embedenv_jupyter.languages.filter.trees import MAX_NODES
from embedenv_jupyter.languages.registry import Languages

GOLDEN = tomllib.loads((Path(__file__).parents[2] / "golden" / "filter.toml").read_text("utf-8"))


@pytest.mark.parametrize("row", GOLDEN["found"], ids=lambda row: f"{row['language']}: {row['code'][:60]!r}")
def test_what_attacks_is_found(row: dict[str, str]) -> None:
    findings = check(row["language"], row["code"])
    assert {finding.rule for finding in findings} == {row["rule"]}
    for finding in findings:
        assert RULES[finding.rule].why in finding.message
        assert finding.excerpt in row["code"].split("\n")[finding.line - 1]


@pytest.mark.parametrize("row", GOLDEN["passes"], ids=lambda row: f"{row['language']}: {row['code'][:60]!r}")
def test_what_is_legitimate_passes(row: dict[str, str]) -> None:
    assert check(row["language"], row["code"]) == []


def test_every_rule_and_every_language_has_its_examples() -> None:
    assert {row["rule"] for row in GOLDEN["found"]} == set(RULES)
    for rows in (GOLDEN["found"], GOLDEN["passes"]):
        assert JUDGED - {row["language"] for row in rows} <= {"deno", "zsh"}


def test_every_judged_language_is_shipped() -> None:
    shipped = {language.id for language in Languages.shipped()}
    assert {"python", "bash", "javascript", "c", "cpp", "php", "ruby", "go", "typescript"} <= JUDGED & shipped


def test_a_finding_says_where_it_is_in_characters() -> None:
    (finding,) = check("python", "import os\nx = '…é'; os.system('reboot')")
    assert (finding.line, finding.column) == (2, 11)
    assert finding.message.startswith("This code switches the machine off: `reboot`.")


def test_a_program_in_a_program_is_found_where_it_is_started() -> None:
    (finding,) = check("bash", "ls\npython3 -c \"import os; os.system('rm -rf /')\"")
    assert (finding.rule, finding.line, finding.column) == ("wipe-root", 2, 1)


def test_findings_and_excerpts_are_bounded() -> None:
    findings = check("bash", "\n".join(["rm -rf / " + "x" * 500] * 100))
    assert len(findings) == MAX_FINDINGS
    assert all(len(finding.excerpt) == MAX_EXCERPT_CHARS for finding in findings)


def test_what_is_right_before_a_fault_of_the_text_is_found_in_a_script() -> None:
    """A shell runs a script up to the line that it does not understand."""
    assert [finding.rule for finding in check("bash", "rm -rf /\n)\nreboot")] == ["wipe-root"]
    assert check("python", "import os\nos.system('reboot')\n)") == []


# Texts and comments

ATTACKS = sorted({line for row in GOLDEN["found"] for line in (row["code"], *row["code"].splitlines())})
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(ATTACKS),
        st.text(max_size=20),
        st.sampled_from(["'", '"', "\\", "`", "$(", "*/", "\n", "#"]),
    ),
    min_size=1,
    max_size=5,
).map("".join)


def lines_of(text: str, mark: str) -> str:
    """Write ``text`` as comments to the end of the line."""
    lines = re.split("[\n\r\x85\u2028\u2029]", text)
    return "".join(f"{mark} {line}\n" for line in lines)


def single_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


Write = Callable[[str], str]

QUOTED: dict[str, list[Write]] = {
    "python": [lambda text: f"x = {text!r}\nprint({text!r})\n", lambda text: f"def f():\n    {text!r}\n"],
    "bash": [
        lambda text: f"echo {shlex.quote(text)}\n",
        lambda text: f"cat > notes <<'END_OF_TEXT'\n{text}\nEND_OF_TEXT\nls\n",
        lambda text: f'x={shlex.quote(text)}; printf %s "$x"\n',
    ],
    "c": [lambda text: f"int main() {{ puts({json.dumps(text)}); }}", lambda text: block(text, "/*", "*/")],
    "cpp": [lambda text: f"int main() {{ puts({json.dumps(text)}); }}"],
    "javascript": [
        lambda text: f"console.log({json.dumps(text)});",
        lambda text: "const a = `" + re.sub(r"([\\`$])", r"\\\1", text) + "`;",
        lambda text: block(text, "/*", "*/"),
    ],
    "typescript": [lambda text: f"const a: string = {json.dumps(text)};"],
    "php": [
        lambda text: f"<?php echo {single_quoted(text)};",
        lambda text: "<?php " + block(text, "/*", "*/") + "\necho 1;",
        lambda text: text.replace("<?", "< ?"),
    ],
    "ruby": [lambda text: f"puts {single_quoted(text)}\n"],
    "go": [
        lambda text: f"package main\nfunc main() {{ print({json.dumps(text)}) }}",
        lambda text: "package main\nvar x = `" + text.replace("`", "'") + "`\n",
    ],
}
COMMENT = {
    "python": "#",
    "bash": "#",
    "ruby": "#",
    "c": "//",
    "cpp": "//",
    "javascript": "//",
    "typescript": "//",
    "go": "//",
}


def block(text: str, begin: str, end: str) -> str:
    return begin + text.replace("*", "+") + end


@pytest.mark.parametrize("language", QUOTED)
@settings(max_examples=60)
@given(text=TEXTS)
def test_no_text_is_a_finding(language: str, text: str) -> None:
    text = text.replace("\0", " ")
    for quote in QUOTED[language]:
        assert check(language, quote(text)) == []


@pytest.mark.parametrize("language", COMMENT)
@settings(max_examples=60)
@given(text=TEXTS)
def test_no_comment_is_a_finding(language: str, text: str) -> None:
    # A C compiler takes a line that ends in a backslash together with the next.
    comment = lines_of(text.replace("\\", "/").replace("\0", " "), COMMENT[language])
    assert check(language, comment) == []


# Hostile code


@pytest.mark.parametrize("language", sorted(JUDGED | {"no such language", ""}))
@settings(max_examples=60)
@given(
    code=st.one_of(
        st.text(),
        st.binary().map(lambda data: data.decode("latin-1")),
        st.text("(){}[]|&;:<>'\"`$\\ \nfork\0"),
    )
)
@example("\0")
@example("\ud800 os.fork()")
@example("\udcff:(){ :|:& };:\x00")
def test_no_input_upsets_it(language: str, code: str) -> None:
    check(language, code)


DEEP: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "fork" + "(" * n + ")" * n,
    "minus": lambda n: "fork" + "-" * n + "1",
    "attributes": lambda n: "fork" + ".a" * n,
    "calls": lambda n: "fork" + "()" * n,
    "sums": lambda n: "fork" + "+1" * n,
    "lists": lambda n: "fork;" + "[" * n,
    "braces": lambda n: "fork;" + "{" * n + "}" * n,
    "substitutions": lambda n: "$(" * n + ")" * n,
    "elifs": lambda n: "if fork: pass\n" + "elif 1: pass\n" * (n // 10) + "\n",
    "doubling": lambda n: (
        "x0 = 'fork'\n" + "".join(f"x{i + 1} = x{i} + x{i}\n" for i in range(n // 20)) + "open(x99)"
    ),
    "lambdas": lambda n: "fork;" + "lambda:" * (n // 7) + "0",
    "quotes": lambda n: "fork '" * n,
    "functions": lambda n: "".join(f"f{i}() {{ f{i + 1} | f{i + 1} & }}\n" for i in range(n // 30)),
    "forks": lambda n: "while True:\n" + " os.fork()\n" * (n // 11),
    "forks in C": lambda n: "int main() { while (1) {" + "fork();" * (n // 8) + "} }",
    "commands": lambda n: "ls | cat &\n" * (n // 10),
}


@pytest.mark.parametrize("shape", DEEP)
def test_deep_and_long_code_is_read_in_bounded_time(shape: str) -> None:
    """In a process of its own: what overflows a stack kills it, and must not do so to a gateway."""
    code = DEEP[shape](MAX_CODE_CHARS)[:MAX_CODE_CHARS]
    script = (
        "import sys, time\n"
        "from embedenv_jupyter.languages.filter import JUDGED, check\n"
        "code = sys.stdin.read()\n"
        "for language in sorted(JUDGED):\n"
        "    check(language, '')\n"
        "    start = time.process_time()\n"
        "    check(language, code)\n"
        "    print(language, time.process_time() - start)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], input=code, capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    times = dict(line.split() for line in result.stdout.splitlines())
    assert times.keys() == JUDGED
    assert max(map(float, times.values())) < 3


def test_code_beyond_the_bound_is_let_through_at_once() -> None:
    start = time.process_time()
    assert check("bash", "rm -rf /\n" * 1_200_000) == []
    assert time.process_time() - start < 0.1


def test_ordinary_code_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell without a word that matters costs a search, not a parser."""
    monkeypatch.setattr(
        "embedenv_jupyter.languages.filter.python.read", lambda code: pytest.fail("was parsed")
    )
    assert check("python", "import math\nprint(math.pi * 2)\n") == []


def test_the_page_lists_the_rules_and_the_bounds() -> None:
    page = (Path(__file__).parents[3] / "docs" / "security.md").read_text("utf-8")
    rows = [f"| `{rule.id}` | {rule.title} |" for rule in RULES.values()]
    assert [row for row in rows if row not in page] == []
    assert f"{MAX_CODE_CHARS:,} characters or {MAX_NODES:,} nodes" in page
