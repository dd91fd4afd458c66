"""Make ``.venv`` ready for ``make run`` or ``make test``, from nothing but a Python.

    python tools/bootstrap.py lab     what `make run` needs
    python tools/bootstrap.py dev     what `make test`, `make lint` and `make bench` need

On Debian and as root, missing packages of the system are installed, one line
each. Everybody else reads what to install; only what nothing works without
stops the set-up. ``INSTALL=no`` keeps root from installing, too.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
APT_ENV = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


class SetupError(Exception):
    """The set-up cannot go on; the text says what to do about it."""


@dataclass(frozen=True)
class SystemPackage:
    """Something that pip does not bring: ``debian`` is its package, ``why`` what is missed without it."""

    debian: str
    why: str
    is_present: Callable[[], bool]


def _on_path(*commands: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(command) for command in commands)


def _has_postgres() -> bool:
    # Debian keeps the server's programs off the PATH, one folder for each version.
    return bool(shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres")))


def _has_engine() -> bool:
    """Whether a container engine works; the client of Docker alone, without its daemon, is none."""
    return bool(shutil.which("podman")) or run_quietly("docker", "info")[0]


# Debian keeps some programs in /usr/sbin, which an ordinary user's PATH lacks.
_SYSTEM_PATH = "/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"


def _has_runc() -> bool:
    return bool(shutil.which("runc", path=_SYSTEM_PATH))


def _has_nginx() -> bool:
    return bool(shutil.which("nginx", path=_SYSTEM_PATH))


PYTHON_VENV = SystemPackage(
    "python3-venv", "Debian keeps it apart from Python; makes .venv", lambda: has_module("ensurepip")
)
FOR_TESTS = (
    SystemPackage("gcc", "programs in C that crash or attack a sandbox", _on_path("gcc", "cc")),
    SystemPackage("libc6-dev", "the headers for them", lambda: Path("/usr/include/stdio.h").exists()),
    SystemPackage("bubblewrap", "sandboxes of the tier bwrap", _on_path("bwrap")),
    SystemPackage("podman", "sandboxes of the tier podman", _has_engine),
    SystemPackage("runc", "podman on machines with cgroups of both versions, which crun refuses", _has_runc),
    SystemPackage("postgresql", "accounts on PostgreSQL", _has_postgres),
    SystemPackage("mmdebstrap", "images that rooms stand on", _on_path("mmdebstrap")),
    SystemPackage("chromium", "the published browser sample", _on_path("chromium", "chromium-browser")),
    SystemPackage("nginx", "JupyterLab behind a proxy on a path", _has_nginx),
)

TESTED_LANGUAGES = (
    "python", "javascript", "c", "cpp", "java", "go", "rust", "ruby", "php", "typescript", "kotlin",
    "bash", "perl", "lua", "tcl", "sqlite", "scheme", "commonlisp", "prolog", "forth", "awk", "zsh", "fish",
)  # fmt: skip
"""What the tests run programs in whatever this machine had before; others are tested where they are."""


def main(argv: Sequence[str]) -> int:
    """Set up for the extra that ``argv`` names; its stamp file is written last of all."""
    (extra,) = argv
    try:
        if extra == "dev":
            provide(FOR_TESTS)
        make_venv()
        install(extra)
        if extra == "dev":
            install_languages()
    except SetupError as exc:
        say(str(exc))
        return 1
    # What the tests need holds all that JupyterLab needs.
    for name in {"dev": ("dev", "lab")}.get(extra, (extra,)):
        (VENV / f".installed-{name}").touch()
    return 0


def say(text: str) -> None:
    for line in text.splitlines():
        print(f"embedenv: {line}", file=sys.stderr, flush=True)


def may_install() -> bool:
    """Whether this process may and should install packages of the system."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None and os.environ.get("INSTALL") != "no"


