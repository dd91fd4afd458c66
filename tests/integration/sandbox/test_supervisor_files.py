"""Files of a sandbox, through the supervisor: what is found, what is refused. The same for every tier."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import tarfile
import time
from collections.abc import AsyncIterator

import pytest

from embedenv_jupyter.errors import SandboxRequestError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from tests.integration.sandbox.programs import DEADLINE_S, OpenSandbox, output, read_all

DEEP = 5000


class Refused:
    """Collects the error number and the text of a refused request."""

    def __init__(self, number: int, named: str) -> None:
        self.number, self.named = number, named
        self._raises = pytest.raises(SandboxRequestError)

    def __enter__(self) -> None:
        self._caught = self._raises.__enter__()

    def __exit__(self, *failure: object) -> bool:
        swallowed = self._raises.__exit__(*failure)  # type: ignore[arg-type]
        error = self._caught.value
        assert (error.errno, error.path) == (self.number, self.named), error
        return swallowed


async def test_written_file_is_read_back(sandbox: Sandbox) -> None:
    content = os.urandom(100_000)
    digest = await sandbox.files.write("a/b/c.bin", content)
    assert digest == hashlib.sha256(content).hexdigest()
    assert await sandbox.files.read("a/b/c.bin") == content
    assert await output(sandbox, "sha256sum < a/b/c.bin") == f"{digest}  -\n".encode()


async def test_ten_megabytes_are_written_in_a_second(sandbox: Sandbox) -> None:
    content = bytes(10 << 20)
    begin = time.monotonic()
    await sandbox.files.write("big", content)
    assert time.monotonic() - begin < 1.0
    assert await sandbox.files.read("big") == content


async def test_descriptors_are_real_files(sandbox: Sandbox) -> None:
    fd = await sandbox.files.open("x", os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(fd, "w+b") as file:
        file.write(b"straight")
    assert await output(sandbox, "cat x") == b"straight"


async def test_replacing_keeps_the_mode_and_leaves_nothing_behind(sandbox: Sandbox) -> None:
    await sandbox.files.write("run.sh", b"#!/bin/sh\necho one\n", mode=0o755)
    await sandbox.files.write("run.sh", b"#!/bin/sh\necho two\n")
    assert await output(sandbox, "./run.sh; ls -A") == b"two\nrun.sh\n"


async def test_write_on_condition_of_the_present_content(sandbox: Sandbox) -> None:
    first = await sandbox.files.write("x", b"one", expected_sha256="")
    second = await sandbox.files.write("x", b"two", expected_sha256=first)
    with Refused(errno.ESTALE, "x"):
        await sandbox.files.write("x", b"three", expected_sha256=first)
    with Refused(errno.ESTALE, "x"):
        await sandbox.files.write("x", b"three", expected_sha256="")
    with Refused(errno.ESTALE, "y"):
        await sandbox.files.write("y", b"three", expected_sha256=second)
    assert await sandbox.files.read("x") == b"two"


async def test_exclusive_write_makes_new_files_only(sandbox: Sandbox) -> None:
    await sandbox.files.write("x", b"one", exclusive=True)
    with Refused(errno.EEXIST, "x"):
        await sandbox.files.write("x", b"two", exclusive=True)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_wins(sandbox, n)) for n in range(20)]
    assert sum(task.result() for task in tasks) == 1


async def _wins(sandbox: Sandbox, number: int) -> bool:
    try:
        await sandbox.files.write("contested", b"%d" % number, exclusive=True)
    except SandboxRequestError as exc:
        if exc.errno != errno.EEXIST:
            raise
        return False
    return True


async def test_listing_describes_each_entry(sandbox: Sandbox) -> None:
    await sandbox.files.write("file", b"12345", mode=0o640)
    await sandbox.files.make_dir("folder")
    await output(sandbox, "ln -s /etc/passwd link; mkfifo pipe")
    found = {entry.name: entry for entry in await sandbox.files.list()}
    assert {name: entry.type for name, entry in found.items()} == {
        "file": "file", "folder": "folder", "link": "link", "pipe": "other",
    }  # fmt: skip
    assert found["file"].size_bytes == 5
    assert found["file"].mode == 0o640
    for name, entry in found.items():
        assert await sandbox.files.stat(name) == entry


async def test_listing_is_in_order_and_bounded(sandbox: Sandbox) -> None:
    await output(sandbox, "mkdir many; cd many; seq 10500 | xargs touch")
    names = [entry.name for entry in await sandbox.files.list("many")]
    assert len(names) == 10_000
    assert names == sorted(names)


async def test_make_rename_remove(sandbox: Sandbox) -> None:
    await sandbox.files.make_dir("a/b/c")
    await sandbox.files.make_dir("a/b/c")
    with Refused(errno.EEXIST, "a/b/c"):
        await sandbox.files.make_dir("a/b/c", exclusive=True)
    await sandbox.files.write("a/x", b"x")
    await sandbox.files.rename("a/x", "a/b/y")
    await sandbox.files.write("z", b"z")
    with Refused(errno.EEXIST, "a/b/y"):
        await sandbox.files.rename("z", "a/b/y")
    await sandbox.files.rename("z", "a/b/y", replace=True)
    assert await sandbox.files.read("a/b/y") == b"z"
    with Refused(errno.ENOTEMPTY, "a"):
        await sandbox.files.remove("a")
    await sandbox.files.remove("a", recursive=True)
    assert await sandbox.files.list() == []


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("missing", errno.ENOENT),
        ("file/below", errno.ENOTDIR),
        ("../outside", errno.EXDEV),
        ("folder/../../outside", errno.EXDEV),
        ("/etc/passwd", errno.EXDEV),
        ("to-etc/passwd", errno.EXDEV),
        ("up/up/up/up/etc/passwd", errno.EXDEV),
        ("circle/x", errno.ELOOP),
        ("long/" * 1000 + "x", errno.ENAMETOOLONG),
        ("n" * 256, errno.ENAMETOOLONG),
    ],
)
async def test_path_that_leads_nowhere_or_out_is_refused(sandbox: Sandbox, path: str, number: int) -> None:
    await output(
        sandbox,
        "touch file; mkdir folder; ln -s /etc to-etc; ln -s .. up; ln -s circle circle; ln -s up/up far",
    )
    named = path[:4096]
    with Refused(number, named):
        await sandbox.files.open(path)
    with Refused(number, named):
        await sandbox.files.remove(path)
    with Refused(number, named):
        await sandbox.files.rename(path, "new")
    if number != errno.ENOENT:
        with Refused(number, named):
            await sandbox.files.write(path, b"x")
        with Refused(number, named):
            await sandbox.files.make_dir(path)


@pytest.mark.parametrize("path", ["", ".", "..", "/", "folder/..", "folder/."])
async def test_the_workspace_itself_is_no_target(sandbox: Sandbox, path: str) -> None:
    await sandbox.files.make_dir("folder")
    for call in (
        sandbox.files.remove(path, recursive=True),
        sandbox.files.write(path, b""),
        sandbox.files.rename(path, "x"),
    ):
        with Refused(errno.EINVAL, path):
            await call
    assert [entry.name for entry in await sandbox.files.list()] == ["folder"]


async def test_special_files_are_neither_opened_nor_replaced(sandbox: Sandbox) -> None:
    await output(sandbox, "mkfifo pipe; ln -s pipe link; ln -s /dev/zero zero; mkdir folder")
    for path, number in (("pipe", errno.EINVAL), ("link", errno.EINVAL), ("zero", errno.EXDEV)):
        with Refused(number, path):
            await sandbox.files.open(path)
    for path, number in (("pipe", errno.EINVAL), ("link", errno.ELOOP), ("folder", errno.EISDIR)):
        with Refused(number, path):
            await sandbox.files.write(path, b"x")
    with Refused(errno.EISDIR, "folder"):
        await sandbox.files.read("folder")


async def test_links_within_the_workspace_are_followed(sandbox: Sandbox) -> None:
    await output(sandbox, "mkdir real; echo hi > real/x; ln -s real/x link; ln -s real folder")
    assert await sandbox.files.read("link") == b"hi\n"
    await sandbox.files.write("folder/y", b"y")
    assert await sandbox.files.read("real/y") == b"y"
    await sandbox.files.remove("link")
    await sandbox.files.remove("folder", recursive=True)
    assert await output(sandbox, "ls; ls real") == b"real\nx\ny\n"


async def test_file_over_the_readers_limit_is_named(sandbox: Sandbox) -> None:
    await output(sandbox, "truncate -s 1G sparse 2>/dev/null || truncate -s 100M sparse")
    with Refused(errno.EFBIG, "sparse"):
        await sandbox.files.read("sparse")


async def test_tree_of_thousands_of_levels_is_removed(sandbox: Sandbox) -> None:
    program = f"import os\nfor _ in range({DEEP}): os.mkdir('d'); os.chdir('d')\nopen('x', 'w').close()"
    assert await output(sandbox, f'python3 -c "{program}"; echo made') == b"made\n"
    with Refused(errno.ENAMETOOLONG, "/".join(["d"] * DEEP)[:4096]):
        await sandbox.files.stat("/".join(["d"] * DEEP))
    await sandbox.files.remove("d", recursive=True)
    assert await sandbox.files.list() == []


async def test_tree_that_refuses_to_go_says_why(sandbox: Sandbox) -> None:
    await output(sandbox, "mkdir -p a/locked; touch a/locked/x; chmod 500 a/locked")
    with pytest.raises(SandboxRequestError, match="denied"):
        await sandbox.files.remove("a", recursive=True)
    await output(sandbox, "chmod 700 a/locked")


# Snapshots.


async def _chunks(sandbox: Sandbox) -> AsyncIterator[bytes]:
    process = await sandbox.files.snapshot()
    assert process.stdout is not None
    while data := await process.stdout.read():
        yield data
    assert (await process.wait()).code == 0
    process.close()


async def snapshot(sandbox: Sandbox) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return b"".join([data async for data in _chunks(sandbox)])


async def restore(sandbox: Sandbox, archive: bytes) -> None:
    """Give the archive through a pipe, as a client's upload comes."""
    reader, writer = os.pipe()
    feeding = asyncio.create_task(asyncio.to_thread(_feed, writer, archive))
    try:
        await sandbox.files.restore(reader)
    finally:
        os.close(reader)
        await feeding


