"""The wheel: what is in it, and that installing it is all that a server needs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TypedDict

import pytest

from embedenv_jupyter import __version__
from tools import frontend

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "embedenv_jupyter"
SHARED_DATA = f"embedenv_jupyter-{__version__}.data/data/"
FRONT_END = "share/jupyter/labextensions/embedenv-jupyter/"
KERNEL_FILE = "share/jupyter/kernels/embedenv/kernel.json"
ENABLING_FILE = "etc/jupyter/jupyter_server_config.d/embedenv_jupyter.json"


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return all that it printed; a failure shows it."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the environment's own hatchling: no index is asked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    run(*build, "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a fresh environment that has the wheel, and borrows what it depends on from this one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    # A path file inside the borrowed folder is not followed: this checkout's own install stays out of sight.
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site_packages, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


class Elsewhere(TypedDict):
    """Where and how a command runs that must see nothing of this checkout."""

    cwd: Path
    env: dict[str, str]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    """Run away from the checkout, without anybody's own configuration of Jupyter."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    return {"cwd": tmp_path, "env": {**env, "HOME": str(tmp_path)}}


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.is_relative_to(frontend.BUILT)
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("embedenv_jupyter/")}
    assert held == expected


@pytest.mark.parametrize(
    "pattern",
    ["accounts/migrations/**/*.py", "languages/*.toml", "py.typed"],
)
def test_wheel_holds_what_is_read_at_run_time(wheel: Path, pattern: str) -> None:
    held = [str(path.relative_to(ROOT)) for path in PACKAGE.glob(pattern)]
    assert held, f"the package has no {pattern}"
    assert set(held) <= set(zipfile.ZipFile(wheel).namelist())


def test_wheel_enables_the_extension_and_brings_the_kernel_and_nothing_else(wheel: Path) -> None:
    shared = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(SHARED_DATA)}
    front_end = {name for name in shared if name.startswith(SHARED_DATA + FRONT_END)}
    assert front_end
    shared -= front_end
    assert shared == {SHARED_DATA + ENABLING_FILE, SHARED_DATA + KERNEL_FILE}


def test_wheel_carries_the_licence(wheel: Path) -> None:
    (licence,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("LICENSE"))
    assert zipfile.ZipFile(wheel).read(licence) == (ROOT / "LICENSE").read_bytes()


def test_installing_enables_the_extension(environment: Path, elsewhere: Elsewhere) -> None:
    listed = run(
        environment / "bin" / "python", "-m", "jupyter_server.extension.serverextension", "list", **elsewhere
    )
    lines = [line.strip() for line in listed.splitlines()]
    assert any("embedenv_jupyter" in line and "enabled" in line for line in lines), listed
    assert any(line.startswith(f"embedenv_jupyter {__version__}") and "OK" in line for line in lines), listed


def test_installing_brings_the_kernel(environment: Path, elsewhere: Elsewhere) -> None:
    question = (
        "from jupyter_client.kernelspec import get_kernel_spec as get; print(get('embedenv').display_name)"
    )
    assert run(environment / "bin" / "python", "-c", question, **elsewhere).strip() == "Embedenv"


def test_installing_brings_the_command(environment: Path, elsewhere: Elsewhere) -> None:
    told = run(environment / "bin" / "embedenv", "--version", **elsewhere)
    assert told == f"embedenv, version {__version__}\n"


def test_the_installed_package_is_not_this_checkout(environment: Path, elsewhere: Elsewhere) -> None:
    question = "import embedenv_jupyter; print(embedenv_jupyter.__file__)"
    where = run(environment / "bin" / "python", "-c", question, **elsewhere).strip()
    assert Path(where).is_relative_to(environment)
