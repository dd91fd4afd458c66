"""A room on a real server, its files by REST, and programs in it that change them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from embedenv_jupyter.rooms.room import Room
from tests.integration.conftest import Served

DEADLINE_S = 60.0


@dataclass(frozen=True)
class FilesApi:
    """The files of one room, with the token of the Jupyter server or with a key."""

    served: Served
    room: Room
    authorization: str
    cookie: str = ""
    """The pass of a browser, in place of what is authorized."""

    def with_key(self, key: str) -> FilesApi:
        return FilesApi(self.served, self.room, f"Bearer {key}")

    async def with_pass(self) -> FilesApi:
        """See the room as a browser does that handed this key in."""
        join = json.dumps({"join": self.authorization.removeprefix("Bearer ")})
        url = f"{self.served.http_url}embedenv/api/join"
        response = await AsyncHTTPClient().fetch(HTTPRequest(url, method="POST", body=join))
        return FilesApi(self.served, self.room, "", response.headers["Set-Cookie"].partition(";")[0])

    @property
    def proof(self) -> dict[str, str]:
        """The header that says who asks."""
        return {"Cookie": self.cookie} if self.cookie else {"Authorization": self.authorization}

    @property
    def url(self) -> str:
        return f"{self.served.http_url}embedenv/rooms/{self.room.id}"

    async def fetch(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> HTTPResponse:
        given = {**self.proof, **(headers or {})}
        request = HTTPRequest(
            f"{self.url}/{path}", method=method, headers=given, body=body,
            allow_nonstandard_methods=True, request_timeout=DEADLINE_S, **options,
        )  # fmt: skip
        return await AsyncHTTPClient(force_instance=True, max_body_size=1 << 30).fetch(
            request, raise_error=False
        )

    async def __call__(
        self, method: str, path: str, body: Any = None, query: str = "", **headers: str
    ) -> tuple[int, Any]:
        """Ask for something of ``api/contents``; return the status and what the JSON of the answer says."""
        where = f"api/contents/{quote(path)}{'?' if query else ''}{query}"
        sent = None if body is None else json.dumps(body).encode()
        response = await self.fetch(method, where, sent, headers=headers)
        return response.code, json.loads(response.body) if response.body else None

    async def run(self, script: str) -> str:
        """Let a program of the room run to its end, and return what it printed."""
        process = await self.room.sandbox.spawn(["/bin/sh", "-c", script])
        assert process.stdout is not None
        printed = b""
        try:
            while data := await process.stdout.read():
                printed += data
            status = await process.wait()
        finally:
            process.close()
        assert status.code == 0, (script, status)
        return printed.decode()


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


@pytest.fixture
async def files(served: Served, jp_serverapp: Any) -> FilesApi:
    """A new room, as its owner sees it."""
    token = f"token {jp_serverapp.identity_provider.token}"
    request = HTTPRequest(
        f"{served.http_url}embedenv/api/rooms", method="POST", headers={"Authorization": token}, body="{}"
    )
    answer = json.loads((await AsyncHTTPClient().fetch(request)).body)
    room = served.gateway.rooms.find(answer["id"])
    assert room is not None
    return FilesApi(served, room, token)


KeyOf = Callable[[str], Awaitable[FilesApi]]


@pytest.fixture
def as_role(files: FilesApi) -> KeyOf:
    """See the room as somebody with a join key of this role."""

    async def as_role(role: str) -> FilesApi:
        response = await AsyncHTTPClient().fetch(
            HTTPRequest(
                f"{files.served.http_url}embedenv/api/rooms/{files.room.id}/keys", method="POST",
                headers={"Authorization": files.authorization}, body=json.dumps({"role": role}),
            )
        )  # fmt: skip
        return files.with_key(json.loads(response.body)["join"])

    return as_role
