"""Any interleaving of one member's connections, commands, answers and losses keeps the session's promises.

The machine reports to sessions what a gateway could, in any order, and keeps a
small model beside them: which commands run, and which connection waits for the
answer of which.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.protocols.spaces import AnsweredIds, SpacesSession, State

IDS = ["a", "b"]
ONCE = {"type": "shell", "command": "make"}
REPEATABLE = {"type": "list"}
FAULTS = ["", "[]", "{", '{"type":"cmd"}', '{"type":"cmd","command":{"type":"x"}}', '{"type":"nothing"}']


@dataclass
class Connection:
    """A session, and what its peer still waits for."""

    session: SpacesSession = field(default_factory=SpacesSession)
    owed: Counter[str | None] = field(default_factory=Counter)
    """Answers that the peer must get, by id; ``None`` for errors without one."""
    waiting: set[str] = field(default_factory=set)
    """Of these, the commands that nobody has answered yet."""
    was_woken: bool = False

    def wake(self) -> None:
        self.was_woken = True


class OneMember(RuleBasedStateMachine):
    """Up to three connections at a time, one memory of answers."""

    @initialize()
    def begin(self) -> None:
        self.answered = AnsweredIds(capacity=len(IDS))
        self.connections: list[Connection] = []
        self.running: dict[str, Connection] = {}
        self.carried_out: set[str] = set()
        self.settled: set[str] = set()
        for index in range(2):
            self.connect()
            self.greet(index, is_welcome=True, fatal=False)

    def some(self, index: int, *states: State) -> Connection | None:
        fitting = [c for c in self.connections if c.session.state in states]
        return fitting[index % len(fitting)] if fitting else None

    @precondition(lambda self: len(self.connections) < 3)
    @rule()
    def connect(self) -> None:
        connection = Connection()
        connection.session = SpacesSession(connection.wake)
        self.connections.append(connection)

    @rule(index=st.integers(0, 2), is_welcome=st.booleans(), fatal=st.booleans())
    def greet(self, index: int, is_welcome: bool, fatal: bool) -> None:
        connection = self.some(index, State.CONNECTING)
        if connection is None:
            return
        session = connection.session
        (request,) = session.receive_frame('{"type":"join","join":"k","resume":0}')
        assert isinstance(request, spaces.Join) and session.state is State.GREETED
        if is_welcome:
            session.joined("k", "u", "#fff", room="r", role="edit", member="m", n=0, answered=self.answered)
        else:
            session.refused("no", fatal=fatal)
        assert len(session.frames_to_send()) == 1
        assert session.state is (State.OPEN if is_welcome else State.CLOSED if fatal else State.CONNECTING)

    @rule(index=st.integers(0, 2), ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=4))
    def send_commands(self, index: int, ids: list[str]) -> None:
        connection = self.some(index, State.OPEN)
        if connection is not None:
            for id in ids:
                self.send_command(connection, id)

    def send_command(self, connection: Connection, id: str) -> None:
        asked = connection.session.receive_frame(json.dumps({"type": "cmd", "command": ONCE, "id": id}))
        assert len(asked) == (id not in self.carried_out)
        if asked:
            self.carried_out.add(id)
            self.running[id] = connection
        if id not in connection.waiting:
            connection.owed[id] += 1
            connection.waiting |= {id} - self.settled

    @rule(index=st.integers(0, 2), id=st.sampled_from(IDS))
    def send_query(self, index: int, id: str) -> None:
        """A query has ids of its own here; it is carried out each time, and answered at once."""
        connection = self.some(index, State.OPEN)
        if connection is None:
            return
        frame = json.dumps({"type": "cmd", "command": REPEATABLE, "id": f"query {id}"})
        (request,) = connection.session.receive_frame(frame)
        connection.session.listing(".", [], request.id)
        connection.owed[request.id] += 1

    @rule(id=st.sampled_from(IDS), is_done=st.booleans())
    def answer(self, id: str, is_done: bool) -> None:
        connection = self.running.pop(id, None)
        if connection is None:
            return
        if is_done:
            connection.session.done(id, "r1")
        else:
            connection.session.failed("no", id)
        self.settle(id, connection)

    def settle(self, id: str, carrier: Connection) -> None:
        """Whoever waited has the answer, and those who did not carry it out were woken."""
        self.settled.add(id)
        for connection in self.connections:
            if id in connection.waiting:
                connection.waiting.remove(id)
                assert connection is carrier or connection.was_woken

    @rule(index=st.integers(0, 2), text=st.sampled_from(FAULTS))
    def send_fault(self, index: int, text: str) -> None:
        connection = self.some(index, State.OPEN)
        if connection is not None:
            assert connection.session.receive_frame(text) == []
            connection.owed[None] += 1

    @precondition(lambda self: len(self.connections) > 2)
    @rule(index=st.integers(0, 2), frame=st.sampled_from([b"\0", '{"type":"join","join":"k"}']))
    def end_fatally(self, index: int, frame: str | bytes) -> None:
        connection = self.some(index, State.OPEN)
        if connection is None:
            return
        self.read_all()
        try:
            connection.session.receive_frame(frame)
            raise AssertionError("this is fatal")
        except RemoteProtocolError:
            assert connection.session.close_code is not None
        assert len(connection.session.frames_to_send()) == 1
        connection.owed.clear()
        connection.waiting.clear()

    @precondition(lambda self: len(self.connections) > 2)
    @rule(index=st.integers(0, 2), loses_commands=st.booleans())
    def close(self, index: int, loses_commands: bool) -> None:
        connection = self.some(index, *State)
        if connection is None:
            return
        connection.session.closed()
        self.connections.remove(connection)
        for id in [id for id, carrier in self.running.items() if carrier is connection]:
            if loses_commands:
                del self.running[id]
            self.settle(id, connection)

    @rule()
    def read_all(self) -> None:
        """Every peer reads what was sent to it: exactly the answers it waits for, each once."""
        for connection in self.connections:
            for data in connection.session.frames_to_send():
                connection.owed[json.loads(data).get("id")] -= 1
            connection.was_woken = False
            assert +connection.owed == Counter(connection.waiting)
            assert not -connection.owed

    @invariant()
    def who_is_closed_sends_nothing_more(self) -> None:
        for connection in getattr(self, "connections", ()):
            if connection.session.state is State.CLOSED:
                assert connection.session.frames_to_send() == []


TestOneMember = OneMember.TestCase
TestOneMember.settings = settings(deadline=None)