def _feed(writer: int, archive: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb") as stream:
        stream.write(archive)


async def test_snapshot_is_restored_elsewhere(open_sandbox: OpenSandbox) -> None:
    source, target = await open_sandbox(id="source"), await open_sandbox(id="target")
    await output(
        source,
        "mkdir -p a/b empty; echo deep > a/b/file; chmod 750 a; ln -s b/file a/link; ln a/b/file a/hard;"
        " printf '\\377' > \"$(printf 'n\\303\\244me \\377')\"; mkfifo pipe;"
        " head -c 3000000 /dev/urandom > big; chmod +x a/b/file; touch -d '2001-02-03 04:05:06 UTC' empty",
    )
    await restore(target, await snapshot(source))
    listing = (
        "find . ! -type p ! -name . -printf '%P %y %m %l %s %n\\n' | sort | grep -v ' d '; sha256sum big"
    )
    assert await output(target, listing) == await output(source, listing)
    assert await output(target, "cat a/link; stat -c %Y empty; ls | grep -c pipe") == b"deep\n981173106\n0\n"
    await source.aclose()
    await target.aclose()


async def test_snapshot_survives_files_that_come_and_go(sandbox: Sandbox) -> None:
    await output(
        sandbox, "seq 300 | xargs touch; echo kept > zzz; mkdir locked; touch hidden; chmod 0 hidden"
    )
    churn = await sandbox.spawn(["sh", "-c", "while :; do rm -f 1*; touch $(seq 100 120); done"])
    for _ in range(5):
        with tarfile.open(fileobj=io.BytesIO(await snapshot(sandbox))) as archive:
            assert archive.getmember("./zzz").size == 5
    await churn.signal(9)
    await read_all(churn)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("../escaped", {}, "outside of the workspace"),
        ("/tmp/escaped", {}, "outside of the workspace"),
        ("a/../../escaped", {}, "outside of the workspace"),
        ("hard", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "outside of the workspace"),
        ("device", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, "no file, folder or link"),
    ],
)
async def test_hostile_archive_is_refused(
    sandbox: Sandbox, name: str, change: dict[str, object], reason: str
) -> None:
    member = tarfile.TarInfo(name)
    for key, value in change.items():
        setattr(member, key, value)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member)
    with pytest.raises(SandboxRequestError, match=reason):
        await restore(sandbox, buffer.getvalue())
    assert await sandbox.files.list() == []


