"""``embedenv/rooms/{room}/api/contents``: the files of a room, as Jupyter's own contents API has them.

For users: docs/files.md.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TypeVar

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.utils import url_escape, url_path_join
from tornado.iostream import StreamClosedError
from tornado.web import stream_request_body

from embedenv_jupyter.errors import FileChangedError
from embedenv_jupyter.handlers.access import OwnHandler, Principal
from embedenv_jupyter.handlers.base import StreamedRequestHandler
from embedenv_jupyter.handlers.documents import ROOT
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.handlers.rooms import require
from embedenv_jupyter.rooms.content_models import HASH_ALGORITHM, TYPES, Model
from embedenv_jupyter.rooms.contents import Contents, New, Saved
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room

MAX_BODY_BYTES = 48 << 20
"""Of a request: what may be saved in one piece, in base64, and the JSON around it."""

PIECE_BYTES = 1 << 20

CHECKPOINT = "none"
"""The id of the checkpoint that there never is."""

_IF_MATCH = re.compile(r'"([0-9a-f]{64})"')

T = TypeVar("T")


def visitor(who: Principal) -> Member:
    """Return somebody as a member for one request; nobody sees them come and go."""
    return Member(who.owner, who.user, who.colour, who.role)


class FilesHandler(OwnHandler):
    """Base of routes to a room's files: who asks is known before the body is read."""

    room: Room
    member: Member

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        is_reading = self.request.method in ("GET", "HEAD", "OPTIONS")
        self.room, who = await self.entered(self.path_kwargs["room_id"], "read" if is_reading else "write")
        self.member = visitor(who)
        if not is_reading:
            require(who, Role.EDIT, "change files")
            self.room.touch()

    def compute_etag(self) -> None:
        """Let Tornado hash no answers: they may be large, and a file's own hash is in them."""


