"""A room's files for one member, as Jupyter's contents API has them.

Stock clients (JupyterLab's ``Drive``) work on it. What differs from jupyter_server's
own manager, all of it on purpose: hidden files are listed, as the client hides them
itself; links are followed inside the room only; writing makes folders that are not
there; saving answers the hash; notebooks are never trusted; there are no checkpoints.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import msgspec

from embedenv_jupyter.errors import (
    ContentError,
    FileTakenError,
    FileTooLargeError,
    MissingFileError,
    WorkspaceError,
)
from embedenv_jupyter.protocols.spaces.paths import workspace_path
from embedenv_jupyter.rooms import content_models as models
from embedenv_jupyter.rooms.content_models import DIRECTORY, FILE, NOTEBOOK, Model
from embedenv_jupyter.rooms.files import Files
from embedenv_jupyter.rooms.folder_watch import FolderWatch
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.notebooks import Notebooks, empty_notebook
from embedenv_jupyter.rooms.uploads import Uploads
from embedenv_jupyter.sandbox.contents import MAX_LISTED, file_info, in_thread, read_up_to
from embedenv_jupyter.sandbox.spec import FileInfo

MAX_CONTENT_BYTES: Final = 32 << 20
"""Of one file that is given or taken as one piece of JSON; larger ones are downloaded, and sent in pieces."""

MAX_FOLLOWED: Final = 100
"""How many links of one folder are followed to say whether they lead to files or folders."""

_TRIES: Final = 20
_COPY_MARK = re.compile(r"-Copy\d*\.")
_NOT_UTF8 = re.compile(r"\\x[0-9a-f]{2}")


NULL: Final = msgspec.Raw(b"null")


class Saved(msgspec.Struct):
    """What a client sends to be saved; what else its model has is ignored."""

    type: str | None = None
    format: str | None = None
    content: msgspec.Raw = NULL
    """As it was sent: what it must be, and how much of it there may be, depends on the type."""
    chunk: int | None = None
    copy_from: str | None = None


class New(msgspec.Struct):
    """What a client wants made in a folder: a copy, or something without a name yet."""

    type: str | None = None
    ext: str | None = None
    copy_from: str | None = None


class Contents:
    """One member's view of the files of a room. Paths are as in URLs, with or without "/" around them."""

    def __init__(
        self, files: Files, notebooks: Notebooks, uploads: Uploads, folders: FolderWatch, member: Member
    ) -> None:
        self._files = files
        self._notebooks = notebooks
        self._uploads = uploads
        self._folders = folders
        self._member = member

    # Looking.

    async def get(
        self, path: str, *, type: str | None = None, format: str | None = None, content: bool, with_hash: bool
    ) -> Model:
        """Describe a file or folder, with its content and the hash of that where they are asked for.

        Raises:
            MissingFileError: there is none.
            ContentError: it is not of the type or format that was asked for.
            FileTooLargeError: its content does not go into one piece.
        """
        path = api_path(path, or_workspace=True)
        found = await self._look(path)
        actual = models.type_of(path, is_folder=found.type == "folder")
        if (actual == DIRECTORY) != (type == DIRECTORY) and type is not None:
            raise ContentError(path, f"is a {'folder' if actual == DIRECTORY else 'file'}, not a {type}")
        model = self._model(path, found, type or actual)
        if actual == DIRECTORY:
            return await self._listed(model) if content else model
        if content:
            return await self._read(model, found, format, with_hash=with_hash)
        return models.with_hash(model, await self._files.digest(self._member, path)) if with_hash else model

    async def _look(self, path: str) -> FileInfo:
        try:
            found = await self._files.look(self._member, path or ".")
        except MissingFileError as exc:
            if _NOT_UTF8.search(path):
                raise MissingFileError(
                    path, "its name is not UTF-8, or it is not there; rename it in a terminal of the room"
                ) from exc
            raise
        info = file_info(path.rpartition("/")[2], found)
        if info.type == "other":
            raise ContentError(path, "is neither a file nor a folder")
        return info

    def _model(self, path: str, found: FileInfo, type: str) -> Model:
        return models.model_of(path, found, type, may_write=self._member.role >= Role.EDIT)

    async def _listed(self, model: Model) -> Model:
        folder = model["path"]
        await self._folders.listed(folder)
        entries = await self._files.list(self._member, folder or ".")
        links = [entry.name for entry in entries if entry.type == "link"][:MAX_FOLLOWED]
        followed = dict(zip(links, await self._follow(folder, links), strict=True))

        def described() -> list[Model]:
            shown = (entry for entry in entries if entry.type != "other")
            return [self._entry(folder, entry, followed.get(entry.name)) for entry in shown]

        listed = {**model, "content": await asyncio.to_thread(described), "format": models.JSON}
        if len(entries) >= MAX_LISTED:
            listed["message"] = f"Only {MAX_LISTED} entries of this folder are shown."
        return listed

    async def _follow(self, folder: str, names: Sequence[str]) -> list[FileInfo | None]:
        """Return what links lead to; ``None`` where that is nothing, or nothing in this room."""
        found: list[FileInfo | None] = []
        for name in names:
            try:
                stat = await self._files.look(self._member, f"{folder}/{name}" if folder else name)
                found.append(file_info(name, stat))
            except WorkspaceError:
                found.append(None)
        return found

    def _entry(self, folder: str, entry: FileInfo, target: FileInfo | None) -> Model:
        """Describe one entry. What cannot be opened is shown as a file that cannot be written."""
        name = models.shown_name(entry.name)
        path = f"{folder}/{name}" if folder else name
        found = target or entry
        model = self._model(path, found, models.type_of(path, is_folder=found.type == "folder"))
        if name != entry.name or found.type in ("link", "other"):
            model["writable"] = False
        return model

    async def _read(self, model: Model, found: FileInfo, format: str | None, *, with_hash: bool) -> Model:
        path = model["path"]
        if found.size_bytes > MAX_CONTENT_BYTES:
            raise FileTooLargeError(
                path,
                f"has {found.size_bytes} bytes; {MAX_CONTENT_BYTES} can be opened, and any number downloaded",
            )
        data = await self._data(path)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()) if with_hash else None
        if model["type"] == NOTEBOOK:
            notebook, message = await self._notebooks.read(path, data)
            model = {**model, "content": notebook, "format": models.JSON}
            if message is not None:
                model["message"] = message
        else:
            model = await asyncio.to_thread(models.with_content, model, data, format)
        return model if digest is None else models.with_hash(model, digest)

    async def _data(self, path: str) -> bytes:
        fd = await self._files.open(self._member, path)
        try:
            return await in_thread(fd, lambda own: read_up_to(own, MAX_CONTENT_BYTES))
        finally:
            os.close(fd)

    async def exists(self, path: str) -> str | None:
        """Return the type of what is at a path; ``None`` where nothing is."""
        try:
            found = await self._look(api_path(path, or_workspace=True))
        except MissingFileError:
            return None
        return models.type_of(path, is_folder=found.type == "folder")

    # Changing.

    async def save(self, path: str, saved: Saved, *, expected_sha256: str | None = None) -> Model:
        """Write a file, a notebook, a piece of a file, or make a folder; return its model without content.

        Raises:
            ContentError: type, format and content do not fit together.
            FileChangedError: the present content has not the expected hash ("" expects no file).
        """
        path = api_path(path)
        type = saved.type or models.type_of(path, is_folder=False)
        if saved.chunk is not None:
            return await self._save_piece(path, type, saved, saved.chunk)
        if type == DIRECTORY:
            return await self._save_folder(path)
        message = None
        content = bytes(saved.content)
        is_empty = content == b"null"
        if type == NOTEBOOK and is_empty:
            data = empty_notebook()
        elif type == NOTEBOOK:
            data, message = await self._notebooks.written(path, content)
        elif is_empty and not saved.format:
            data = b""
        else:
            data = await asyncio.to_thread(models.decoded, path, b'""' if is_empty else content, saved.format)
        digest = await self._files.write(self._member, path, data, expected_sha256=expected_sha256)
        model = models.with_hash(self._model(path, await self._look(path), type), digest)
        return model if message is None else {**model, "message": message}

    async def _save_folder(self, path: str) -> Model:
        try:
            await self._files.create(self._member, path, folder=True)
        except FileTakenError as exc:
            if await self.exists(path) != DIRECTORY:
                raise ContentError(path, "is a file, not a folder") from exc
        return self._model(path, await self._look(path), DIRECTORY)

    async def _save_piece(self, path: str, type: str, saved: Saved, number: int) -> Model:
        if type not in (FILE, NOTEBOOK):
            raise ContentError(path, f"a {type} cannot be sent in pieces")
        piece = await asyncio.to_thread(models.decoded, path, bytes(saved.content), saved.format)
        size_bytes, at = await self._uploads.receive(self._member, path, number, piece)
        return {**self._model(path, await self._look(at), FILE), "size": size_bytes}

    async def new_untitled(self, folder: str, type: str | None, ext: str | None) -> Model:
        """Make an empty file, notebook or folder with the first free of the names that Jupyter gives."""
        folder = await self._folder(folder)
        type = type or (NOTEBOOK if ext == ".ipynb" else FILE)
        if type not in models.TYPES:
            type = FILE
        if type == DIRECTORY:
            stem, insert, suffix = "Untitled Folder", " ", ""
        elif type == NOTEBOOK:
            stem, insert, suffix = "Untitled", "", ".ipynb"
        else:
            stem, insert, suffix = "untitled", "", ext or ""
        names = (f"{stem}{f'{insert}{i}' if i else ''}{suffix}" for i in itertools.count())
        data = empty_notebook() if type == NOTEBOOK else b""

        async def make(path: str) -> None:
            await self._files.create(self._member, path, folder=type == DIRECTORY, content=data)

        path = await self._first_free(folder, names, make)
        return self._model(path, await self._look(path), type)

    async def copy(self, path: str, to: str) -> Model:
        """Copy a file or folder into a folder, under a name that is free there, or to a path that is free."""
        path, to = api_path(path), api_path(to, or_workspace=True)
        is_folder = await self._kind(path) == DIRECTORY
        if is_folder and f"{to}/".startswith(f"{path}/"):
            raise ContentError(path, "cannot be copied into itself")

        async def make(free: str) -> None:
            await self._files.copy(self._member, path, free, folder=is_folder)

        if await self.exists(to) == DIRECTORY:
            stem, dot, suffix = _split(_COPY_MARK.sub(".", path.rpartition("/")[2]))
            names = (f"{stem}{f'-Copy{i}' if i else ''}{dot}{suffix}" for i in itertools.count())
            to = await self._first_free(to, names, make)
        else:
            await make(to)
        return self._model(to, await self._look(to), models.type_of(to, is_folder=is_folder))

    async def _first_free(
        self, folder: str, names: Iterator[str], make: Callable[[str], Awaitable[None]]
    ) -> str:
        """Make something under the first name that is free, and return its path."""
        taken = {entry.name for entry in await self._files.list(self._member, folder or ".")}
        free = (name for name in names if name not in taken)
        for name in itertools.islice(free, _TRIES):
            path = api_path(f"{folder}/{name}")
            try:
                await make(path)
            except FileTakenError:  # somebody was faster, or the folder has more names than are listed
                continue
            return path
        raise FileTakenError(folder, f"the next {_TRIES} names of this kind are taken, too")

    async def rename(self, path: str, to: str) -> Model:
        """Rename a file or folder; the new name must be free."""
        path, to = api_path(path), api_path(to)
        if path != to:
            await self._files.rename(self._member, path, to)
        found = await self._look(to)
        return self._model(to, found, models.type_of(to, is_folder=found.type == "folder"))

    async def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that it holds."""
        await self._files.delete(self._member, api_path(path))

    async def _kind(self, path: str) -> str:
        return models.type_of(path, is_folder=(await self._look(path)).type == "folder")

    async def _folder(self, path: str) -> str:
        path = api_path(path, or_workspace=True)
        if await self._kind(path) != DIRECTORY:
            raise ContentError(path, "is a file; write to it with PUT")
        return path


def api_path(text: str, *, or_workspace: bool = False) -> str:
    """Return a path of a URL in its one normal form, "" for the workspace itself where that is allowed.

    Raises:
        RemoteProtocolError: it leads out, or no file system takes it.
    """
    path = workspace_path(text.strip("/"), or_workspace=or_workspace)
    return "" if path == "." else path


def _split(name: str) -> tuple[str, str, str]:
    """Split a name where Jupyter puts ``-Copy1``: before all its suffixes, but ``.ipynb`` is only one."""
    if name.endswith(".ipynb"):
        return name.rpartition(".")
    return name.partition(".")