async def test_archive_does_not_write_through_its_own_links(sandbox: Sandbox) -> None:
    outside = (await output(sandbox, "mktemp -d")).decode().strip()
    link = tarfile.TarInfo("out")
    link.type, link.linkname = tarfile.SYMTYPE, outside
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("out/escaped"))
    with pytest.raises(SandboxRequestError):
        await restore(sandbox, buffer.getvalue())
    assert await output(sandbox, f"ls {outside}; rm -r {outside}") == b""


async def test_damaged_archive_is_refused(sandbox: Sandbox) -> None:
    for damaged in (b"no archive" * 1000, b""):
        with pytest.raises(SandboxRequestError):
            await restore(sandbox, damaged)


async def test_append_needs_the_size_that_it_was_told(sandbox: Sandbox) -> None:
    await sandbox.files.write("a", b"one")
    await sandbox.files.append("a", b"two", at=3)
    with pytest.raises(SandboxRequestError, match="has 6 bytes, not 3") as caught:
        await sandbox.files.append("a", b"three", at=3)
    assert caught.value.errno == errno.ESTALE
    assert await sandbox.files.read("a") == b"onetwo"


async def test_append_follows_no_link_and_opens_nothing_but_files(sandbox: Sandbox) -> None:
    await output(sandbox, "touch outside; ln -s outside link; mkfifo pipe; mkdir folder")
    for path in ("link", "pipe", "folder", "none", "../escaped"):
        with pytest.raises(SandboxRequestError):
            await sandbox.files.append(path, b"x", at=0)
    assert await output(sandbox, "cat outside") == b""


async def test_copies_keep_modes_and_replace_nothing(sandbox: Sandbox) -> None:
    await output(sandbox, "mkdir d; echo x > d/f; chmod 751 d/f; ln -s f d/l; touch taken")
    await sandbox.files.copy("d/f", "g")
    await sandbox.files.copy_folder("d", "e")
    assert await output(sandbox, "stat -c %a g e/f; test -L e/l && cat e/l") == b"751\n751\nx\n"
    for copy, path in ((sandbox.files.copy, "d/f"), (sandbox.files.copy_folder, "d")):
        with pytest.raises(SandboxRequestError) as caught:
            await copy(path, "taken")
        assert caught.value.errno == errno.EEXIST
