"""What is to be run: code, files beside it, arguments, environment. Hostile values end here."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from embedenv_jupyter.errors import SandboxRequestError, SourceError
from embedenv_jupyter.sandbox.sandbox import Sandbox

MAX_CODE_BYTES: Final = 1 << 20
MAX_FILES: Final = 64
MAX_FILES_BYTES: Final = 8 << 20
MAX_PATH_BYTES: Final = 255
MAX_ARGUMENTS: Final = 256
MAX_ENV: Final = 64
MAX_TEXT_BYTES: Final = 16 << 10
"""Of one argument or value."""
MAX_TEXTS_BYTES: Final = 64 << 10
"""Of all arguments and the environment together, as JSON: a request to a sandbox has 128 KiB."""

_IN_THE_WAY: Final = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EACCES, errno.EEXIST,
)  # fmt: skip
"""What is the matter with a file, and not with the sandbox."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OURS: Final = ("LD_", "EMBEDENV_")
"""Variables that would change how our own programs start, not only theirs."""


@dataclass(frozen=True)
class Source:
    """One thing to run.

    ``code`` is put into the language's own source file, ``files`` beside it by
    their relative paths.

    Raises:
        SourceError: a value is not acceptable; the text says which, and what is.
    """

    code: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_code(self.code)
        _check_files(self.files)
        _check_texts(self.arguments, self.env)

    @property
    def data(self) -> bytes:
        """The code as it is written to the file."""
        return self.code.encode()


async def write_files(sandbox: Sandbox, folder: str, files: Mapping[str, bytes], code: str = "") -> None:
    """Write files below a folder of the workspace; ``code`` is the one that holds the code itself.

    Raises:
        SourceError: they do not fit, or something else has the place of one.
        SandboxError: the sandbox has ended, or does not answer.
    """
    for path, content in files.items():
        try:
            await sandbox.files.write(f"{folder}/{path}" if folder else path, content)
        except SandboxRequestError as exc:
            if exc.errno in _IN_THE_WAY:
                where = "code" if path == code else f"files[{path!r:.80}]"
                raise SourceError(where, f"cannot be written: {exc.detail or exc}") from exc
            raise


def _check_code(code: str) -> None:
    size = len(_encoded("code", code))
    if size > MAX_CODE_BYTES:
        raise SourceError("code", f"has {size} bytes, {MAX_CODE_BYTES} are allowed")
    if "\0" in code:
        raise SourceError("code", f"has a NUL byte at character {code.index(chr(0))}; source is text")


def _check_files(files: Mapping[str, bytes]) -> None:
    if len(files) > MAX_FILES:
        raise SourceError("files", f"are {len(files)}, {MAX_FILES} are allowed")
    for path in files:
        _check_path(path)
        for parent in _parents(path):
            if parent in files:
                raise SourceError(f"files[{path!r:.80}]", f"lies below {parent!r:.80}, which is a file")
    size = sum(len(content) for content in files.values())
    if size > MAX_FILES_BYTES:
        raise SourceError("files", f"have {size} bytes together, {MAX_FILES_BYTES} are allowed")


def _check_path(path: str) -> None:
    where = f"files[{path!r:.80}]"
    if not path or "\0" in path:
        raise SourceError(where, "is no path: a relative one without NUL bytes is allowed")
    if len(_encoded(where, path)) > MAX_PATH_BYTES:
        raise SourceError(where, f"is longer than {MAX_PATH_BYTES} bytes")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise SourceError(where, "is not allowed: a path is relative, without '.', '..' or empty parts")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _check_texts(arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
    if len(arguments) > MAX_ARGUMENTS:
        raise SourceError("args", f"are {len(arguments)}, {MAX_ARGUMENTS} are allowed")
    if len(env) > MAX_ENV:
        raise SourceError("env", f"has {len(env)} variables, {MAX_ENV} are allowed")
    for number, text in enumerate(arguments):
        _check_text(f"args[{number}]", text)
    for name, value in env.items():
        where = f"env[{name!r:.80}]"
        if not _VARIABLE.match(name):
            raise SourceError(where, "is no name of a variable: letters, digits and _ are allowed")
        if name.startswith(_OURS):
            raise SourceError(where, f"may not be set: no name that begins with {' or '.join(_OURS)}")
        _check_text(where, value)
    total = len(json.dumps([arguments, dict(env)], ensure_ascii=False).encode())
    if total > MAX_TEXTS_BYTES:
        raise SourceError("args", f"and env have {total} bytes together, {MAX_TEXTS_BYTES} are allowed")


def _check_text(where: str, text: str) -> None:
    size = len(_encoded(where, text))
    if size > MAX_TEXT_BYTES:
        raise SourceError(where, f"has {size} bytes, {MAX_TEXT_BYTES} are allowed")
    if "\0" in text:
        raise SourceError(where, "has a NUL byte, which no program can be given")


def _encoded(where: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise SourceError(where, f"is no Unicode text at character {exc.start} (a lone surrogate)") from None
