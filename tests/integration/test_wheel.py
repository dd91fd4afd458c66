"""The wheel: it brings the front end and all that Jupyter looks for, and leaves nothing when it goes."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import frontend

pytestmark = pytest.mark.timeout(240)


def run(*command: str | Path) -> str:
    result = subprocess.run(
        list(map(str, command)), cwd=frontend.ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the source distribution and the wheel; returns both."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_dir() and "__pycache__" not in path.parts
    }


def test_what_is_installed_is_found_and_goes_again(packages: tuple[Path, Path], tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    before = files_below(venv)
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", packages[1])
    data = venv / "share" / "jupyter" / "labextensions" / "embedenv-jupyter"
    package = json.loads((data / "package.json").read_text())
    assert (data / package["jupyterlab"]["_build"]["load"]).exists()
    assert json.loads((data / "install.json").read_text())["packageName"] == "embedenv-jupyter"
    schema = data / "schemas" / "embedenv-jupyter" / "plugin.json"
    assert json.loads(schema.read_text())["title"] == "Embedenv"
    assert (venv / "etc/jupyter/jupyter_server_config.d/embedenv_jupyter.json").exists()
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "embedenv-jupyter")
    assert files_below(venv) == before


def test_the_front_end_is_in_the_wheel_once_and_without_its_sources(packages: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(packages[1]).namelist()
    assert sum(Path(name).name.startswith("remoteEntry.") for name in names) == 1
    assert not [name for name in names if name.endswith((".ts", ".tsx", ".map")) or "node_modules" in name]


def test_a_source_distribution_needs_no_node_to_become_a_wheel(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    run("tar", "-xzf", packages[0], "-C", tmp_path)
    (source,) = tmp_path.iterdir()
    built = source / "embedenv_jupyter" / "labextension" / "sources.sha256"
    digest = "import tools.frontend; print(tools.frontend.is_built(), tools.frontend.digest_of_sources())"
    result = subprocess.run(
        [sys.executable, "-c", digest], cwd=source, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["True", built.read_text().strip()]
