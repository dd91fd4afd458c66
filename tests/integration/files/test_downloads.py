"""Files as they are: streamed, in parts, at the reader's pace, and never run by the browser."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable

import psutil
import pytest
from tornado.simple_httpclient import HTTPStreamClosedError

from embedenv_jupyter.handlers import downloads
from embedenv_jupyter.handlers.downloads import Part, part_of
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.sandbox.contents import in_thread
from tests.integration.files.conftest import DEADLINE_S, FilesApi

MIB = 1 << 20


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0, "workspace_mib": 400, "memory_mib": 800}


async def test_a_download_is_an_attachment_that_runs_nothing(files: FilesApi) -> None:
    name = 'wörk "1".html'
    await files("PUT", name, {"type": "file", "format": "text", "content": "<script>1</script>"})
    response = await files.fetch("GET", "files/w%C3%B6rk%20%221%22.html")
    assert (response.code, response.body) == (200, b"<script>1</script>")
    headers = response.headers
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''w%C3%B6rk%20%221%22.html"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert (headers["Content-Length"], headers["Content-Type"]) == ("18", "text/html")


async def test_head_and_empty_files(files: FilesApi) -> None:
    await files("PUT", "a.bin", {"type": "file", "format": "base64", "content": "AAEC"})
    await files("PUT", "empty", {"type": "file", "format": "text", "content": ""})
    response = await files.fetch("HEAD", "files/a.bin")
    assert (response.code, response.headers["Content-Length"], response.body) == (200, "3", b"")
    response = await files.fetch("GET", "files/empty")
    assert (response.code, response.headers["Content-Length"], response.body) == (200, "0", b"")
    for path in ("none", "", "none/none"):
        assert (await files.fetch("GET", f"files/{path}")).code in (400, 404)
    assert (await files("PUT", "sub", {"type": "directory"}))[0] == 201
    assert (await files.fetch("GET", "files/sub")).code == 422


async def test_parts_of_a_file(files: FilesApi) -> None:
    await files("PUT", "a.txt", {"type": "file", "format": "text", "content": "0123456789"})
    for asked, part, where in [("bytes=2-4", b"234", "2-4"),
                               ("bytes=7-", b"789", "7-9"), ("bytes=-2", b"89", "8-9"),
                               ("bytes=0-99", b"0123456789", "0-9")]:  # fmt: skip
        response = await files.fetch("GET", "files/a.txt", headers={"Range": asked})
        assert (response.code, response.body) == (206, part), asked
        assert response.headers["Content-Range"] == f"bytes {where}/10"
    response = await files.fetch("GET", "files/a.txt", headers={"Range": "bytes=10-"})
    assert (response.code, response.headers["Content-Range"]) == (416, "bytes */10")


def test_ranges_that_are_none_are_ignored() -> None:
    for header in ("", "lines=1-2", "bytes=", "bytes=-", "bytes=5-2", "bytes=1-2,4-5", "bytes=a-b"):
        assert part_of(header, 10) is None
    assert part_of("bytes=0-0", 10) == Part(0, 1)
    for header in ("bytes=10-11", "bytes=-0"):
        with pytest.raises(ProblemError):
            part_of(header, 10)


async def test_a_large_file_streams_without_filling_memory_or_holding_others_up(files: FilesApi) -> None:
    await files.run("head -c 209715200 /dev/urandom > large.bin")
    expected = (await files.run("sha256sum < large.bin")).split()[0]
    digest, size = hashlib.sha256(), 0
    gateway = psutil.Process(os.getpid())
    before = gateway.memory_info().rss
    peak = 0

    def take(piece: bytes) -> None:
        nonlocal size, peak
        digest.update(piece)
        size += len(piece)
        peak = max(peak, gateway.memory_info().rss)

    loop = asyncio.get_running_loop()
    waits: list[float] = []

    async def ask_meanwhile() -> None:
        while size < 150 * MIB:
            began = loop.time()
            assert (await files("GET", "large.bin", query="content=0"))[0] == 200
            waits.append(loop.time() - began)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask_meanwhile())
        response = await files.fetch("GET", "files/large.bin", streaming_callback=take)
    assert (response.code, size, digest.hexdigest()) == (200, 200 * MIB, expected)
    assert peak - before < 64 * MIB
    assert len(waits) > 1
    assert max(waits) < 5.0


def is_open(name: str) -> bool:
    """Tell whether the gateway, which is this process, has a file of that name open."""
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the folder's own
            if os.readlink(f"/proc/self/fd/{fd}").endswith(f"/{name}"):
                return True
    return False


async def test_a_reader_who_takes_nothing_is_cut_off(
    files: FilesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "TAKE_TIMEOUT_S", 0.3)
    await files.run("head -c 100000000 /dev/zero > large.bin")
    host, _, port = files.served.host.partition(":")
    path = files.url.partition(files.served.host)[2]
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
        request = f"GET {path}/files/large.bin HTTP/1.1\r\nHost: {files.served.host}\r\n"
        writer.write(f"{request}Authorization: {files.authorization}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert is_open("large.bin")
        while is_open("large.bin"):  # the gateway closes it last, after the connection
            await asyncio.sleep(0.05)
        taken = 0
        while piece := await reader.read(1 << 20):
            taken += len(piece)
        writer.close()
        await writer.wait_closed()
    assert taken < 100_000_000


async def test_a_file_that_shrinks_ends_the_download_early(
    files: FilesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await files.run("head -c 3000000 /dev/zero > a.bin")

    async def shrinking(fd: int, work: Callable[[int], bytes]) -> bytes:
        await files.run("truncate -s 1048576 a.bin")
        return await in_thread(fd, work)

    monkeypatch.setattr(downloads, "in_thread", shrinking)
    with pytest.raises(HTTPStreamClosedError):  # so that nobody takes the part for the whole
        await files.fetch("GET", "files/a.bin")
