"""The contents of a room beside those of jupyter_server itself: the same requests, the same shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from traitlets.config import Config

from tests.integration.files.conftest import FilesApi

NOTEBOOK = {
    "nbformat": 4, "nbformat_minor": 5, "metadata": {},
    "cells": [
        {"cell_type": "code", "id": "a1", "metadata": {}, "execution_count": 1, "source": "1", "outputs": []},
        {"cell_type": "markdown", "id": "b2", "metadata": {}, "source": "text"},
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """One request to both."""

    method: str
    path: str
    body: Any = None
    query: str = ""


JOURNEY = [
    Asked("PUT", "sub", {"type": "directory"}),
    Asked("PUT", "sub", {"type": "directory"}),
    Asked("PUT", "a.txt", {"type": "file", "format": "text", "content": "héllo\n"}),
    Asked("PUT", "a.txt", {"type": "file", "format": "text", "content": "again\n"}),
    Asked("PUT", "b.bin", {"type": "file", "format": "base64", "content": "/wD+"}),
    Asked("PUT", "n.ipynb", {"type": "notebook", "format": "json", "content": NOTEBOOK}),
    Asked("PUT", "sub/.hidden", {"type": "file", "format": "text", "content": "x"}),
    Asked("PUT", "plain", {"type": "file", "format": "text", "content": ""}),
    Asked("GET", "a.txt", query="content=1"),
    Asked("GET", "a.txt", query="content=0"),
    Asked("GET", "a.txt", query="content=1&hash=1"),
    Asked("GET", "a.txt", query="content=0&hash=1"),
    Asked("GET", "a.txt", query="type=file&format=text"),
    Asked("GET", "a.txt", query="type=file&format=base64"),
    Asked("PUT", "lines.bin", {"type": "file", "format": "base64", "content": "/w\nD\r\n+\n"}),
    Asked("GET", "lines.bin", query="hash=1"),
    Asked("GET", "a.txt", query="type=notebook"),
    Asked("GET", "a.txt", query="type=directory"),
    Asked("GET", "a.txt", query="format=wrong"),
    Asked("GET", "a.txt", query="content=2"),
    Asked("GET", "a.txt", query="hash=2"),
    Asked("GET", "a.txt", query="type=unheard"),
    Asked("GET", "b.bin"),
    Asked("GET", "b.bin", query="format=text"),
    Asked("GET", "plain"),
    Asked("GET", "n.ipynb"),
    Asked("GET", "n.ipynb", query="content=0"),
    Asked("GET", "n.ipynb", query="content=1&hash=1"),
    Asked("GET", "n.ipynb", query="type=file&format=text"),
    Asked("GET", "n.ipynb", query="type=notebook&content=0&hash=1"),
    Asked("GET", ""),
    Asked("GET", "", query="content=0"),
    Asked("GET", "sub", query="type=directory&content=1"),
    Asked("GET", "sub", query="type=file"),
    Asked("GET", "sub", query="type=notebook"),
    Asked("GET", "none.txt"),
    Asked("GET", "none/none.txt"),
    Asked("POST", ""),
    Asked("POST", "", {"type": "file", "ext": ".py"}),
    Asked("POST", "", {"type": "file", "ext": ".py"}),
    Asked("POST", "", {"type": "file", "ext": ".py"}),
    Asked("POST", "", {"ext": ".md"}),
    Asked("POST", "", {"type": "notebook"}),
    Asked("POST", "", {"type": "notebook"}),
    Asked("POST", "", {"ext": ".ipynb"}),
    Asked("POST", "", {"type": "directory"}),
    Asked("POST", "", {"type": "directory"}),
    Asked("POST", "sub", {"type": "file", "ext": ".txt"}),
    Asked("POST", "none", {"type": "file", "ext": ".txt"}),
    Asked("POST", "a.txt", {"type": "file"}),
    Asked("POST", "", {"copy_from": "a.txt"}),
    Asked("POST", "", {"copy_from": "a.txt"}),
    Asked("POST", "", {"copy_from": "a-Copy1.txt"}),
    Asked("POST", "sub", {"copy_from": "a.txt"}),
    Asked("POST", "sub", {"copy_from": "/a.txt"}),
    Asked("POST", "", {"copy_from": "n.ipynb"}),
    Asked("POST", "", {"copy_from": "sub"}),
    Asked("POST", "", {"copy_from": "none.txt"}),
    Asked("PUT", "up.bin", {"type": "file", "format": "base64", "content": "YWJj", "chunk": 1}),
    Asked("PUT", "up.bin", {"type": "file", "format": "base64", "content": "ZGVm", "chunk": 2}),
    Asked("PUT", "up.bin", {"type": "file", "format": "base64", "content": "Z2hp", "chunk": -1}),
    Asked("GET", "up.bin", query="hash=1"),
    Asked("PATCH", "a.txt", {"path": "c.txt"}),
    Asked("PATCH", "c.txt", {"path": "c.txt"}),
    Asked("PATCH", "c.txt", {"path": "b.bin"}),
    Asked("PATCH", "c.txt", {"path": "sub/c.txt"}),
    Asked("PATCH", "none.txt", {"path": "d.txt"}),
    Asked("PATCH", "sub", {"path": "renamed"}),
    Asked("GET", "renamed"),
    Asked("PUT", "new.ipynb", {"type": "notebook"}),
    Asked("GET", "new.ipynb"),
    Asked("PUT", "e.txt", {"type": "file", "format": "text", "content": "x", "copy_from": "b.bin"}),
    Asked("PUT", "e.txt", {"type": "file", "format": "base64", "content": "not base64!"}),
    Asked("PUT", "b.bin", {"type": "directory"}),
    Asked("DELETE", "renamed"),
    Asked("GET", "renamed"),
    Asked("DELETE", "b.bin"),
    Asked("DELETE", "b.bin"),
    Asked("GET", ""),
]
"""Each step stands on those before it."""


@pytest.fixture
def jp_server_config(jp_server_config: Config) -> Config:
    """Let jupyter_server list hidden files, as rooms do, and delete without a trash."""
    jp_server_config.ContentsManager.allow_hidden = True
    jp_server_config.FileContentsManager.delete_to_trash = False
    jp_server_config.FileContentsManager.always_delete_dir = True
    return jp_server_config


def shape(value: Any, key: str = "") -> Any:
    """Reduce an answer to what must be the same: keys, kinds, and all values that are not of the moment."""
    if isinstance(value, dict):
        return {name: shape(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        listed = [shape(inner) for inner in value if not is_checkpoints(inner)]
        return sorted(listed, key=json.dumps) if key == "content" else listed
    if key in ("last_modified", "created"):
        assert datetime.fromisoformat(value).tzinfo is not None
        return "a time"
    if key == "content" and isinstance(value, str):
        return value.replace("\n", "")  # Jupyter breaks base64 into lines
    if key == "trusted":
        return "as the server sees it"  # a room's notebooks never are; see test_contents.py
    return value


def is_checkpoints(value: Any) -> bool:
    """Tell whether an entry is the folder that Jupyter makes beside notebooks."""
    return isinstance(value, dict) and value.get("name") == ".ipynb_checkpoints"


async def test_each_answer_has_the_shape_of_jupyters_own(files: FilesApi) -> None:
    base = files.served.http_url

    async def ask(url: str, asked: Asked) -> tuple[int, Any, Any]:
        path = f"{url}/{quote(asked.path)}" if asked.path else url
        response = await AsyncHTTPClient().fetch(
            HTTPRequest(
                f"{path}?{asked.query}", method=asked.method, headers={"Authorization": files.authorization},
                body=None if asked.body is None else json.dumps(asked.body), allow_nonstandard_methods=True,
            ),
            raise_error=False,
        )  # fmt: skip
        location = response.headers.get("Location", "").partition("/api/contents")[2]
        try:
            body = json.loads(response.body) if response.body else None
        except ValueError:
            body = {"message": response.body.decode()}
        return response.code, body, location

    for step, asked in enumerate(JOURNEY):
        theirs, their_model, their_location = await ask(f"{base}api/contents", asked)
        ours, our_model, our_location = await ask(f"{files.url}/api/contents", asked)
        where = (step, asked, their_model, our_model)
        assert ours == theirs, where
        if theirs >= 400:
            assert set(our_model) == {"message", "reason"}, where
            continue
        assert our_location == their_location, where
        if asked.method == "PUT" and asked.body["type"] != "directory" and "chunk" not in asked.body:
            # More than Jupyter says: whoever saves learns what to expect at the next save.
            assert (our_model.pop("hash_algorithm"), len(our_model.pop("hash"))) == ("sha256", 64), where
            del their_model["hash_algorithm"], their_model["hash"]
        assert shape(our_model) == shape(their_model), where
