"""The TypeScript in labextension/: its own tests pass, and its client uses a real gateway.

Its linters are among those of tools/lint.py. Node.js and npm are those of a wheel among the test
dependencies, so that neither the machine's version of them nor its lack of them makes a difference.
"""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from tests.integration.conftest import Served
from tools import frontend

# npm fetches some hundred packages at first, from a network that may be slow.
pytestmark = pytest.mark.timeout(600)

DEADLINE_S = 100


def npm(*arguments: str) -> str:
    """Run npm in the folder of the front end and return what it printed; a failure fails the test with it."""
    command, env = frontend.npm_command()
    result = subprocess.run(
        [*command, *arguments],
        cwd=frontend.LABEXTENSION,
        env={**env, "NO_COLOR": "1"},
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
    frontend.install_packages()


@pytest.mark.usefixtures("_packages")
def test_its_own_tests_pass() -> None:
    printed = npm("run", "--silent", "test")
    assert "a run outlives a cut over the global WebSocket" in printed


@pytest.mark.usefixtures("_packages")
async def test_a_program_uses_a_gateway_and_is_cut_off(served: Served) -> None:
    """labextension/tests/visitor.ts does it, in a real room, and cuts its own connection three times."""
    await asyncio.to_thread(npm, "run", "--silent", "build:test")
    key = (await served.gateway.accounts.create_key("Ada", credits=1000)).api_key
    address = f"http://{served.host}{served.base_url}"
    node = frontend.npm_command()[0][0]
    visitor = await asyncio.create_subprocess_exec(
        node, "build/tests/visitor.js", address, key,
        cwd=frontend.LABEXTENSION, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
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
