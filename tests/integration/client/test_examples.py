"""The examples, as a reader would start them: each a process of its own, with the keys in its environment."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Served

EXAMPLES = Path(__file__).parents[3] / "examples"
EXPECTED = {
    "client_run.py": ["line 1", "line 2", "line 3", "[exit code 0; 999 credits are left]"],
    "client_input.py": ["a number, or nothing: ", "the sum is 7"],
    "client_files.py": ["client_files.py", "all.tgz has", "begins with 1f8b"],
    "client_web_server.py": ["Serving HTTP", "<h1>Hello from a room</h1>", "the server ended: "],
    "client_together.py": ["edit: host ran 'echo hello, everybody': hello, everybody", "member-left ada"],
    "client_reconnect.py": ["second 1", "second 2"],
    "client_blocking.py": ["Python 3.", "line 3", "exit code 3"],
    "engine.py": ["kept\nFROM BASH\n", "hello ada", "ended by SIGINT with exit code 130; a ping took 0."],
}
ARGUMENTS = {"client_reconnect.py": ["2"], "client_files.py": [str(EXAMPLES)]}


def test_every_example_of_the_client_is_here() -> None:
    assert {path.name for path in EXAMPLES.glob("client_*.py")} == set(EXPECTED) - {"engine.py"}


@pytest.mark.parametrize("name", EXPECTED)
async def test_an_example_does_what_it_says(name: str, served: Served) -> None:
    api_key = (await served.gateway.accounts.create_key("Ada", credits=1000)).api_key
    environment = os.environ | {
        "EMBEDENV_API_KEY": api_key,
        "EMBEDENV_URL": served.http_url,
        "EMBEDENV_PUBLIC_KEY": served.public_key,
        "EMBEDENV_SECRET_KEY": served.secret_key,
        "PYTHONWARNINGS": "error",
        "PYTHONUNBUFFERED": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / name, *ARGUMENTS.get(name, []),
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    for text in EXPECTED[name]:
        assert text in output.decode()
    for secret in (served.secret_key, api_key):
        assert secret not in (output + errors).decode()
