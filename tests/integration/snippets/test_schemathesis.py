"""A served gateway against its own OpenAPI document: whatever is sent, the answers are as described."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Served

EXAMPLES = 40
"""For each route; those that are as described are really run."""

CONFIGURATION = """
hooks = "hooks"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 422]
"""
HOOKS = """
import schemathesis

def written(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: written(inner) for key, inner in value.items()}
    return [written(inner) for inner in value] if isinstance(value, list) else value

@schemathesis.hook
def map_body(context, body):
    return written(body)
"""
"""Integers are written without a fraction, as the document says.

What has the right shape may still name a language that is not there, but never is its shape at fault.
"""

pytestmark = pytest.mark.parametrize(
    "embedenv_config", [{"runs_per_minute": 0, "code_filter": "off", "run_timeout_s": 5.0}]
)


async def schemathesis(served: Served, folder: Path, *options: str) -> tuple[int | None, str]:
    """Run it on a served document; return its exit code and what it says."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    (folder / "hooks.py").write_text(HOOKS, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{served.http_url}embedenv/api/openapi.json",
        "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic",
        "--no-color", "--request-timeout", "60", "--max-response-time", "60", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder,
    )  # fmt: skip
    try:
        said, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode, said.decode()


@pytest.fixture(autouse=True)
def _no_faults(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where the gateway logs an error, whatever it has answered."""
    yield
    assert not [
        record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR
    ]


async def test_every_answer_is_as_the_document_says(served: Served, api_key: str, tmp_path: Path) -> None:
    code, said = await schemathesis(
        served, tmp_path, "--checks", "all", "--header", f"Authorization: Bearer {api_key}"
    )
    assert code == 0, said


async def test_so_is_every_answer_to_who_wants_events(served: Served, api_key: str, tmp_path: Path) -> None:
    code, said = await schemathesis(
        served, tmp_path, "--checks", "all", "--phases", "examples,fuzzing", "--include-method", "POST",
        "--header", "Accept: text/event-stream", "--header", f"Authorization: Bearer {api_key}",
    )  # fmt: skip
    assert code == 0, said
