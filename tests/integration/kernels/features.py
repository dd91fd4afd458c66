"""What a notebook can do, for any client of any kernel: the cells and what must come of them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

PNG = b"\x89PNG\r\n"

Outputs = list[dict[str, Any]]
"""Outputs as a notebook keeps them (nbformat 4)."""


@dataclass(frozen=True)
class Cell:
    """A cell and a check of its outputs; one that ``fails`` ends with an error."""

    name: str
    code: str
    check: Callable[[Outputs], object]
    fails: bool = False


def text_of(outputs: Outputs, stream: str = "stdout") -> str:
    return "".join(o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == stream)


def data_of(outputs: Outputs, mime: str) -> list[Any]:
    return [output["data"][mime] for output in outputs if mime in output.get("data", {})]


def _is_png(outputs: Outputs) -> bool:
    return any(base64.b64decode(data).startswith(PNG) for data in data_of(outputs, "image/png"))


def _error(outputs: Outputs, name: str) -> bool:
    return any(output.get("ename") == name for output in outputs)


CELLS: Iterable[Cell] = (
    Cell("a plot", "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);", _is_png),
    Cell(
        "a table",
        "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})",
        lambda outputs: any("<table" in html for html in data_of(outputs, "text/html")),
    ),
    Cell(
        "a widget",
        "import ipywidgets as widgets\nslider = widgets.IntSlider(value=3, max=9)\nslider",
        lambda outputs: data_of(outputs, "application/vnd.jupyter.widget-view+json"),
    ),
    Cell(
        "a progress bar",
        "from tqdm import tqdm\nfor _ in tqdm(range(50)): pass",
        lambda outputs: "50/50" in text_of(outputs, "stderr"),
    ),
    Cell(
        "an async cell",
        "import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')",
        lambda outputs: text_of(outputs) == "awaited\n",
    ),
    Cell(
        "output of subprocesses",
        "import subprocess\n!echo from the shell\nsubprocess.run(['echo', 'from a program'], check=True);",
        lambda outputs: all(
            words in text_of(outputs).replace("\r", "") for words in ("from the shell", "from a program")
        ),
    ),
    Cell("an exception", "1 / 0", lambda outputs: _error(outputs, "ZeroDivisionError"), fails=True),
    Cell(
        "forks, threads and processes",
        "import os, threading, multiprocessing\n"
        "def work(n): return n * n\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "thread = threading.Thread(target=lambda: print('threaded'))\n"
        "thread.start(); thread.join()\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(work, [1, 2, 3]))",
        lambda outputs: text_of(outputs) == "7\nthreaded\n[1, 4, 9]\n",
    ),
    Cell(
        "rich output that replaces itself",
        "from IPython.display import clear_output, display, HTML\n"
        "print('old'); clear_output(); display(HTML('<b>new</b>'))",
        lambda outputs: "<b>new</b>" in data_of(outputs, "text/html"),
    ),
)
