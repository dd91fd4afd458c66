"""A whole notebook through nbclient, as papermill and nbconvert run it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.integration.forwarder.engine.conftest import DEADLINE_S
from tests.integration.forwarder.engine_peer import EnginePeer

CELLS = [
    "print('from python')",
    "%%lang bash\necho from bash; echo oops >&2",
    "import sys\nprint('seen'); sys.exit('it failed')",
    "print('after the error')",
]


MakeClient = Callable[..., NotebookClient]


def notebook(*cells: str) -> nbformat.NotebookNode:
    empty: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    made = [{**empty, "id": f"cell-{number}", "source": cell} for number, cell in enumerate(cells)]
    book = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    read: nbformat.NotebookNode = nbformat.reads(json.dumps(book), as_version=4)
    return read


def text(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    return [(out.get("name", out.output_type), out.get("text", out.get("evalue"))) for out in cell.outputs]


@pytest.fixture
def client(kernel_dir: Path, kernel_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> MakeClient:
    """Bind nbclient to the kernel; it hands its own environment on."""
    for name in [name for name in os.environ if name.startswith("EMBEDENV_")]:
        monkeypatch.delenv(name)
    for name in ("EMBEDENV_URL", "EMBEDENV_API_KEY"):
        monkeypatch.setenv(name, kernel_env[name])

    monkeypatch.setenv("JUPYTER_PATH", str(kernel_dir.parent))

    def make(book: nbformat.NotebookNode, **options: Any) -> NotebookClient:
        return NotebookClient(book, kernel_name="engine-message", timeout=DEADLINE_S, **options)

    return make


async def test_a_notebook_with_several_languages_and_an_error(client: MakeClient, peer: EnginePeer) -> None:
    book = notebook(*CELLS)
    await client(book, allow_errors=True).async_execute()
    shown = [text(cell) for cell in book.cells]
    assert shown[0] == [("stdout", "from python\n")]
    assert shown[1] == [("stdout", "from bash\n"), ("stderr", "oops\n")]
    assert shown[2][:2] == [("stdout", "seen\n"), ("stderr", "it failed\n")]
    assert shown[2][2][0] == "error" and "exit code 1" in shown[2][2][1]
    assert shown[3] == [("stdout", "after the error\n")]
    assert [cell.execution_count for cell in book.cells] == [1, 2, 3, 4]
    assert book.metadata.language_info.name == "python"
    nbformat.validate(book)


async def test_the_first_error_ends_a_notebook(client: MakeClient, peer: EnginePeer) -> None:
    with pytest.raises(CellExecutionError, match="exit code 1"):
        await client(notebook(*CELLS)).async_execute()
    assert len(peer.requests) == 3


async def test_an_endless_cell_is_interrupted_in_time(client: MakeClient, peer: EnginePeer) -> None:
    book = notebook("while True: pass", "print('next')")
    runner = client(book, allow_errors=True, interrupt_on_timeout=True)
    runner.timeout = 2
    async with asyncio.timeout(DEADLINE_S):
        await runner.async_execute()
        await peer.killed.wait()
    assert [text(cell)[0] for cell in book.cells] == [
        ("error", "Interrupted; the connection was closed. The next cell opens another."),
        ("stdout", "next\n"),
    ]
