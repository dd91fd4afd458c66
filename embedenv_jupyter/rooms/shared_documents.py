"""The text files of a room that people have open together."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import stat
from collections.abc import Callable, Sequence
from os import stat_result
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import (
    BusyError,
    CloseCode,
    ContentError,
    EmbedEnvError,
    FileChangedError,
    MissingFileError,
    RemoteProtocolError,
    SandboxError,
    WorkspaceError,
)
from embedenv_jupyter.protocols import shared_documents as protocol
from embedenv_jupyter.rooms.awareness import Shown
from embedenv_jupyter.rooms.edits import edits_between
from embedenv_jupyter.rooms.files import Files
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.merging import MergedText
from embedenv_jupyter.rooms.outbox import Outbox

log = logging.getLogger(__name__)

MAX_DOCUMENT_BYTES: Final = 8 << 20
"""Of a file that is opened."""
MAX_OPEN: Final = 100
"""Documents of one room that somebody has open."""
MAX_ASLEEP: Final = 32
MAX_ASLEEP_BYTES: Final = 32 << 20
"""Documents that nobody has open are kept for who comes back: so many, with so much text in all."""

LOOK_EVERY_S: Final = 1.0
"""How often the file of an open document is looked at: one stat(2), and a read where that shows a change."""
SAVE_AFTER_S: Final = 0.5
SAVE_LATEST_S: Final = 3.0
"""A change is saved when nothing more came for the first time, and after the second in any case."""
SAVE_AGAIN_S: Final = 5.0
"""When a save failed."""
_SAVE_TRIES: Final = 5

Ender = Callable[[CloseCode, str], None]
_Mark = tuple[int, int, int, int]


class Place:
    """One connection to a document: whose it is, and what waits to be sent there."""

    def __init__(self, document: SharedDocument, member: Member, end: Ender) -> None:
        self.member = member
        self.end = end
        self.outbox = Outbox(document.whole)
        self.is_synced = False
        """It has said what it has, and gets the changes since."""

    @property
    def may_edit(self) -> bool:
        return self.member.role >= Role.EDIT


class SharedDocument:
    """One file: its text, who has it open, and the task that keeps text and file the same."""

    def __init__(self, files: Files, path: str) -> None:
        self.path = path
        self.places: set[Place] = set()
        self._files = files
        self._text = MergedText(self._updated)
        self._shown = Shown()
        self._from: Place | None = None
        self._editor = ""
        self._mark: _Mark | None = None
        self._sha256 = hashlib.sha256(b"").hexdigest()
        self._filing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._changed_s: tuple[float, float] | None = None
        self._failed_s: float | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def is_kept(self) -> bool:
        """Whether a task sees to the file: while somebody is here, and until all is saved."""
        return self._keeping is not None and not self._keeping.done()

    @property
    def size_bytes(self) -> int:
        return len(self._text.text.encode())

    # Who is here.

    def join(self, member: Member, end: Ender) -> Place:
        """Let somebody in; ``end`` closes the connection with a code and a reason."""
        place = Place(self, member, end)
        self.places.add(place)
        if place.may_edit:
            place.outbox.put(protocol.encode(protocol.SyncStep1(self._text.vector)))
        if states := self._shown.all():
            place.outbox.put(protocol.encode(protocol.Awareness(states)))
        if not self.is_kept:
            self._keeping = asyncio.create_task(self._keep(), name=f"file of the document {self.path}")
        return place

    def leave(self, place: Place) -> None:
        """Note that a connection is gone; idempotent. With the last one the document is saved."""
        self.places.discard(place)
        if states := self._shown.leave(place):
            self._send(protocol.encode(protocol.Awareness(states)), but=place)
        self._wake.set()

    def receive(self, place: Place, frame: protocol.Frame) -> None:
        """Do what a frame of somebody asks.

        Raises:
            RemoteProtocolError: it is not acceptable.
            RoleError: it would change what its sender may only look at.
        """
        match frame:
            case protocol.SyncStep1(vector=vector):
                missing = self._text.missing(vector, protocol.decode_vector(vector))
                place.is_synced = True
                place.outbox.put(protocol.encode(protocol.SyncStep2(missing)))
            case protocol.SyncStep2(update=update) | protocol.Update(update=update):
                self._apply(place, update)
            case protocol.Awareness(states=states):
                if place.may_edit and (taken := self._shown.take(place, states)):
                    self._send(protocol.encode(protocol.Awareness(taken)), but=place)
            case protocol.QueryAwareness():
                place.outbox.put(protocol.encode(protocol.Awareness(self._shown.all())))
            case protocol.Ignored():
                return

    def _apply(self, place: Place, update: bytes) -> None:
        if update == protocol.NO_UPDATE:
            return
        place.member.require(Role.EDIT, "change this document")
        if not place.is_synced:
            raise RemoteProtocolError("say what you have (sync step 1) before you change something")
        self._from = place
        try:
            self._text.apply(update)
        finally:
            self._from = None

    def _updated(self, update: bytes) -> None:
        """Pass a change on to all but who made it."""
        self._send(protocol.encode(protocol.Update(update)), but=self._from, synced=True)
        if self._from is None:
            return
        now_s = asyncio.get_running_loop().time()
        self._editor = self._from.member.user
        if self._changed_s is None:
            self._wake.set()  # so that the keeper learns when to save
        self._changed_s = (self._changed_s or (now_s,))[0], now_s

    def _send(self, frame: bytes, *, but: Place | None, synced: bool = False) -> None:
        for place in self.places:
            if place is not but and (place.is_synced or not synced):
                place.outbox.put(frame)

    def whole(self) -> list[bytes]:
        """Return the frames that say everything to somebody who missed some."""
        return [
            protocol.encode(protocol.SyncStep2(self._text.everything())),
            protocol.encode(protocol.Awareness(self._shown.all())),
        ]

    # The file.

    async def _keep(self) -> None:
        """Keep text and file the same until nobody is here any more."""
        while self.places:
            with contextlib.suppress(TimeoutError):
                async with deadline(self._wait_s()):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._look_again()
                if not self.places or self._save_due_s() <= asyncio.get_running_loop().time():
                    await self.save()
            except WorkspaceError as exc:
                for place in list(self.places):
                    place.end(CloseCode.UNSUPPORTED_DATA, str(exc))
            except SandboxError as exc:
                log.info("document %s of a room that does not answer: %s", self.path, exc)
            except Exception:
                log.exception("the document %s was not kept the same as its file", self.path)

    def _save_due_s(self) -> float:
        if self._changed_s is None:
            return float("inf")
        first_s, last_s = self._changed_s
        if self._failed_s is not None:
            return self._failed_s + SAVE_AGAIN_S
        return min(first_s + SAVE_LATEST_S, last_s + SAVE_AFTER_S)

    def _wait_s(self) -> float:
        return max(0.0, min(LOOK_EVERY_S, self._save_due_s() - asyncio.get_running_loop().time()))

    def wake(self) -> None:
        """Have the file looked at now."""
        self._wake.set()

    async def load(self) -> None:
        """Bring the text up to the file, for somebody who opens it.

        Raises:
            WorkspaceError: there is no file that can be opened as text.
        """
        async with self._filing:
            await self._look()
            if not self._sha256:
                raise MissingFileError(self.path, "there is no such file or folder")

    async def _look_again(self) -> None:
        """Bring to the text what somebody else has written into the file."""
        async with self._filing:
            await self._look()

    async def _look(self) -> None:
        try:
            mark = _mark_of(self.path, await self._files.state_of(self.path))
            if mark == self._mark:
                return
            data = await self._files.content_of(self.path, MAX_DOCUMENT_BYTES)
        except MissingFileError:
            self._mark, self._sha256 = None, ""  # the next change makes it anew
            return
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != self._sha256:
            try:
                text = data.decode()
            except UnicodeDecodeError as exc:
                raise ContentError(self.path, "is not UTF-8, so it cannot be written in together") from exc
            edits = await asyncio.to_thread(edits_between, self._text.stored_text, text)
            self._text.changed_outside(edits, text)
        self._mark, self._sha256 = mark, sha256

    async def save(self) -> None:
        """Write the text into the file, with what somebody else has written there meanwhile."""
        async with self._filing:
            for _ in range(_SAVE_TRIES):
                self._changed_s, before = None, self._changed_s
                text, update = self._text.to_store()
                if text == self._text.stored_text:
                    self._text.was_stored(update)
                    return
                try:
                    self._sha256 = await self._files.store(
                        self.path, text.encode(), by=self._editor, expected_sha256=self._sha256
                    )
                except FileChangedError:
                    self._not_saved_yet(before)
                    self._mark = None
                    await self._look()
                    continue
                except EmbedEnvError as exc:
                    self._not_saved_yet(before)
                    self._note_failure(exc)
                    return
                self._text.was_stored(update)
                self._mark = None  # whoever writes at once behind us is found by the hash
                self._failed_s = None
                return
            log.info("the document %s changes faster than it can be saved", self.path)

    def _not_saved_yet(self, before: tuple[float, float] | None) -> None:
        """Let what a save was to bring into the file wait for the next one."""
        self._changed_s = self._changed_s or before

    def _note_failure(self, exc: EmbedEnvError) -> None:
        """Tell the members once that what they write is not in the file."""
        if self._failed_s is None and not isinstance(exc, SandboxError):
            self._files.complain(f"What was written in {self.path!r} is not saved yet: {exc}")
        self._failed_s = asyncio.get_running_loop().time()

    async def aclose(self, code: CloseCode, reason: str) -> None:
        """Put everybody out, and save; idempotent."""
        for place in list(self.places):
            place.end(code, reason)
        self.places.clear()
        self._wake.set()
        if self._keeping is not None:
            await self._keeping


def _mark_of(path: str, found: stat_result) -> _Mark:
    """Return what tells that a file is another one, or was written.

    Raises:
        ContentError: it is no file.
    """
    if stat.S_ISLNK(found.st_mode):
        raise ContentError(path, "is a symbolic link; open what it points to")
    if not stat.S_ISREG(found.st_mode):
        raise ContentError(path, "is no file, so it cannot be written in together")
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class SharedDocuments:
    """The documents of one room, by path; those that nobody has open are kept for a while."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._by_path: dict[str, SharedDocument] = {}
        self._opening = asyncio.Lock()
        files.on_change.append(self._changed)
        files.on_rename.append(self._renamed)

    async def open(self, path: str) -> SharedDocument:
        """Return the document of a file, loaded where nobody has it open; joining is the caller's next step.

        Raises:
            MissingFileError: there is no such file.
            ContentError: it is not a text, or a link.
            FileTooLargeError: it is larger than what is written in together.
            BusyError: too many are open.
        """
        async with self._opening:
            document = self._by_path.get(path)
            if document is None or not document.places:
                if sum(bool(other.places) for other in self._by_path.values()) >= MAX_OPEN:
                    raise BusyError(
                        f"{MAX_OPEN} documents are open in this room, which is as many as may be."
                    )
                document = document or SharedDocument(self._files, path)
                self._by_path.pop(path, None)  # until it is sure that it can be opened
                await document.load()
            self._by_path[path] = self._by_path.pop(path, document)  # the last to have been opened
            self._forget_some(but=document)
            return document

    def _forget_some(self, but: SharedDocument) -> None:
        asleep = [
            other
            for other in self._by_path.values()
            if not other.places and not other.is_kept and other is not but
        ]
        held = sum(other.size_bytes for other in asleep)
        while asleep and (len(asleep) > MAX_ASLEEP or held > MAX_ASLEEP_BYTES):
            oldest = asleep.pop(0)
            held -= oldest.size_bytes
            del self._by_path[oldest.path]

    def _changed(self, paths: Sequence[str]) -> None:
        for path in paths:
            if (document := self._by_path.get(path)) is not None:
                document.wake()

    def _renamed(self, path: str, to: str) -> None:
        """Let those who have a file open stay with it under its new name."""
        for old, document in list(self._by_path.items()):
            if old == path or old.startswith(f"{path}/"):
                new = to + old[len(path) :]
                if new not in self._by_path:
                    document.path = new
                    self._by_path[new] = self._by_path.pop(old)

    async def aclose(self, reason: str) -> None:
        """Put everybody out, and save everything."""
        for document in list(self._by_path.values()):
            await document.aclose(CloseCode.ROOM_ENDED, reason)
