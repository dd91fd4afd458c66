"""What the log does to files. All of this blocks and is called in a thread.

A segment is a file of blocks; its name is the number that it begins with. Files
are open only while something is read or written, so a log holds no descriptor.
There is no fsync: a log outlives its gateway's process, not a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from embedenv_jupyter.rooms.log import blocks
from embedenv_jupyter.rooms.log.blocks import HEADER, CorruptBlockError
from embedenv_jupyter.rooms.log.records import Record, Shelf

log = logging.getLogger(__name__)

SUFFIX: Final = ".segment"
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW
_MAX_PIECES: Final = os.sysconf("SC_IOV_MAX")


class Place(Protocol):
    """Where a block is in its segment, and how it begins."""

    @property
    def offset(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def before_bytes(self) -> int: ...


def segment_name(first: int) -> str:
    """Name the segment that begins with a number, so that names sort as numbers do."""
    return f"{first:020d}{SUFFIX}"


def prepare(directory: Path) -> None:
    """Make the directory of a new log, closed to everybody else.

    Raises:
        FileExistsError: it holds another log.
        OSError: it cannot be made or used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _segments(directory):
        raise FileExistsError(errno.EEXIST, "The directory holds another log", str(directory))
    directory.chmod(0o700)


def append(path: Path, offset: int, pieces: Sequence[bytes]) -> None:
    """Write at the end of a segment, or to a new one when ``offset`` is 0; all or nothing.

    Raises:
        OSError: the segment is as it was before.
    """
    fd = os.open(path, os.O_WRONLY | _FLAGS | (0 if offset else os.O_CREAT | os.O_TRUNC), 0o600)
    try:
        _write_all(fd, pieces, offset)
    except OSError:
        # What is behind the known length is never read; cutting it off gives its space back.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, offset)
            if not offset:
                path.unlink()
        raise
    finally:
        os.close(fd)


def _write_all(fd: int, pieces: Sequence[bytes], offset: int) -> None:
    written = os.pwritev(fd, pieces[:_MAX_PIECES], offset)
    if written == sum(map(len, pieces)):
        return
    offset += written
    view = memoryview(b"".join(pieces))[written:]
    while view:
        written = os.pwrite(fd, view, offset)
        offset += written
        view = view[written:]


def read_block(path: Path, offset: int, length: int, shelf: Shelf) -> list[Record] | Exception:
    """Return the records of a block, or why they cannot be had.

    The error is returned so that nobody has to wait for a look-ahead that
    turned out not to be needed.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
        try:
            return blocks.decode(_read_exactly(fd, offset, length), shelf)
        finally:
            os.close(fd)
    except (OSError, CorruptBlockError) as exc:
        return exc


def _read_exactly(fd: int, offset: int, length: int) -> bytes:
    """Read up to ``length`` bytes; fewer only where the file ends."""
    data = os.pread(fd, length, offset)
    while len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
        data += more
    return data


def survey(path: Path, places: Sequence[Place]) -> list[tuple[int, int]]:
    """Return where the records of a segment begin; of blocks that cannot be read, nothing.

    Only headers and tables are read, so no check sum is verified; what does not
    fit to what is known of the block is not believed.
    """
    found: list[tuple[int, int]] = []
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError:
        return found
    try:
        for place in places:
            found += _survey_block(fd, place)
    except (OSError, CorruptBlockError) as exc:
        log.warning("a segment of a log could not be surveyed: %s", exc)
    finally:
        os.close(fd)
    return found


def _survey_block(fd: int, place: Place) -> list[tuple[int, int]]:
    header = blocks.parse_header(_read_exactly(fd, place.offset, HEADER.size))
    if (header.first, header.before_bytes) != (place.first, place.before_bytes):
        raise CorruptBlockError(f"the block at number {place.first} says it begins with {header.first}")
    if header.table_bytes > place.length:
        raise CorruptBlockError(f"the block at number {place.first} has an endless table")
    table = _read_exactly(fd, place.offset + HEADER.size, header.table_bytes)
    if len(table) < header.table_bytes:
        raise CorruptBlockError(f"the block at number {place.first} is cut short")
    return blocks.beginnings(header, table)


def remove(path: Path) -> None:
    """Delete a segment; one that is gone is no error."""
    path.unlink(missing_ok=True)


def remove_all(directory: Path) -> None:
    """Delete the segments of a log, then its directory if nothing else is in it."""
    for path in _segments(directory):
        path.unlink(missing_ok=True)
    try:
        directory.rmdir()
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise


def replay(directory: Path) -> Iterator[Record]:
    """Read a log that was closed and kept, in order; this blocks.

    Numbers that are missing between two records were not kept. A segment that is
    cut short or damaged is read up to there; that is logged.
    """
    for path in _segments(directory):
        with path.open("rb") as file:
            try:
                size = os.fstat(file.fileno()).st_size
                while head := file.read(HEADER.size):
                    length = min(blocks.parse_header(head).length, size)
                    yield from blocks.decode(head + file.read(length))
            except CorruptBlockError as exc:
                log.warning("%s is read up to a damaged place: %s", path, exc)


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{SUFFIX}"))
