"""The notebook that a room's kernel is tried with, through the forwarder to a gateway on another port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.integration.forwarder.conftest import StartNotebook
from tests.integration.kernels.features import CELLS
from tests.integration.own_gateway import OwnGateway, serving_gateways

DEADLINE_S = 120


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    """A gateway whose rooms hold what plots and tables need."""
    with serving_gateways(tmp_path_factory.mktemp("gateway")) as serve:
        yield serve(
            "--EmbedenvApp.kernel_pool_size=0", "--EmbedenvApp.pool_size=0",
            "--EmbedenvApp.memory_mib=1024", "--EmbedenvApp.open_files=4096",
        )  # fmt: skip


async def test_everything_that_people_do_in_notebooks(
    by_api_key: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    cells = list(CELLS)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell.code) for cell in cells]
    client = NotebookClient(notebook, kernel_name="embedenv", allow_errors=True, timeout=DEADLINE_S)
    clean = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    done = await client.async_execute(env={**clean, **by_api_key}, cwd=str(tmp_path))
    outputs = {cell.name: ran["outputs"] for cell, ran in zip(cells, done["cells"], strict=True)}
    assert not {cell.name: outputs[cell.name] for cell in cells if not cell.check(outputs[cell.name])}


async def test_post_mortem_debugging(start_notebook: StartNotebook, by_api_key: dict[str, str]) -> None:
    notebook = await start_notebook(by_api_key)
    await notebook.run("def f(x):\n    y = x + 1\n    return y / 0\nf(41)")
    id = notebook.client.execute("%debug", allow_stdin=True)
    async with asyncio.timeout(DEADLINE_S):
        for command in ("p y", "q"):
            question = await notebook.client.get_stdin_msg()
            assert question["parent_header"]["msg_id"] == id
            notebook.client.input(command)
        printed = ""
        while "42\n" not in printed:
            message = await notebook.client.get_iopub_msg()
            printed += message["content"].get("text", "")