def provide(packages: Sequence[SystemPackage]) -> None:
    """Install those of ``packages`` that are missing, or say what is missed without them."""
    missing = [package for package in packages if not package.is_present()]
    if missing and may_install():
        refresh_package_lists()
        missing = [package for package in missing if not install_package(package)]
    if not missing:
        return
    say("going on without these; the tests that need them are skipped and say so:")
    for package in missing:
        say(f"  {package.debian}: {package.why}")
    say(f"to have them: {how_to_install(*missing)}")


def how_to_install(*packages: SystemPackage) -> str:
    """Say how somebody who may do it gets ``packages`` on this machine."""
    names = " ".join(package.debian for package in packages)
    if shutil.which("apt-get"):
        return f"apt-get install {names} (as root)"
    return f"install what your system calls {names} (these are the names in Debian)"


def refresh_package_lists() -> None:
    succeeded, output = run_quietly("apt-get", "update", "-qq")
    if not succeeded:
        say("apt-get update failed; trying with the package lists that are here:")
        say(last_lines(output))


def install_package(package: SystemPackage) -> bool:
    """Install one package of Debian; a failure is told, not raised."""
    say(f"installing {package.debian} ({package.why})")
    succeeded, output = run_quietly(
        "apt-get", "install", "-qq", "-y", "--no-install-recommends", package.debian
    )
    if not succeeded:
        say(f"could not install {package.debian}:")
        say(last_lines(output))
    return succeeded


def run_quietly(*command: str) -> tuple[bool, str]:
    """Run a command; say whether it succeeded, and what it printed for the case that it did not."""
    try:
        result = subprocess.run(
            command,
            env={**os.environ, **APT_ENV},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as exc:
        return False, str(exc)
    return result.returncode == 0, result.stdout


def last_lines(text: str, count: int = 5) -> str:
    return "\n".join("  " + line for line in text.strip().splitlines()[-count:])


def install_languages() -> None:
    """Install the languages that the tests run programs in, where that is allowed."""
    if not may_install():
        return
    say("installing languages to test (this takes a few minutes, once)")
    refresh_package_lists()
    command = [str(VENV / "bin" / "embedenv"), "languages", "install", "--no-warm"]
    if run_quietly(*command, *TESTED_LANGUAGES)[0]:
        return
    for language in TESTED_LANGUAGES:  # one that cannot be had must not cost the others
        succeeded, output = run_quietly(*command, language)
        if not succeeded:
            say(f"could not install {language}:")
            say(last_lines(output))


def make_venv() -> None:
    """Create ``.venv`` unless there is one that works; a broken one is made again.

    Raises:
        SetupError: neither ensurepip nor pip is there, and neither could be installed.
    """
    if venv_works():
        return
    if has_module("ensurepip") or obtain_ensurepip():
        create = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    elif has_module("virtualenv"):
        create = [sys.executable, "-m", "virtualenv", "--clear", "--quiet", str(VENV)]
    else:
        raise SetupError(
            f"{sys.executable} cannot make a virtual environment.\n"
            f"What to do: {how_to_install(PYTHON_VENV)}, then call make again."
        )
    say(f"making .venv with {sys.executable}")
    if subprocess.run(create, check=False).returncode or not venv_works():
        raise SetupError(f"{' '.join(create)} failed; its reason stands above.")


def venv_works() -> bool:
    """Whether ``.venv`` holds a Python that is new enough and that has pip."""
    question = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return run_quietly(str(VENV_PYTHON), "-c", question)[0]


def has_module(name: str) -> bool:
    return run_quietly(sys.executable, "-c", f"import {name}")[0]


def obtain_ensurepip() -> bool:
    """Install what Debian cuts out of Python's venv module, where that is allowed."""
    if not may_install():
        return False
    refresh_package_lists()
    return install_package(PYTHON_VENV) and has_module("ensurepip")


def install(extra: str) -> None:
    """Install this checkout, editable, with ``extra`` into ``.venv``.

    Raises:
        SetupError: pip failed; what it said has been shown.
    """
    say(f"installing embedenv-jupyter[{extra}] and what it needs into .venv (a minute or two at first)")
    command = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--editable", f"{ROOT}[{extra}]"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        raise SetupError("pip could not install the packages; its reason stands above.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
