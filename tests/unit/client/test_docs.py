"""The page about the client shows code that compiles and names that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import embedenv_jupyter.client as client
from embedenv_jupyter import errors

PAGE = Path(__file__).parents[3].joinpath("docs", "client.md").read_text("utf-8")


def test_every_piece_of_code_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "docs/client.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_error_of_the_page_exists() -> None:
    named = set(re.findall(r"`([A-Z]\w+Error)`", PAGE)) - {"TimeoutError"}
    assert "RefusedError" in named
    assert {name for name in named if not (hasattr(client, name) or hasattr(errors, name))} == set()


def test_every_public_name_is_on_the_page() -> None:
    internal = {"Event", "Files", "Entry", "Room", "Run", "State", "Watch"}
    assert {name for name in client.__all__ if name not in PAGE} <= internal
