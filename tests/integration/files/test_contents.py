"""Reading and writing a room's files by REST: who may, what is refused, what never gets out of the room."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from embedenv_jupyter.handlers import contents as handler
from embedenv_jupyter.rooms import contents as rooms_contents
from embedenv_jupyter.rooms.content_models import encoded
from embedenv_jupyter.rooms.events import FilesChanged
from embedenv_jupyter.rooms.log import Record
from tests.integration.files.conftest import DEADLINE_S, FilesApi, KeyOf


def text(content: str) -> dict[str, Any]:
    return {"type": "file", "format": "text", "content": content}


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


# Who may do what.


@pytest.mark.parametrize("role", ["view", "run"])
async def test_who_may_not_edit_reads_only(files: FilesApi, as_role: KeyOf, role: str) -> None:
    await files("PUT", "a.txt", text("hello"))
    reader = await as_role(role)
    status, model = await reader("GET", "a.txt")
    assert (status, model["content"], model["writable"]) == (200, "hello", False)
    assert [entry["writable"] for entry in (await reader("GET", ""))[1]["content"]] == [False]
    attempts: list[tuple[str, str, Any]] = [
        ("PUT", "a.txt", text("changed")), ("PUT", "new", {"type": "directory"}),
        ("POST", "", {"ext": ".txt"}), ("PUT", "b.txt", {**text("x"), "chunk": 1}),
        ("POST", "", {"copy_from": "a.txt"}),
        ("PATCH", "a.txt", {"path": "b.txt"}), ("DELETE", "a.txt", None), ("POST", "a.txt/checkpoints", None),
    ]  # fmt: skip
    for method, path, body in attempts:
        status, answer = await reader(method, path, body)
        assert (status, answer["reason"]) == (403, "RoleError"), (method, path)
    assert await files.run("ls -A; cat a.txt") == "a.txt\nhello"


async def test_strangers_learn_nothing(files: FilesApi) -> None:
    await files("PUT", "a.txt", text("hello"))
    stranger = files.with_key("no-such-key")
    for path in ("api/contents/a.txt", "api/contents/none.txt", "files/a.txt"):
        response = await stranger.fetch("GET", path)
        assert response.code == 401
        assert b"hello" not in response.body
    response = await stranger.fetch("PUT", "api/contents/b.txt", json.dumps(text("x")).encode())
    assert response.code == 401


async def test_an_editor_changes_files_and_watchers_learn_of_it(files: FilesApi, as_role: KeyOf) -> None:
    editor = await as_role("edit")
    async with files.room.log.watch(files.room.log.last) as watcher:
        assert (await editor("PUT", "deep/er/a.txt", text("1")))[0] == 201
        assert (await editor("PATCH", "deep/er/a.txt", {"path": "deep/b.txt"}))[0] == 200
        assert (await editor("DELETE", "deep"))[0] == 204
        told: list[tuple[str, ...]] = []
        async for records in watcher:
            events = [record.event for record in records if isinstance(record, Record)]
            told += [event.paths for event in events if isinstance(event, FilesChanged)]
            if len(told) >= 3:
                break
    assert told == [("deep/er/a.txt",), ("deep/er/a.txt", "deep/b.txt"), ("deep",)]


# Saving.


async def test_a_save_is_refused_when_the_file_has_changed_since_it_was_read(files: FilesApi) -> None:
    _, saved = await files("PUT", "a.txt", text("one"))
    assert saved["hash"] == sha256("one")
    await files.run("printf two > a.txt")
    headers = {"If-Match": f'"{saved["hash"]}"'}
    status, answer = await files("PUT", "a.txt", text("three"), **headers)
    assert (status, answer["reason"], answer["hash"]) == (412, "FileChangedError", sha256("two"))
    status, _ = await files("PUT", "a.txt", text("three"), **{"If-Match": f'"{answer["hash"]}"'})
    assert status == 200
    assert await files.run("cat a.txt") == "three"
    await files.run("rm a.txt")
    status, answer = await files("PUT", "a.txt", text("four"), **{"If-Match": f'"{sha256("three")}"'})
    assert (status, answer["hash"], "no more" in answer["message"]) == (412, None, True)
    assert await files.run("ls") == ""


async def test_a_new_file_replaces_nothing_where_that_is_asked(files: FilesApi) -> None:
    await files("PUT", "a.txt", text("one"))
    assert (await files("PUT", "a.txt", text("two"), **{"If-None-Match": "*"}))[0] == 412
    assert (await files("PUT", "b.txt", text("two"), **{"If-None-Match": "*"}))[0] == 201
    assert await files.run("cat a.txt b.txt") == "onetwo"


async def test_an_if_match_that_is_no_hash_is_refused(files: FilesApi) -> None:
    status, answer = await files("PUT", "a.txt", text("x"), **{"If-Match": "W/abc"})
    assert (status, "64 hex digits" in answer["message"]) == (400, True)
    assert await files.run("ls") == ""


async def test_an_upload_in_pieces_replaces_the_file_at_its_last_piece(files: FilesApi) -> None:
    await files("PUT", "up.bin", text("before"))
    pieces = [bytes([65 + number]) * 300_000 for number in range(3)]
    for number, piece in zip((1, 2, -1), pieces, strict=True):
        assert await files.run("head -c 6 up.bin") == "before"
        body = {"type": "file", "format": "base64", "content": encoded(piece), "chunk": number}
        status, model = await files("PUT", "up.bin", body)
        assert (status, model["path"], model["size"] % 300_000) == (200, "up.bin", 0)
    assert await files.run("ls -A; sha256sum < up.bin") == (
        f"up.bin\n{hashlib.sha256(b''.join(pieces)).hexdigest()}  -\n"
    )


async def test_a_piece_out_of_turn_is_refused(files: FilesApi) -> None:
    piece = {"type": "file", "format": "base64", "content": "YWJj"}
    status, answer = await files("PUT", "up.bin", {**piece, "chunk": 2})
    assert (status, "begin with piece 1" in answer["message"]) == (400, True)
    await files("PUT", "up.bin", {**piece, "chunk": 1})
    for number in (1.5, 0, 3, -2):
        status, answer = await files("PUT", "up.bin", {**piece, "chunk": number})
        assert status == 400, answer
    assert (await files("PUT", "up.bin", {**piece, "chunk": 2}))[0] == 200
    assert (await files("PUT", "up.bin", {**piece, "chunk": 1}))[0] == 201  # anew
    assert (await files("PUT", "up.bin", {**piece, "chunk": -1}))[0] == 200
    assert await files.run("ls -A; cat up.bin") == "up.bin\nabcabc"


async def test_a_copied_folder_is_whole(files: FilesApi) -> None:
    await files.run("mkdir -p sub/deep && echo x > sub/deep/f && ln -s f sub/deep/l")
    status, model = await files("POST", "", {"copy_from": "sub"})
    assert (status, model["path"], model["type"]) == (201, "sub-Copy1", "directory")
    assert await files.run("cat sub-Copy1/deep/f; readlink sub-Copy1/deep/l") == "x\nf\n"
    assert (await files("POST", "sub/deep", {"copy_from": "sub"}))[0] == 400


# Notebooks.


async def test_what_is_no_notebook_is_named_as_such(files: FilesApi) -> None:
    await files.run(
        "echo 'no json' > a.ipynb; echo '[1]' > b.ipynb; echo '{\"nbformat\": 99}' > c.ipynb;"
        "printf '\\377' > d.ipynb; head -c 200000 /dev/zero | tr '\\0' '[' > e.ipynb;"
        'echo \'{"nbformat": 4, "nbformat_minor": 5, "metadata": {"x": NaN}, "cells": []}\' > f.ipynb;'
        'echo \'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}\' > g.ipynb'
    )
    for name in "abcdefg":
        status, answer = await files("GET", f"{name}.ipynb")
        assert (status, answer["reason"]) == (400, "ContentError"), (name, answer)
        assert "no notebook" in answer["message"]
        if name != "d":
            assert (await files("GET", f"{name}.ipynb", query="type=file"))[0] == 200
    for content in ("text", [1], {"nbformat": "x"}, {}, {"nbformat": 4, "nbformat_minor": 5, "cells": [3]}):
        status, answer = await files("PUT", "h.ipynb", {"type": "notebook", "content": content})
        assert (status, answer["reason"]) == (400, "ContentError"), content
    assert (await files("GET", "h.ipynb"))[0] == 404


async def test_a_notebook_is_never_trusted_and_keeps_no_such_mark(files: FilesApi) -> None:
    cell = {
        "cell_type": "code", "metadata": {"trusted": True}, "execution_count": 1, "source": "x", "id": "a",
        "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"text/html": "<b>1</b>"}}],
    }  # fmt: skip
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    assert (await files("PUT", "n.ipynb", {"type": "notebook", "content": book}))[0] == 201
    assert "trusted" not in await files.run("cat n.ipynb")
    _, model = await files("GET", "n.ipynb")
    assert model["content"]["cells"][0]["metadata"]["trusted"] is False


async def test_a_notebook_that_breaks_the_format_is_shown_with_what_is_wrong(files: FilesApi) -> None:
    book = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [{"cell_type": "unheard", "metadata": {}}],
    }
    _, saved = await files("PUT", "n.ipynb", {"type": "notebook", "content": book})
    assert saved["message"].startswith("Notebook validation failed")
    status, model = await files("GET", "n.ipynb")
    assert (status, model["message"][:26]) == (200, "Notebook validation failed")
    assert model["content"]["cells"][0]["id"]


async def test_a_notebook_that_is_made_to_cost_much_is_named_or_refused(files: FilesApi) -> None:
    await files.run(
        "python3 - <<'END'\n"
        "cell = {'id': 'a', 'cell_type': 'code', 'metadata': {}, 'source': '', 'execution_count': None}\n"
        "import json\n"
        "def write(name, outputs, kept):\n"
        "    book = {'cells': [{**cell, 'outputs': outputs}], 'metadata': {'a': kept}}\n"
        "    json.dump({**book, 'nbformat': 4, 'nbformat_minor': 5}, open(name, 'w'))\n"
        "write('faults.ipynb', [{}] * 15000, [])\n"
        "write('many.ipynb', [], [{}] * 300000)\n"
        "END"
    )
    status, model = await files("GET", "faults.ipynb")
    assert (status, len(model["content"]["cells"][0]["outputs"])) == (200, 15_000)
    assert "cells[0].outputs[0] has no output_type; allowed are display_data" in model["message"]
    status, answer = await files("GET", "many.ipynb")
    assert (status, answer["reason"]) == (413, "FileTooLargeError")
    assert "more than 200000 lists and objects" in answer["message"]
    status, model = await files("GET", "many.ipynb", query="type=file")
    assert status == 200
    for type in ("notebook", "file"):
        bomb = {"type": type, "format": "text", "content": json.loads(model["content"])}
        status, answer = await files("PUT", "other.ipynb", bomb)
        expected = (413, "FileTooLargeError") if type == "notebook" else (400, "ContentError")
        assert (status, answer["reason"]) == expected, answer
    assert (await files("GET", "other.ipynb"))[0] == 404


# What rooms can put in the way.


async def test_links_show_the_rooms_own_files_only(files: FilesApi) -> None:
    await files.run(
        "mkdir d; echo own > d/own.txt; ln -s d/own.txt inside; ln -s d folder; ln -s /etc/passwd outside;"
        "ln -s ../../../../etc/passwd above; ln -s nowhere broken; ln -s loop loop; ln -s /etc etc"
    )
    host = Path("/etc/passwd").read_text()[:20]
    status, model = await files("GET", "inside")
    assert (status, model["content"]) == (200, "own\n")
    assert (await files("GET", "folder/own.txt"))[1]["content"] == "own\n"
    for path in ("outside", "above", "broken", "loop", "etc", "etc/passwd"):
        for response in (
            await files.fetch("GET", f"api/contents/{path}"),
            await files.fetch("GET", f"files/{path}"),
        ):
            assert response.code in (404, 422), (path, response.body)
            assert host.encode() not in response.body
        status, answer = await files("PUT", path, text("x"))
        assert status in (404, 422), (path, answer)
        assert (await files("POST", "d", {"copy_from": path}))[0] in (404, 422)
    entries = {entry["name"]: entry for entry in (await files("GET", ""))[1]["content"]}
    assert {name: (entry["type"], entry["writable"]) for name, entry in entries.items()} == {
        "d": ("directory", True), "inside": ("file", True), "folder": ("directory", True),
        "outside": ("file", False),
        "above": ("file", False), "broken": ("file", False), "loop": ("file", False), "etc": ("file", False),
    }  # fmt: skip
    for name in ("outside", "etc", "folder"):
        assert (await files("DELETE", name))[0] == 204  # the link goes, not what it leads to
    assert await files.run("cat d/own.txt; test -e /etc/passwd && echo there") == "own\nthere\n"


async def test_paths_that_lead_out_or_nowhere_are_refused_by_name(files: FilesApi) -> None:
    for path in ("../x", "a/../../x", "..", "a/..", "nul\0", "a" * 300, "a/" * 3000 + "a"):
        for method, body in (("GET", None), ("PUT", text("x")), ("DELETE", None), ("POST", {"ext": ".txt"})):
            status, answer = await files(method, path, body)
            assert status in (400, 404), (path[:20], method, answer)
            assert answer["message"], path
    assert (await files("PATCH", "a.txt", {"path": "../x"}))[0] == 400
    assert (await files("POST", "", {"copy_from": "../../etc/passwd"}))[0] == 400
    assert (await files("DELETE", ""))[0] == 400
    assert (await files("PATCH", "", {"path": "x"}))[0] == 400
    for raw in ("..%2F..%2Fetc%2Fpasswd", "%2e%2e/etc/passwd", "%00", "%ff", "a%2F..%2F..%2Fb"):
        for place in ("api/contents", "files"):
            response = await files.fetch("GET", f"{place}/{raw}")
            assert response.code in (400, 404), (raw, response.body)


async def test_what_is_no_file_is_neither_listed_nor_opened(files: FilesApi) -> None:
    await files.run("mkfifo pipe; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")'")
    assert (await files("GET", ""))[1]["content"] == []
    for name in ("pipe", "sock"):
        for response in (
            await files.fetch("GET", f"api/contents/{name}"),
            await files.fetch("GET", f"files/{name}"),
        ):
            assert response.code in (400, 422), response.body
        assert (await files("PUT", name, text("x")))[0] in (400, 422)
        assert (await files("DELETE", name))[0] == 204
    for name in ("/dev/null", "/dev/zero", "/proc/self/environ"):
        await files.run(f"ln -sf {name} device")
        assert (await files.fetch("GET", "api/contents/device")).code in (400, 404, 422)


async def test_names_that_are_not_utf8_are_shown_and_explained(files: FilesApi) -> None:
    await files.run(
        r"""python3 -c 'import os; os.close(os.open(b"bad\xff.txt", os.O_CREAT)); open("good.txt", "w")'"""
    )
    _, model = await files("GET", "")
    assert {(entry["name"], entry["writable"]) for entry in model["content"]} == {
        (r"bad\xff.txt", False), ("good.txt", True)
    }  # fmt: skip
    status, answer = await files("GET", r"bad\xff.txt")
    assert (status, "not UTF-8" in answer["message"]) == (404, True)
    status, answer = await files("PUT", "half.txt", None)
    response = await files.fetch(
        "PUT", "api/contents/a.txt", b'{"type":"file","format":"text","content":"\\ud800"}'
    )
    assert response.code == 400


async def test_a_folder_of_many_entries_is_listed_and_one_of_more_says_so(files: FilesApi) -> None:
    await files.run("mkdir many && cd many && seq -f f%g 9999 | xargs touch")
    _, model = await files("GET", "many")
    assert (len(model["content"]), "message" in model) == (9999, False)
    await files.run("cd many && touch g1 g2 g3")
    _, model = await files("GET", "many")
    assert (len(model["content"]), model["message"]) == (
        10_000,
        "Only 10000 entries of this folder are shown.",
    )
    status, made = await files("POST", "many", {"type": "file", "ext": ".txt"})
    assert (status, made["path"]) == (201, "many/untitled.txt")
    assert (await files("DELETE", "many"))[0] == 204
    assert await files.run("ls") == ""


async def test_bodies_that_say_nothing_sensible_are_refused(files: FilesApi) -> None:
    bodies = (b"no json", b"[]", b'{"type": 3}', b"[" * 100_000, b'{"path": {}, "content": {}}', b'"text"')
    for body in bodies:
        for method in ("PUT", "POST", "PATCH"):
            response = await files.fetch(method, "api/contents/a.txt", body)
            assert response.code in (400, 404), (method, body[:20], response.body)
            assert json.loads(response.body)["message"]
    assert await files.run("ls -A") == ""
    status, answer = await files(
        "PUT", "d", {"type": "directory", "chunk": 1, "content": "", "format": "text"}
    )
    assert (status, "in pieces" in answer["message"]) == (400, True)


async def test_sizes_are_bounded(files: FilesApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms_contents, "MAX_CONTENT_BYTES", 1000)
    monkeypatch.setattr(handler, "MAX_BODY_BYTES", 2000)
    await files.run("head -c 1001 /dev/zero > large; head -c 1000 /dev/zero > small")
    status, answer = await files("GET", "large")
    assert (status, answer["reason"], "downloaded" in answer["message"]) == (413, "FileTooLargeError", True)
    assert (await files("GET", "large", query="content=0&hash=1"))[1]["size"] == 1001
    assert (await files("GET", "small"))[0] == 200
    status, answer = await files("PUT", "a.txt", text("x" * 2000))
    assert (status, answer["reason"]) == (413, "TooLarge")
    assert (await files("GET", "a.txt"))[0] == 404


async def test_refusal_before_the_body_ends_the_connection(files: FilesApi) -> None:
    place = urlsplit(files.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    lines = (
        f"PUT {place.path}/api/contents/a.txt HTTP/1.1",
        f"Host: {place.netloc}",
        "Content-Length: 100000",
        "Authorization: Bearer nobody",
    )
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()  # although the body never comes
    writer.close()
    assert b" 401 " in answer.partition(b"\r\n")[0]
    assert b"\r\nConnection: close\r\n" in answer, "a proxy would send its next request there"


async def test_a_full_disk_is_named(files: FilesApi) -> None:
    await files.run(
        "head -c 400000000 /dev/zero > fill 2> /dev/null; cat /dev/zero > fill2 2> /dev/null; true"
    )
    status, answer = await files("PUT", "a.txt", text("x" * 1_000_000))
    assert (status, "disk is full" in answer["message"]) == (422, True), answer
    assert (await files("DELETE", "fill"))[0] == 204
    assert (await files("PUT", "a.txt", text("x" * 1_000_000)))[0] == 201


async def test_times_that_no_calendar_has_do_no_harm(files: FilesApi) -> None:
    await files.run("touch a.txt; python3 -c 'import os; os.utime(\"a.txt\", (1 << 60, 1 << 60))' || true")
    assert (await files("GET", ""))[0] == 200


async def test_checkpoints_are_harmless(files: FilesApi) -> None:
    await files("PUT", "n.txt", text("x"))
    assert await files("GET", "n.txt/checkpoints") == (200, [])
    status, made = await files("POST", "n.txt/checkpoints")
    assert (status, set(made)) == (201, {"id", "last_modified"})
    status, answer = await files("POST", f"n.txt/checkpoints/{made['id']}")
    assert (status, answer["reason"]) == (404, "NoCheckpoint")
    assert (await files("DELETE", f"n.txt/checkpoints/{made['id']}"))[0] == 204
    assert await files.run("ls -A; cat n.txt") == "n.txt\nx"


async def test_what_programs_change_in_a_folder_that_is_looked_at_is_told(files: FilesApi) -> None:
    await files.run("mkdir seen unseen")
    for path in ("", "seen"):
        assert (await files("GET", path))[0] == 200
    told: list[FilesChanged] = []
    async with files.room.log.watch(files.room.log.last) as watcher:
        await files.run("touch unseen/a seen/b")
        async for records in watcher:
            events = [record.event for record in records if isinstance(record, Record)]
            told += [event for event in events if isinstance(event, FilesChanged)]
            if told:
                break
        await files("PUT", "seen/mine", text("x"))  # told once, as a member's
        await files.run("touch c")
        async for records in watcher:
            events = [record.event for record in records if isinstance(record, Record)]
            told += [event for event in events if isinstance(event, FilesChanged)]
            if told[-1].paths == (".",):
                break
    assert [(event.paths, event.by == "") for event in told] == [
        (("seen",), True), (("seen/mine",), False), ((".",), True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "size", [0, handler.PIECE_BYTES - 500, handler.PIECE_BYTES, 5 * handler.PIECE_BYTES + 1]
)
async def test_an_answer_of_any_size_is_whole(files: FilesApi, size: int) -> None:
    await files.run(f"head -c {size} /dev/zero | tr '\\0' x > a.txt")
    status, model = await files("GET", "a.txt")
    assert (status, model["content"] == "x" * size) == (200, True)
