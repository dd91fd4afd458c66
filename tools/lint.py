"""Run every linter over the project; all of them, also after one has failed.

python tools/lint.py            all
python tools/lint.py mypy …     only these
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

LINTERS: dict[str, tuple[str, ...]] = {
    "ruff": ("ruff", "check", "--quiet", "--output-format", "concise", "."),
    "format": ("ruff", "format", "--check", "--quiet", "--output-format", "concise", "."),
    "mypy": ("mypy", "--no-error-summary"),
    "imports": ("lint-imports", "--no-logo"),
    "frontend": ("python", "-m", "tools.frontend", "npm", "run", "--silent", "lint"),
}


def main(argv: Sequence[str] = ()) -> int:
    """Run the linters that ``argv`` names, or all; 1 when any of them found something."""
    unknown = set(argv) - set(LINTERS)
    if unknown:
        print(
            f"no such linter: {', '.join(sorted(unknown))}; there are {', '.join(LINTERS)}", file=sys.stderr
        )
        return 2
    failed = [name for name in argv or LINTERS if not passes(name)]
    if failed:
        print(f"lint: failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


def passes(name: str) -> bool:
    """Run one linter; it is silent when it has nothing to say."""
    command, *arguments = LINTERS[name]
    result = subprocess.run(
        [BIN / command, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    verdict = "failed" if result.returncode else "ok"
    print(f"lint: {name}: {verdict}", flush=True)
    if result.returncode:
        print(result.stdout.strip(), flush=True)
    return result.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