@stream_request_body
class ContentsHandler(StreamedRequestHandler, FilesHandler):
    """One file or folder."""

    async def prepare(self) -> None:  # type: ignore[override]
        self._received = bytearray()
        self._is_too_large = int(self.request.headers.get("Content-Length") or 0) > MAX_BODY_BYTES
        await super().prepare()
        self._require_size()
        room = self.room
        self.contents = Contents(room.files, room.notebooks, room.uploads, room.folders, self.member)
        self.is_read = True  # what is asked is done only then

    def data_received(self, chunk: bytes) -> None:
        self._is_too_large = self._is_too_large or len(self._received) + len(chunk) > MAX_BODY_BYTES
        if not self._is_too_large:
            self._received += chunk

    def _require_size(self) -> None:
        if self._is_too_large:
            raise ProblemError(
                413,
                f"A request has at most {MAX_BODY_BYTES} bytes; send a larger file in chunks.",
                "TooLarge",
            )

    async def sent(self, kind: type[T]) -> T:
        """Read the JSON body, of which there is more than other routes take.

        Raises:
            ProblemError: naming what is wrong with it.
        """
        self._require_size()
        try:
            return await asyncio.to_thread(msgspec.json.decode, self._received or b"{}", type=kind)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise ProblemError(400, f"The body is not right: {exc}", "BadRequest") from exc

    @allow_unauthenticated
    async def get(self, room_id: str, path: str) -> None:
        wanted = self.get_query_argument("type", None)
        model = await self.contents.get(
            path,
            type=wanted if wanted is None or wanted in TYPES else "file",
            format=self._choice("format", None, ("text", "base64")),
            content=self._choice("content", "1", ("0", "1")) == "1",
            with_hash=self._choice("hash", "0", ("0", "1")) == "1",
        )
        await self._answer_model(model, 200)

    @allow_unauthenticated
    async def put(self, room_id: str, path: str) -> None:
        saved = await self.sent(Saved)
        if not self._received:
            await self._answer_model(await self.contents.new_untitled(path, None, None), 201)
            return
        if saved.copy_from:
            raise ProblemError(400, "PUT does not copy; POST to the folder to copy into.", "BadRequest")
        if saved.type is not None and saved.type not in TYPES:
            saved.type = "file"
        expected = self._expected()
        if expected is not None and (saved.chunk is not None or saved.type == "directory"):
            raise ProblemError(400, "If-Match goes with whole files only.", "BadRequest")
        is_begun = saved.chunk not in (None, 1)
        existed = is_begun or await self.contents.exists(path) in ("file", "notebook")
        try:
            model = await self.contents.save(path, saved, expected_sha256=expected)
        except FileChangedError as exc:
            present = {"hash": exc.sha256 or None, "hash_algorithm": HASH_ALGORITHM}
            self.answer({"message": str(exc), "reason": type(exc).__name__, **present}, 412)
            return
        await self._answer_model(model, 200 if existed else 201)

    @allow_unauthenticated
    async def post(self, room_id: str, path: str) -> None:
        wanted = await self.sent(New)
        if await self.contents.exists(path) in ("file", "notebook"):
            raise ProblemError(
                400, "POST makes something in a folder; write to a file with PUT.", "BadRequest"
            )
        if wanted.copy_from:
            model = await self.contents.copy(wanted.copy_from, path)
        else:
            model = await self.contents.new_untitled(path, wanted.type, wanted.ext)
        await self._answer_model(model, 201)

    @allow_unauthenticated
    async def patch(self, room_id: str, path: str) -> None:
        wanted = await self.sent(Renamed)
        await self._answer_model(await self.contents.rename(path, wanted.path), 200)

    @allow_unauthenticated
    async def delete(self, room_id: str, path: str) -> None:
        await self.contents.delete(path)
        self.set_status(204)
        self.finish()

    def _choice(self, name: str, default: str | None, allowed: tuple[str, ...]) -> str | None:
        value = self.get_query_argument(name, default)
        if value != default and value not in allowed:
            raise ProblemError(
                400, f"{name} is {value!r:.40}; allowed are {' and '.join(allowed)}.", "BadRequest"
            )
        return value

    def _expected(self) -> str | None:
        """Return the hash that the present content must have: "" for no file, ``None`` for any or none."""
        if self.request.headers.get("If-None-Match", "").strip() == "*":
            return ""
        header = self.request.headers.get("If-Match")
        if header is None:
            return None
        if match := _IF_MATCH.fullmatch(header.strip()):
            return match[1]
        raise ProblemError(400, 'If-Match is the SHA-256 of what was read, as "64 hex digits".', "BadRequest")

    async def _answer_model(self, model: Model, status: int) -> None:
        self.set_status(status)
        if self.request.method != "GET":
            self.set_header(
                "Location",
                url_path_join(
                    self.base_url, ROOT, "rooms", self.room.id, "api/contents", url_escape(model["path"])
                ),
            )
        self.set_header("Last-Modified", model["last_modified"])
        await self._finish_in_pieces(await asyncio.to_thread(msgspec.json.encode, model))

    async def _finish_in_pieces(self, data: bytes) -> None:
        """Send an answer at the reader's pace: all of a large one at once would hold up everybody else."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(data)))
        try:
            for at in range(0, len(data) - PIECE_BYTES, PIECE_BYTES):
                self.write(data[at : at + PIECE_BYTES])
                await self.flush()
            self.finish(data[(len(data) - 1) // PIECE_BYTES * PIECE_BYTES :])
        except StreamClosedError:
            self.log.info("nobody waits for the rest of %s", self.request.path)


class Renamed(msgspec.Struct):
    """The new path of a file or folder."""

    path: str


class CheckpointsHandler(FilesHandler):
    """The checkpoints of a file: there are none. Making one is harmless, as clients do it when they save."""

    @allow_unauthenticated
    async def get(self, room_id: str, path: str) -> None:
        self.answer([])

    @allow_unauthenticated
    async def post(self, room_id: str, path: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.answer({"id": CHECKPOINT, "last_modified": now}, 201)


class CheckpointHandler(FilesHandler):
    """One checkpoint: there is none to go back to."""

    @allow_unauthenticated
    async def post(self, room_id: str, path: str, checkpoint_id: str) -> None:
        raise ProblemError(404, "Rooms keep no checkpoints, so there is none to go back to.", "NoCheckpoint")

    @allow_unauthenticated
    async def delete(self, room_id: str, path: str, checkpoint_id: str) -> None:
        self.set_status(204)
        self.finish()
