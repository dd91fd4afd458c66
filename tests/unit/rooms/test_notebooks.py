"""Notebooks of strangers: the first fault is named, and none costs more than a bounded time and memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import nbformat
import pytest
from nbformat.json_compat import JsonSchemaValidator

from embedenv_jupyter.errors import ContentError, FileTooLargeError
from embedenv_jupyter.rooms import notebooks
from embedenv_jupyter.rooms.notebooks import Notebooks, read_notebook, written_notebook

DEADLINE_S = 10.0


def code(**changed: Any) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "id": "a",
        "cell_type": "code",
        "metadata": {},
        "source": "",
        "execution_count": None,
    }
    return {**cell, "outputs": [], **changed}


def book(*cells: Any, **changed: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **changed}


def sent(notebook: Any) -> bytes:
    return json.dumps(notebook).encode()


def read(notebook: Any) -> tuple[Any, str | None]:
    raw, message = read_notebook("n.ipynb", sent(notebook))
    return json.loads(bytes(raw)), message


@pytest.fixture(autouse=True)
def nobody_gathers_all_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of nbformat that takes minutes and gigabytes for a notebook that is made for it."""

    def refuse(*_: Any) -> None:
        raise AssertionError("jsonschema was asked for all faults of a notebook")

    monkeypatch.setattr(JsonSchemaValidator, "iter_errors", refuse)
    monkeypatch.setattr(JsonSchemaValidator, "validate", refuse)


STREAM = {"output_type": "stream", "name": "stdout"}


@pytest.mark.parametrize(
    ("notebook", "fault"),
    [
        (book(code(outputs=[{}] * 15_000)), "cells[0].outputs[0] has no output_type; allowed are display_"),
        (book(code(), code(id="b", x=1)), "cells[1] must not contain {'x'} properties"),
        (book(code(cell_type="odd")), "cells[0] has the cell_type 'odd'; allowed are code, markdown, raw"),
        (book(code(source=4)), "cells[0].source must be a text or a list of texts"),
        (book(code(outputs=[{**STREAM, "text": 3}])), "cells[0].outputs[0].text must be a text or a list"),
        (book(code(outputs=[{"output_type": "error"}])), "cells[0].outputs[0] must contain ['ename', "),
        (book(code(id="ä")), "cells[0].id must match pattern"),
        (book(code(), nbformat_minor=4), "cells[0] must not contain {'id'} properties"),
        (book(metadata={"kernelspec": {}}), "notebook.metadata.kernelspec must contain ['display_name', "),
        (book(nbformat_minor=-1), "there is no schema of nbformat 4.-1; the newest is of 4."),
        (book(code(source=4), nbformat_minor=10**9), "notebook.cells[0] must be valid"),
    ],
)  # fmt: skip
def test_the_first_fault_is_named(notebook: dict[str, Any], fault: str) -> None:
    shown, message = read(notebook)
    assert message is not None and message.startswith(f"Notebook validation failed: {fault}")
    assert len(shown["cells"]) == len(notebook["cells"])


def test_later_versions_leave_no_validators_behind() -> None:
    read(book(nbformat_minor=1000))
    known = len(nbformat.validator.validators)
    for minor in range(1001, 1020):
        assert read(book(code(), nbformat_minor=minor))[1] is None
    assert len(nbformat.validator.validators) == known


