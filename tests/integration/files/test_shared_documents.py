"""Writing in one file together: merged, saved, seen by programs, and only by who may."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack

import pycrdt
import pytest
import websockets

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.rooms.events import RoomError
from embedenv_jupyter.rooms.log import Record
from tests.integration.files.conftest import FilesApi, KeyOf
from tests.integration.files.writers import Writer, file_becomes


async def new_file(files: FilesApi, path: str, content: str) -> None:
    body = {"type": "file", "format": "text", "content": content}
    assert (await files("PUT", path, body))[0] in (200, 201)


async def test_two_who_write_at_once_see_the_same_and_the_file_has_it(files: FilesApi) -> None:
    await new_file(files, "sub/a.py", "one\ntwo\n")
    ann, bob = Writer(files, "sub/a.py"), Writer(files, "sub/a.py")
    async with ann.connected(), bob.connected():
        assert (ann.text, bob.text) == ("one\ntwo\n", "one\ntwo\n")
        dice = random.Random(7)  # the same edits each time; how they meet differs
        for number in range(200):
            writer = dice.choice((ann, bob))
            at = dice.randrange(len(writer.source) + 1)
            if dice.random() < 0.3 and at < len(writer.source):
                del writer.source[at : at + 1]
            else:
                writer.source.insert(at, f"{number};")
            if dice.random() < 0.2:
                await asyncio.sleep(0)
        ann.source.insert(0, "ann was here\n")
        bob.source.insert(len(bob.source), "\nbob was here")
        await ann.until(lambda: "bob was here" in ann.text)
        await bob.until(lambda: "ann was here" in bob.text)
        await ann.until(lambda: ann.text == bob.text)
        await file_becomes(files, "sub/a.py", ann.text)
    assert ann.text == bob.text


async def test_what_is_written_is_in_the_file_after_the_last_has_left(files: FilesApi) -> None:
    await new_file(files, "a.txt", "")
    async with Writer(files, "a.txt").connected() as ann:
        ann.source.insert(0, "last words, né 😀\n")
    await file_becomes(files, "a.txt", "last words, né 😀\n")
    async with Writer(files, "a.txt").connected() as late:
        assert late.text == "last words, né 😀\n"


async def test_who_comes_back_brings_what_was_written_meanwhile_and_doubles_nothing(files: FilesApi) -> None:
    await new_file(files, "a.txt", "start\n")
    ann, bob = Writer(files, "a.txt"), Writer(files, "a.txt")
    async with ann.connected(), bob.connected():
        ann.source.insert(6, "ann\n")
        await bob.until(lambda: "ann" in bob.text)
    ann.source.insert(0, "while away\n")
    async with bob.connected():
        bob.source.insert(0, "bob\n")
        await file_becomes(files, "a.txt", "bob\nstart\nann\n")
    async with ann.connected():  # nobody had the file open in between
        await ann.until(lambda: "bob" in ann.text)
        assert sorted(ann.text.splitlines()) == ["ann", "bob", "start", "while away"]
        await file_becomes(files, "a.txt", ann.text)


async def test_who_has_another_loading_of_the_file_is_refused_instead_of_doubling_it(files: FilesApi) -> None:
    await new_file(files, "a.txt", "once\n")
    ann = Writer(files, "a.txt")
    async with ann.connected():
        assert ann.text == "once\n"
    files.room.documents._by_path.clear()  # as when many others were opened since
    async with ann.connected(wait=False):
        code, reason = await ann.ended()
    assert (code, "open it again" in reason) == (CloseCode.POLICY_VIOLATION, True)
    async with Writer(files, "a.txt").connected() as bob:
        assert bob.text == "once\n"


# Programs.


async def test_what_a_program_writes_is_merged_with_what_people_write(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\ntwo\nthree\n")
    async with Writer(files, "a.txt").connected() as ann:
        caret = ann.source.sticky_index(6, pycrdt.Assoc.AFTER)  # before "o" of "two"
        await files.run("sed -i 's/one/ONE and more/; s/three/3/' a.txt")
        await ann.until(lambda: ann.text == "ONE and more\ntwo\n3\n")
        with ann.doc.transaction() as transaction:
            assert caret.get_index(transaction) == len("ONE and more\ntw")
        ann.source.insert(len(ann.source), "ann\n")
        await files.run("echo program >> a.txt")
        await ann.until(lambda: "program" in ann.text)
        assert sorted(ann.text.splitlines()) == ["3", "ONE and more", "ann", "program", "two"]
        await file_becomes(files, "a.txt", ann.text)


async def test_a_save_by_rest_reaches_who_has_the_file_open(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\n")
    async with Writer(files, "a.txt").connected() as ann:
        await new_file(files, "a.txt", "one\ntwo\n")
        await ann.until(lambda: ann.text == "one\ntwo\n")


async def test_a_file_that_is_removed_comes_back_only_when_somebody_writes(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\n")
    async with Writer(files, "a.txt").connected() as ann:
        await files.run("rm a.txt")
    assert await files.run("ls") == ""
    response = await files.fetch("GET", "documents/a.txt")
    assert response.code == 404
    await new_file(files, "b.txt", "one\n")
    async with Writer(files, "b.txt").connected() as ann:
        assert (await files("DELETE", "b.txt"))[0] == 204
        ann.source.insert(0, "zero\n")
        await file_becomes(files, "b.txt", "zero\none\n")


async def test_who_has_a_renamed_file_open_stays_with_it(files: FilesApi) -> None:
    await new_file(files, "d/a.txt", "one\n")
    async with Writer(files, "d/a.txt").connected() as ann:
        assert (await files("PATCH", "d", {"path": "e"}))[0] == 200
        async with Writer(files, "e/a.txt").connected() as bob:
            ann.source.insert(0, "ann\n")
            await bob.until(lambda: bob.text == "ann\none\n")
        await file_becomes(files, "e/a.txt", "ann\none\n")
    assert await files.run("ls") == "e\n"


async def test_a_file_that_is_no_text_any_more_puts_everybody_out(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\n")
    async with Writer(files, "a.txt").connected() as ann:
        await files.run("printf '\\377' > a.txt")
        code, reason = await ann.ended()
    assert (code, "not UTF-8" in reason) == (CloseCode.UNSUPPORTED_DATA, True)
    assert await files.run("od -An -tx1 a.txt") == " ff\n"


async def test_what_cannot_be_saved_is_told_and_saved_later(files: FilesApi) -> None:
    await new_file(files, "d/a.txt", "one\n")
    async with Writer(files, "d/a.txt").connected() as ann:
        await files.run("rm -r d && echo in the way > d")
        async with files.room.log.watch(files.room.log.last) as watcher:
            ann.source.insert(0, "kept\n")
            told = None
            async for records in watcher:
                events = [record.event for record in records if isinstance(record, Record)]
                told = next((event for event in events if isinstance(event, RoomError)), None)
                if told is not None:
                    break
        assert told is not None
        assert "'d/a.txt' is not saved yet" in told.text
        await files.run("rm d")
        await file_becomes(files, "d/a.txt", "kept\none\n")


# Who may.


@pytest.mark.parametrize("role", ["view", "run"])
async def test_who_may_not_edit_sees_everything_and_changes_nothing(
    files: FilesApi, as_role: KeyOf, role: str
) -> None:
    await new_file(files, "a.txt", "one\n")
    viewer, ann = Writer(await as_role(role), "a.txt"), Writer(files, "a.txt")
    async with ann.connected(), viewer.connected():
        ann.source.insert(0, "zero\n")
        await viewer.until(lambda: viewer.text == "zero\none\n")
        viewer.source.insert(0, "changed")
        code, reason = await viewer.ended()
        assert (code, "needs the role 'edit'" in reason) == (CloseCode.REVOKED, True)
        await ann.show(1, 1, {"still": "here"})
        ann.source.insert(0, "ann\n")
        await file_becomes(files, "a.txt", "ann\nzero\none\n")
        assert "changed" not in ann.text


async def test_a_revoked_key_puts_out(files: FilesApi, as_role: KeyOf) -> None:
    await new_file(files, "a.txt", "one\n")
    editor = await as_role("edit")
    async with Writer(editor, "a.txt").connected() as bob:
        files.room.people.revoke(editor.authorization.removeprefix("Bearer "))
        assert (await bob.ended())[0] == CloseCode.REVOKED
    with pytest.raises(websockets.InvalidStatus, match="401"):
        async with Writer(editor, "a.txt").connected():
            raise AssertionError("the key still opens")


async def test_the_end_of_the_room_saves_and_puts_out(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\n")
    saved: list[str] = []
    ann = Writer(files, "a.txt")
    async with ann.connected():
        ann.source.insert(0, "zero\n")
        await ann.until(lambda: True)
        document = files.room.documents._by_path["a.txt"]
        while "zero" not in document._text.text:
            await asyncio.sleep(0.005)

        async def look() -> None:
            saved.append(await files.run("cat a.txt"))

        files.room.before_close(look)  # after the documents, before the sandbox
        await files.room.aclose("tests")
        assert (await ann.ended())[0] == CloseCode.ROOM_ENDED
    assert saved == ["zero\none\n"]


async def test_one_person_with_many_documents_is_one_member(files: FilesApi, as_role: KeyOf) -> None:
    for name in "abc":
        await new_file(files, name, name)
    editor = await (await as_role("edit")).with_pass()
    async with AsyncExitStack() as stack:
        for name in "abc":
            await stack.enter_async_context(Writer(editor, name).connected())
        assert len(files.room.members.present) == 1
    assert not files.room.members.present


# What clients show of themselves.


async def test_names_at_carets_are_shown_to_the_others_until_who_has_them_leaves(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\n")
    ann = Writer(files, "a.txt")
    async with ann.connected():
        async with Writer(files, "a.txt").connected() as bob:
            await bob.show(11, 1, {"user": {"name": "Bob"}})
            await ann.until(lambda: ann.shown.get(11) == {"user": {"name": "Bob"}})
            await ann.show(11, 2, {"user": {"name": "not Bob"}})  # not hers to change
            await ann.show(11, 3, None)
            await ann.show(12, 1, {"user": {"name": "Ann"}})
            await bob.until(lambda: 12 in bob.shown)
            assert 11 not in bob.shown
            async with Writer(files, "a.txt").connected() as late:
                await late.until(lambda: set(late.shown) == {11, 12})
                assert late.shown[11] == {"user": {"name": "Bob"}}
        await ann.until(lambda: ann.shown[11] is None)


async def test_viewers_show_nothing(files: FilesApi, as_role: KeyOf) -> None:
    await new_file(files, "a.txt", "one\n")
    ann = Writer(files, "a.txt")
    async with ann.connected(), Writer(await as_role("view"), "a.txt").connected() as viewer:
        await viewer.show(13, 1, {"user": {"name": "Eve"}})
        await viewer.raw(b"\x03")  # answered after what came before was handled
        await viewer.until(lambda: True)
        await ann.show(12, 1, {"user": {"name": "Ann"}})
        await viewer.until(lambda: 12 in viewer.shown)
        assert 13 not in ann.shown


# What is refused.


async def test_only_text_files_of_the_room_are_opened(files: FilesApi) -> None:
    await files.run(
        "mkdir d; ln -s /etc/passwd out; printf '\\377' > bin; mkfifo pipe;"
        "head -c 9000000 /dev/zero > large; echo x > x; ln -s x link"
    )
    statuses = {"none": 404, "d": 400, "out": 400, "bin": 400, "pipe": 400, "large": 413, "link": 400,
                "%00": 400, "..%2fx": 400, "x/y": 404, "%ff": 400}  # fmt: skip
    for path, status in statuses.items():
        response = await files.fetch("GET", f"documents/{path}")
        assert response.code == status, (path, response.body)
        assert b"root:" not in response.body


async def test_frames_that_are_none_close_the_connection_and_harm_nobody(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\n")
    ann = Writer(files, "a.txt")
    good = pycrdt.create_update_message(pycrdt.Doc().get_update())
    frames: list[bytes | str] = [
        b"", b"\xff", b"\x00", b"\x00\x05\x00", b"\x04", "text", b"\x00\x02\x05abc", b"\x00\x02\x03abc",
        b"\x00\x00\x02\xff\xff", b"\x01\x02\xff\xff", b"\x01\x05\x01\x01\x01\x01x", good + b"x",
        b"\x00\x02" + b"\xff" * 9, bytes(range(256)),
        pycrdt.create_awareness_message(b"\x01\x01\x01" + pycrdt.write_message(json.dumps([1]).encode())),
    ]  # fmt: skip
    async with ann.connected():
        for frame in frames:
            bad = Writer(files, "a.txt")
            async with bad.connected():
                await bad.raw(frame)
                code, _ = await bad.ended()
            assert code in (CloseCode.PROTOCOL_ERROR, CloseCode.UNSUPPORTED_DATA), frame
        ann.source.insert(0, "zero\n")
        await file_becomes(files, "a.txt", "zero\none\n")


async def test_who_says_nothing_of_what_he_has_may_change_nothing(files: FilesApi) -> None:
    await new_file(files, "a.txt", "one\n")
    url = f"{files.url.replace('http', 'ws', 1)}/documents/a.txt"
    async with websockets.connect(url, additional_headers={"Authorization": files.authorization}) as socket:
        doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc({"source": pycrdt.Text("hello")})
        await socket.send(pycrdt.create_update_message(doc.get_update()))
        async with asyncio.timeout(60):
            await socket.wait_closed()
        assert socket.close_code == CloseCode.PROTOCOL_ERROR
    assert await files.run("cat a.txt") == "one\n"
