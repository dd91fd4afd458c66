"""Lint, then the whole test suite: what ``make test`` does.

pytest comes last, so that its summary closes the output. When a linter has
failed, that summary says so and the exit code is not 0 even if every test passed.

With ``EXIT_CODE_FILE`` set, the code is written there and the process itself
ends with 0: ``make`` adds nothing to the output then, and its caller still
learns what pytest returned.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import lint

ROOT = Path(__file__).resolve().parent.parent


class LintVerdict:
    """A plugin of pytest that carries a failed lint into the summary and the exit code."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("lint")
        terminalreporter.write_line("FAILED: the linters have findings; they stand above the tests.")


def main(argv: Sequence[str]) -> int:
    """Lint, test with the arguments for pytest in ``argv``, and return pytest's exit code."""
    os.chdir(ROOT)
    plugins = [LintVerdict()] if lint.main() else []
    return int(pytest.main([*_workers(argv), *argv], plugins=plugins))


def _workers(argv: Sequence[str]) -> list[str]:
    """Return the options for one worker a processor, unless ``argv`` says how many there are."""
    is_said = any(word.startswith(("-n", "--numprocesses")) for word in argv)
    return [] if is_said else ["-n", str(len(os.sched_getaffinity(0))), "--dist", "loadfile"]


if __name__ == "__main__":
    code = main(sys.argv[1:])
    exit_code_file = os.environ.get("EXIT_CODE_FILE")
    if exit_code_file:
        Path(exit_code_file).write_text(f"{code}\n")
        code = 0
    sys.stdout.flush()
    sys.exit(code)