BOMBS: dict[str, Callable[[], bytes]] = {
    "lists and objects": lambda: b'{"metadata":{"a":[' + b"{}," * 200_000 + b"{}]}}",
    "entries of objects": lambda: b'{"metadata":{' + b'"a":1,' * 500_000 + b'"b":1}}',
    "values": lambda: b'{"metadata":{"a":[' + b"1," * 2_000_000 + b"1]}}",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("take", [read_notebook, written_notebook])
def test_what_would_take_much_memory_is_not_even_parsed(
    name: str, take: Callable[[str, bytes], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", None)
    monkeypatch.setattr(msgspec.json, "decode", None)
    with pytest.raises(
        FileTooLargeError, match=f"'n': is a notebook of more than [0-9]+ {name}, and no more"
    ):
        take("n", BOMBS[name]())


def test_texts_are_as_long_as_they_like_and_hold_what_they_like() -> None:
    text = '{"a": [1, "' * 300_000
    shown, message = read(book(code(source=text)))
    assert (shown["cells"][0]["source"], message) == (text, None)
    stored, message = written_notebook("n", sent(book(code(source=text))))
    assert (json.loads(stored)["cells"][0]["source"], message) == ([text], None)


def test_lines_that_could_not_be_opened_again_are_kept_as_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = book(code(source="a\n\u2028b\r\n" * 10))
    stored, _ = written_notebook("n", sent(notebook))
    assert len(json.loads(stored)["cells"][0]["source"]) == 30
    monkeypatch.setattr(notebooks, "BOUNDS", notebooks.BOUNDS._replace(values=43))
    with pytest.raises(FileTooLargeError):
        read_notebook("n", stored)
    stored, _ = written_notebook("n", sent(notebook))
    assert json.loads(stored)["cells"][0]["source"] == notebook["cells"][0]["source"]
    assert read_notebook("n", stored)[1] is None


def test_indentation_may_not_make_a_small_notebook_a_giant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "MAX_STORED_BYTES", 1 << 20)
    deep = b'{"cells":[],"metadata":{"a":' + b"[" * 200 + b"1," * 10_000 + b"1" + b"]" * 200
    with pytest.raises(FileTooLargeError, match="would take more than 1048576 bytes"):
        written_notebook("n", deep + b'},"nbformat":4,"nbformat_minor":5}')


def test_what_is_stored_is_what_nbformat_stores() -> None:
    output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<b>\n", "image/png": "é"}}
    outputs = [output, {**STREAM, "text": "x\ny"}]
    notebook = book(code(source="a\nb", outputs=outputs), metadata={"z": 1, "a": 2})
    expected = nbformat.writes(nbformat.from_dict(notebook))
    assert written_notebook("n", sent(notebook)) == (f"{expected}\n".encode(), None)


def test_half_a_surrogate_pair_can_be_shown() -> None:
    assert read(book(code(source="\ud800")))[0]["cells"][0]["source"] == "\ud800"


OLD = {
    3: {
        "nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "x", "signature": "y", "kept": 1},
        "worksheets": [{"metadata": {}, "cells": [
            {"cell_type": "heading", "level": 2, "source": "Top"},
            {"cell_type": "code", "input": ["a\n", "b"], "language": "python", "prompt_number": 3,
             "collapsed": False, "metadata": {}, "outputs": [
                {"output_type": "stream", "stream": "stdout", "text": "out"},
                {"output_type": "pyout", "prompt_number": 3, "text": "3", "html": "<b>3</b>", "metadata": {}},
                {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["t"]},
            ]},
        ]}],
    },
    2: {
        "nbformat": 2, "metadata": {"name": "x"},
        "worksheets": [{"cells": [{"cell_type": "code", "input": "a", "outputs": [], "language": "python"}]}],
    },
}  # fmt: skip


@pytest.mark.parametrize("version", OLD)
def test_old_notebooks_are_converted_as_nbformat_does_it(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, message = read(OLD[version])
    monkeypatch.undo()
    expected = json.loads(json.dumps(nbformat.convert(nbformat.reads(json.dumps(OLD[version]), version), 4)))
    for cell in (*shown["cells"], *expected["cells"]):
        del cell["id"]
    for cell in expected["cells"]:
        if cell["cell_type"] == "code":
            cell["metadata"]["trusted"] = False
    assert (shown, message) == (expected, None)


def test_faults_of_an_old_notebook_are_named_too() -> None:
    old = json.loads(json.dumps(OLD[3]))
    old["worksheets"][0]["cells"][1]["outputs"] = [{"output_type": "stream", "odd": 1}] * 1000
    _, message = read(old)
    assert message is not None
    assert "cells[1].outputs[0] must contain ['text'] properties" in message
    _, message = written_notebook("n", sent({**OLD[3], "worksheets": 3}))
    assert message == "Notebook validation failed: notebook.worksheets must be array"


@pytest.mark.parametrize("version", [0, 5, "4", [4], 1e300, None, {}])
def test_versions_that_are_none_are_named(version: Any) -> None:
    with pytest.raises(ContentError, match="no notebook that can be read"):
        read(book(nbformat=version))
    with pytest.raises(ContentError, match="no notebook that can be written"):
        written_notebook("n", sent(book(nbformat=version)))


async def test_one_notebook_of_a_room_is_in_work_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    release, loop, began = threading.Event(), asyncio.get_running_loop(), asyncio.Event()
    busy, most = 0, 0

    def slow(path: str, data: bytes) -> tuple[bytes, str | None]:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        loop.call_soon_threadsafe(began.set)
        release.wait(DEADLINE_S)
        busy -= 1
        return data, None

    monkeypatch.setattr(notebooks, "written_notebook", slow)
    monkeypatch.setattr(notebooks, "read_notebook", slow)
    room, other = Notebooks(), Notebooks()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(room.read("n", b""))
            tasks.create_task(room.written("n", b""))
        await began.wait()
        began.clear()
        tasks.create_task(other.read("n", b""))
        await began.wait()  # another room does not wait
        release.set()
    assert most == 2
