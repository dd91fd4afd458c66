"""One text that people write in together, and what of it is in the file.

Theory of operation. There are two documents of pycrdt, both with the text ``source``. ``live`` is
what people see: it takes their updates. ``stored`` is what the file holds, and the gateway alone writes
in it. A save brings ``live``'s changes into ``stored``. What a program of the room writes into the file is
brought into ``stored`` as the few edits that make its text the file's, and from there as an update into
``live``. So what people wrote meanwhile and what the program wrote are merged as the changes of two people
are, and neither is lost.

A document that is loaded anew has the same text, but other changes: with a client that still has the
changes of before, everything would be there twice. The gateway's own changes therefore come from a client
id that tells which loading it was (``loading``), and who has changes of another loading is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pycrdt import Doc, Map, Text, TransactionEvent

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError
from embedenv_jupyter.rooms.edits import Edit

SOURCE: Final = "source"
"""The text, as JupyterLab's own shared files call it."""

MAX_HELD_BYTES: Final = 32 << 20
"""What a document may have in all: its text, what was deleted, whatever else clients put in."""

MAX_UNUSED_BYTES: Final = 8 << 20
"""What updates may bring that changes nothing, before the document is rid of it."""

_LOADING_BITS: Final = 32
_OURS: Final = 0x1EDE5A << _LOADING_BITS
_OURS_MASK: Final = 0x1FFFFF << _LOADING_BITS
"""Client ids have 53 bits; in those of gateways the upper 21 are these. Yjs's own ids have none of them."""


class MergedText:
    """The two documents of one file. ``on_update`` is called with each change of what people see."""

    def __init__(self, on_update: Callable[[bytes], None]) -> None:
        self.loading = _OURS | secrets.randbits(_LOADING_BITS)
        self._on_update = on_update
        self._stored: Doc[Any] = Doc(client_id=self.loading)
        self._stored.get("embedenv", type=Map)["id"] = str(self.loading)  # so that it has a change of ours
        self._held_bytes = 0
        self._unused_bytes = 0
        self._used_bytes = 0
        self._live = self._new_live(self._stored.get_update())

    def _new_live(self, update: bytes) -> Doc[Any]:
        live: Doc[Any] = Doc()
        live.apply_update(update)
        self._subscription = live.observe(self._changed)
        return live

    def _changed(self, event: TransactionEvent) -> None:
        self._used_bytes += len(event.update)
        self._on_update(event.update)

    # What people see.

    @property
    def text(self) -> str:
        return str(self._live.get(SOURCE, type=Text))

    @property
    def vector(self) -> bytes:
        return self._live.get_state()

    def missing(self, vector: bytes, clocks: Mapping[int, int]) -> bytes:
        """Return what somebody lacks who has what a state vector tells.

        Raises:
            RemoteProtocolError: it is no vector, or comes from another loading of this file.
        """
        if any(client & _OURS_MASK == _OURS and client != self.loading for client in clocks):
            raise RemoteProtocolError(
                "the file was loaded anew since you had it; open it again", CloseCode.POLICY_VIOLATION
            )
        try:
            return self._live.get_update(vector)
        except ValueError as exc:
            raise RemoteProtocolError(f"no state vector: {exc}") from exc

    def everything(self) -> bytes:
        """Return the whole document as an update."""
        return self._live.get_update()

    def apply(self, update: bytes) -> None:
        """Take an update from somebody who may change the text.

        Raises:
            RemoteProtocolError: it is none, or there is no room for it.
        """
        self._require_room(len(update))
        self._used_bytes = 0
        try:
            self._live.apply_update(update)
        except ValueError as exc:
            raise RemoteProtocolError(f"no update: {str(exc)[:80]}") from exc
        except BaseException as exc:
            if type(exc).__name__ != "PanicException":  # of pycrdt's Rust, which has no name to import
                raise
            raise RemoteProtocolError("no update that can be applied") from exc
        self._unused_bytes += max(0, len(update) - self._used_bytes)
        if self._unused_bytes > MAX_UNUSED_BYTES:
            self._live = self._new_live(
                self._live.get_update()
            )  # without what waits for changes that never come
            self._unused_bytes = 0

    def _require_room(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        if self._held_bytes <= MAX_HELD_BYTES:
            return
        self._held_bytes = len(self._live.get_update()) + size_bytes
        if self._held_bytes > MAX_HELD_BYTES:
            self._held_bytes -= size_bytes
            raise RemoteProtocolError(
                f"this document is full: {MAX_HELD_BYTES} bytes with its history", CloseCode.TOO_BIG
            )

    # What the file holds.

    @property
    def stored_text(self) -> str:
        return str(self._stored.get(SOURCE, type=Text))

    def to_store(self) -> tuple[str, bytes]:
        """Return the text to save, and what :meth:`was_stored` is to be given when it is in the file."""
        return self.text, self._live.get_update(self._stored.get_state())

    def was_stored(self, update: bytes) -> None:
        """Note that the text of :meth:`to_store` is in the file."""
        self._stored.apply_update(update)

    def changed_outside(self, edits: Sequence[Edit], text: str) -> None:
        """Bring in what a program wrote: ``edits`` of :attr:`stored_text` make ``text``."""
        source = self._stored.get(SOURCE, type=Text)
        before = str(source)
        with self._stored.transaction():
            if len(source) != len(before.encode()):  # holds what is no text, so places are not to be counted
                source.clear()
                edits = [Edit(0, 0, text)]
                before = ""
            for edit in edits:  # the last first; pycrdt counts places in bytes of UTF-8
                start = len(before[: edit.start].encode())
                stop = start + len(before[edit.start : edit.stop].encode())
                if stop > start:
                    del source[start:stop]
                if edit.text:
                    source.insert(start, edit.text)
        self._live.apply_update(self._stored.get_update(self._live.get_state()))
