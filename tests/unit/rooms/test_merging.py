"""People, programs and saves in any order: all see the same in the end, and nothing is lost or doubled."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pycrdt import Doc, Text

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError
from embedenv_jupyter.protocols.shared_documents import decode_vector
from embedenv_jupyter.rooms import merging
from embedenv_jupyter.rooms.edits import edits_between
from embedenv_jupyter.rooms.merging import MergedText

PEOPLE = st.integers(0, 1)
WORDS = st.text(alphabet="ab\né😀", min_size=1, max_size=4)


class Person:
    """Somebody's own document, and what waits on the way to and from the room's."""

    def __init__(self, client_id: int) -> None:
        self.doc: Doc[Any] = Doc(client_id=client_id)
        self.source = self.doc.get("source", type=Text)
        self.going: list[bytes] = []
        self.coming: list[bytes] = []
        self.is_taking = False
        self.subscription = self.doc.observe(self._note)

    def _note(self, event: Any) -> None:
        if not self.is_taking:
            self.going.append(event.update)

    def take(self, update: bytes) -> None:
        self.is_taking = True
        self.doc.apply_update(update)
        self.is_taking = False


class WritingTogether(RuleBasedStateMachine):
    """Two people, a file that programs write, and the gateway between them."""

    def __init__(self) -> None:
        super().__init__()
        self.sender: Person | None = None
        self.people = [Person(1), Person(2)]
        self.merged = MergedText(self._updated)
        self.file = ""
        self.marks = 0
        self.expected: set[str] = set()

    def _updated(self, update: bytes) -> None:
        for person in self.people:
            if person is not self.sender:
                person.coming.append(update)

    @initialize(text=st.text(alphabet="xy\n", max_size=20))
    def load(self, text: str) -> None:
        self.file = text
        self.merged.changed_outside(edits_between("", text), text)
        for person in self.people:
            vector = person.doc.get_state()
            person.coming.clear()
            person.take(self.merged.missing(vector, decode_vector(vector)))

    def _mark(self) -> str:
        """Return a character that stands nowhere else, so that it is known when it is lost or doubled."""
        self.marks += 1
        mark = chr(0x4E00 + self.marks)
        self.expected.add(mark)
        return mark

    @rule(who=PEOPLE, at=st.floats(0, 1))
    def write(self, who: int, at: float) -> None:
        source = self.people[who].source
        text = str(source)
        source.insert(len(text[: int(at * len(text))].encode()), self._mark())

    @rule(who=PEOPLE)
    def send(self, who: int) -> None:
        person = self.people[who]
        if person.going:
            self.sender = person
            self.merged.apply(person.going.pop(0))
            self.sender = None

    @rule(who=PEOPLE)
    def receive(self, who: int) -> None:
        person = self.people[who]
        if person.coming:
            person.take(person.coming.pop(0))

    @rule(at=st.floats(0, 1), word=WORDS)
    def program_writes(self, at: float, word: str) -> None:
        place = int(at * len(self.file))
        self.file = self.file[:place] + word + self.file[place:]

    @rule()
    def look(self) -> None:
        edits = edits_between(self.merged.stored_text, self.file)
        self.merged.changed_outside(edits, self.file)
        assert self.merged.stored_text == self.file

    @precondition(lambda self: self.merged.stored_text == self.file)  # the file's hash is what was expected
    @rule()
    def save(self) -> None:
        text, update = self.merged.to_store()
        self.file = text
        self.merged.was_stored(update)
        assert self.merged.stored_text == self.file

    @rule(who=PEOPLE)
    def reconnect(self, who: int) -> None:
        """Lose the connection with all that is on the way, and come back."""
        person = self.people[who]
        person.going.clear()
        person.coming.clear()
        vector = person.doc.get_state()
        missing = self.merged.missing(vector, decode_vector(vector))
        self.sender = person
        self.merged.apply(person.doc.get_update(self.merged.vector))
        self.sender = None
        person.take(missing)

    @invariant()
    def text_is_whole(self) -> None:
        for text in (self.merged.text, self.file):
            assert all(text.count(mark) <= 1 for mark in self.expected)

    def teardown(self) -> None:
        for person in self.people:
            while person.going:
                self.send(self.people.index(person))
        self.look()
        self.save()
        for person in self.people:
            while person.coming:
                person.take(person.coming.pop(0))
            assert str(person.source) == self.merged.text == self.file
        assert all(self.file.count(mark) == 1 for mark in self.expected), (self.file, self.expected)


TestWritingTogether = WritingTogether.TestCase
TestWritingTogether.settings = settings(max_examples=60, stateful_step_count=40)


def loaded(text: str) -> MergedText:
    merged = MergedText(lambda update: None)
    merged.changed_outside(edits_between("", text), text)
    return merged


def test_changes_of_another_loading_are_recognised() -> None:
    first, second = loaded("text"), loaded("text")
    doc: Doc[Any] = Doc()
    vector = doc.get_state()
    doc.apply_update(first.missing(vector, decode_vector(vector)))
    vector = doc.get_state()
    assert first.missing(vector, decode_vector(vector)) == b"\0\0"
    with pytest.raises(RemoteProtocolError, match="loaded anew"):
        second.missing(vector, decode_vector(vector))


def test_an_empty_file_has_a_loading_too() -> None:
    first, second = loaded(""), loaded("")
    doc: Doc[Any] = Doc()
    doc.apply_update(first.everything())
    vector = doc.get_state()
    with pytest.raises(RemoteProtocolError, match="loaded anew"):
        second.missing(vector, decode_vector(vector))


def test_what_is_no_update_is_refused() -> None:
    merged = loaded("text")
    for update in (b"", b"\xff" * 20, merged.everything()[:-1], b"\x01"):
        with pytest.raises(RemoteProtocolError):
            merged.apply(update)
    assert merged.text == "text"


def test_a_document_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MAX_HELD_BYTES", 10_000)
    merged = loaded("text")
    doc: Doc[Any] = Doc()
    source = doc.get("source", type=Text)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))

    def fill() -> None:
        for _ in range(100):
            source.insert(0, "x" * 1000)
            merged.apply(updates[-1])

    with pytest.raises(RemoteProtocolError, match="is full: 10000 bytes") as caught:
        fill()
    assert caught.value.code is CloseCode.TOO_BIG
    assert 5_000 < len(merged.text) < 10_000
    doc.unobserve(subscription)


def test_updates_that_wait_for_others_that_never_come_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MAX_UNUSED_BYTES", 5_000)
    merged = loaded("text")
    doc: Doc[Any] = Doc()
    source = doc.get("source", type=Text)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    source.insert(0, "first")
    for _ in range(20):
        source.insert(0, "x" * 1000)
    for update in updates[1:]:
        merged.apply(update)  # without the first, none of them has a place
    assert merged.text == "text"
    merged.apply(updates[0])
    assert len(merged.text) < 10_000  # of what waited, only the newest was still there
    doc.unobserve(subscription)


def test_what_is_no_text_in_a_text_does_no_harm() -> None:
    merged = loaded("é text")
    doc: Doc[Any] = Doc()
    doc.apply_update(merged.everything())
    source = doc.get("source", type=Text)
    source.insert_embed(0, {"no": "text"})
    source.format(1, 3, {"bold": True})
    merged.apply(doc.get_update())
    _, update = merged.to_store()
    merged.was_stored(update)
    merged.changed_outside(edits_between(merged.stored_text, "ä other"), "ä other")
    assert merged.text == merged.stored_text == "ä other"
    assert pycrdt.get_state(merged.everything())
