"""What is known of a finished tree: its record, and the list of its files by which changes are noticed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from embedenv_jupyter.images.errors import ImageError

INSIDE = "etc/embedenv/image.json"
"""Where a tree says itself what it is."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Record:
    """What a finished tree is; ``failed`` says which languages it was to have and has not, and why."""

    id: str
    name: str
    built: str
    """When, in UTC (ISO 8601)."""
    took_s: float
    size_bytes: int
    languages: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    suite: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record.

        Raises:
            ImageError: it cannot be read, or is none.
        """
        try:
            values: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return cls(**{**values, "languages": tuple(values["languages"])})
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise ImageError(f"The record {path} cannot be read: {exc}") from exc


def walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything in a tree, by its path from there, without following links; in a fixed order."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            status = entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)


def size_of(root: Path) -> int:
    """Return what a tree takes on the disk, in bytes; what has several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for _, status in walk(root):
        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def describe(root: Path) -> Iterator[str]:
    """Yield a line for each file, link and folder of a tree: owner, mode, content, and path as JSON."""
    for path, status in walk(root):
        owner = f"{status.st_uid}:{status.st_gid}"
        yield f"{owner} {status.st_mode:o} {_content(root / path, status)} {json.dumps(path)}"


def _content(path: Path, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    if not stat.S_ISREG(status.st_mode):
        return "-"
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Differences:
    """How a tree differs from its list; each a path in it."""

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added)


def compare(root: Path, listed: Path) -> Differences:
    """Compare a tree with the list that was made of it.

    Raises:
        ImageError: the list cannot be read.
    """
    try:
        before = dict(_parted(line) for line in listed.read_text("utf-8").splitlines())
    except (OSError, ValueError) as exc:
        raise ImageError(f"The list of files {listed} cannot be read: {exc}") from exc
    now = dict(_parted(line) for line in describe(root))
    return Differences(
        tuple(sorted(path for path in before.keys() & now.keys() if before[path] != now[path])),
        tuple(sorted(before.keys() - now.keys())),
        tuple(sorted(now.keys() - before.keys())),
    )


def _parted(line: str) -> tuple[str, str]:
    owner, mode, content, path = line.split(" ", 3)
    return str(json.loads(path)), f"{owner} {mode} {content}"
