from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from embedenv_jupyter.client import commands
from embedenv_jupyter.client.address import Keys
from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.frames import Done, Message, TerminalData
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.client.session import MAX_FAULTS, MAX_SKIPPED, MAX_UNANSWERED, Identity, Phase, Session
from embedenv_jupyter.errors import LocalProtocolError, RemoteProtocolError, RoomClosedError, WorkspaceError

PAIR = Keys(public_key="public", secret_key="secret")
JOIN = Keys(join_key="key")
WELCOME = {
    "type": "init",
    "join": "key",
    "remaining_credits": 9,
    "room": "r",
    "role": "own",
    "member": "token",
    "n": 0,
}


def make(keys: Keys = PAIR, *, history: bool = True) -> Session:
    return Session(keys, Identity("ada", "#fff"), "id", history=history)


def hello(session: Session) -> dict[str, Any]:
    frame = json.loads(session.connected())
    assert isinstance(frame, dict)
    return frame


def feed(session: Session, **frame: Any) -> list[object]:
    return list(session.receive(json.dumps(frame)))


def sent(session: Session) -> list[dict[str, Any]]:
    return [json.loads(data) for _, data in session.frames_to_send()]


def opened(**changes: Any) -> Session:
    session = make()
    hello(session)
    assert feed(session, **(WELCOME | changes)) == []
    return session


def plain() -> Session:
    session = make()
    hello(session)
    feed(session, type="init", join="key", remaining_credits=9)
    return session


def test_init_sends_the_keys_once_and_forgets_them() -> None:
    session = make()
    assert hello(session) == {"type": "init", "public_key": "public", "secret_key": "secret", "resume": 0}
    feed(session, **WELCOME)
    assert (session.join_key, session.room_id, session.role) == ("key", "r", "own")
    assert session.remaining_credits == 9
    assert session._keys is None
    session.lost()
    assert hello(session) == {
        "type": "join", "join": "key", "user": "ada", "color": "#fff", "resume": 0, "member": "token",
    }  # fmt: skip


def test_joining_without_history_drops_what_was() -> None:
    session = make(JOIN, history=False)
    assert hello(session) == {"type": "join", "join": "key", "user": "ada", "color": "#fff", "resume": 0}
    feed(session, **(WELCOME | {"type": "join", "n": 41}))
    assert feed(session, type="gap", **{"from": 1, "to": 30, "n": 30}) == []
    assert feed(session, type="terminal-data", data="old", n=41) == []
    assert feed(session, type="terminal-data", data="x", n=42) == [TerminalData("x", n=42)]
    assert not session.should_join_again


def test_joining_again_leaves_a_long_history_out() -> None:
    session = make(JOIN, history=False)
    hello(session)
    feed(session, **(WELCOME | {"type": "join", "n": MAX_SKIPPED + 1}))
    assert session.should_join_again
    session.lost()
    greeting = hello(session)
    assert (greeting["resume"], greeting["member"]) == (MAX_SKIPPED + 1, "token")
    feed(session, **(WELCOME | {"type": "join", "n": MAX_SKIPPED + 3}))
    assert not session.should_join_again


def test_joining_with_history_asks_for_all() -> None:
    session = make(JOIN)
    assert hello(session)["resume"] == 0
    feed(session, **(WELCOME | {"type": "join", "n": 41}))
    assert session.last_n == 0


def test_what_comes_twice_is_dropped_and_what_is_missing_is_reported() -> None:
    session = opened()
    assert len(feed(session, type="terminal-data", data="a", n=1)) == 1
    assert feed(session, type="terminal-data", data="a", n=1) == []
    assert feed(session, type="terminal-data", data="d", n=4) == [
        Gap(2, 3, 2, is_reported=False),
        TerminalData("d", n=4),
    ]
    assert session.last_n == 4


def test_a_gap_counts_only_what_is_new() -> None:
    session = opened()
    feed(session, type="terminal-data", data="a", n=1)
    gap = {"type": "gap", "from": 1, "to": 10, "events": 10, "bytes": 99, "n": 10}
    assert feed(session, **gap) == [Gap(2, 10, 9, 99)]
    assert feed(session, **gap) == []
    assert session.last_n == 10


def test_an_unknown_numbered_frame_is_counted() -> None:
    session = opened()
    feed(session, type="someday", n=1)
    assert session.last_n == 1
    assert feed(session, type="terminal-data", data="x", n=2) == [TerminalData("x", n=2)]


def test_frames_before_the_welcome_do_not_pass_for_one() -> None:
    session = make()
    hello(session)
    assert feed(session, type="msg", message="connected") == [Message("connected")]
    assert sent(session) == []
    feed(session, **WELCOME)
    assert session.is_welcomed


def test_a_refused_greeting_closes() -> None:
    session = make(JOIN)
    hello(session)
    with pytest.raises(RefusedError, match="opens no room"):
        feed(session, type="error", message="This join key opens no room.")
    assert session.phase is Phase.CLOSED


def test_a_room_without_a_join_key_breaks_the_protocol() -> None:
    session = make()
    hello(session)
    with pytest.raises(RemoteProtocolError):
        feed(session, type="init")


@pytest.mark.parametrize("change", [{"n": 3}, {"room": "other"}, {"n": None}])
def test_a_room_that_started_anew_is_not_taken_for_ours(change: dict[str, Any]) -> None:
    session = opened()
    for n in range(1, 6):
        feed(session, type="terminal-data", data="x", n=n)
    session.lost()
    hello(session)
    with pytest.raises(RoomClosedError, match="anew"):
        feed(session, **(WELCOME | {"type": "join", "n": 5} | change))


def test_commands_wait_for_the_welcome_and_go_in_order() -> None:
    session = make()
    hello(session)
    session.submit(commands.delete("project/a"))
    assert sent(session) == []
    feed(session, **WELCOME)
    session.submit(commands.delete("project/b"))
    assert [(frame["id"], frame["path"]) for frame in sent(session)] == [
        ("id-1", "project/a"),
        ("id-2", "project/b"),
    ]
    assert sent(session) == []


def test_what_is_in_flight_is_sent_again_and_first() -> None:
    session = opened()
    for name in "abc":
        session.submit(commands.delete(f"project/{name}"))
    before = sent(session)
    session.settle("id-2")
    assert session.lost() == []
    session.submit(commands.delete("project/d"))
    hello(session)
    feed(session, **(WELCOME | {"type": "join"}))
    again = sent(session)
    assert again[:2] == [before[0], before[2]]
    assert [frame["id"] for frame in again] == ["id-1", "id-3", "id-4"]


def test_only_so_many_commands_are_on_their_way() -> None:
    session = opened()
    for number in range(MAX_UNANSWERED + 10):
        session.submit(commands.keep(number))
    assert len(sent(session)) == MAX_UNANSWERED
    assert sent(session) == []
    session.settle("id-3")
    session.settle("id-3")
    assert [frame["id"] for frame in sent(session)] == [f"id-{MAX_UNANSWERED + 1}"]
    session.lost()
    hello(session)
    feed(session, **(WELCOME | {"type": "join"}))
    assert [frame["id"] for frame in sent(session)][:3] == ["id-1", "id-2", "id-4"]


def test_a_settled_command_that_was_not_sent_never_is() -> None:
    session = opened()
    session.settle(session.submit(commands.delete("project/a")).id)
    assert sent(session) == []


def test_a_frame_that_is_too_big_is_not_sent_again() -> None:
    session = opened()
    session.submit(commands.write("project/a", "x"))
    sent(session)
    session.submit(commands.write("project/b", "x"))
    assert session.lost(1009) == ["id-1"]
    hello(session)
    feed(session, **(WELCOME | {"type": "join"}))
    assert [frame["id"] for frame in sent(session)] == ["id-2"]


def test_a_frame_that_breaks_the_server_is_sent_only_so_often() -> None:
    session = opened()
    session.submit(commands.write("project/a", "x"))
    for attempt in range(1, MAX_FAULTS + 1):
        assert len(sent(session)) == 1
        assert session.lost(1011) == (["id-1"] if attempt == MAX_FAULTS else [])
        hello(session)
        feed(session, **(WELCOME | {"type": "join"}))
    assert sent(session) == []


def test_a_plain_server_sees_no_additions_after_the_greeting() -> None:
    session = plain()
    assert session.is_plain
    session.submit(commands.shell("ls"))
    assert sent(session) == [
        {"type": "cmd", "project_name": "unified_workspace", "command": {"type": "shell", "command": "ls"}}
    ]


def test_with_a_plain_server_what_was_sent_fails_and_what_was_not_is_kept() -> None:
    session = plain()
    session.submit(commands.shell("a"))
    sent(session)
    session.submit(commands.shell("b"))
    assert session.lost() == ["id-1"]
    assert hello(session) == {"type": "join", "join": "key", "user": "ada", "color": "#fff"}
    assert session.welcomed_silently()
    assert [frame["command"]["command"] for frame in sent(session)] == ["b"]


def test_a_join_may_be_answered_by_the_rooms_output() -> None:
    session = make(JOIN)
    hello(session)
    assert feed(session, type="terminal-data", data="x") == [TerminalData("x")]
    assert session.phase is Phase.OPEN
    assert session.is_plain


def test_an_init_needs_its_answer() -> None:
    session = make()
    hello(session)
    assert not session.welcomed_silently()
    assert feed(session, type="terminal-data", data="x") == [TerminalData("x")]
    assert session.phase is Phase.GREETING


def test_replay_before_the_welcome_of_a_numbered_room_does_not_make_it_plain() -> None:
    session = opened()
    session.lost()
    hello(session)
    feed(session, type="terminal-data", data="x")
    assert not session.is_plain
    assert not session.welcomed_silently()


def test_a_closed_session_says_what_closed_it() -> None:
    session = opened()
    session.close(RoomClosedError("idle"))
    session.close(RuntimeError("later"))
    with pytest.raises(RoomClosedError, match="idle"):
        session.submit(commands.shell("ls"))
    other = opened()
    other.close()
    with pytest.raises(LocalProtocolError):
        other.submit(commands.shell("ls"))


def test_text_that_no_frame_can_carry_is_refused_at_once() -> None:
    session = opened()
    with pytest.raises(WorkspaceError, match="surrogates"):
        session.submit(commands.write("project/x", "\ud800"))
    assert sent(session) == []


class Cuts(RuleBasedStateMachine):
    """A server with a log and a memory of ids, and a network that loses whatever is under way."""

    @initialize()
    def start(self) -> None:
        self.session = opened()
        self.log: list[int] = []
        self.position = 0
        self.done: dict[str, int] = {}
        self.answers: list[str] = []
        self.to_server: list[dict[str, Any]] = []
        self.seen: list[int] = []
        self.answered: list[str] = []
        self.submitted: list[str] = []

    @rule(count=st.integers(1, 5))
    def something_happens(self, count: int) -> None:
        self.log += range(len(self.log) + 1, len(self.log) + 1 + count)

    @rule()
    def submit(self) -> None:
        self.submitted.append(self.session.submit(commands.keep(len(self.submitted))).id)

    @rule()
    def write(self) -> None:
        self.to_server += sent(self.session)

    @precondition(lambda self: self.to_server)
    @rule(data=st.data())
    def server_reads(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, len(self.to_server)))):
            id_ = self.to_server.pop(0)["id"]
            self.done.setdefault(id_, len(self.done))
            self.answers.append(id_)

    @precondition(lambda self: self.position < len(self.log))
    @rule(data=st.data())
    def server_sends_from_the_log(self, data: st.DataObject) -> None:
        upto = data.draw(st.integers(self.position + 1, len(self.log)))
        for n in self.log[self.position : upto]:
            self.receive(type="terminal-data", data=str(n), n=n)
        self.position = upto

    @precondition(lambda self: self.answers)
    @rule()
    def server_answers(self) -> None:
        self.receive(type="done", id=self.answers.pop(0))

    @rule(overlap=st.integers(0, 3), code=st.sampled_from([None, 1001, 1006, 1012, 4002]))
    def cut(self, overlap: int, code: int | None) -> None:
        assert self.session.lost(code) == []
        self.to_server.clear()
        self.answers.clear()
        greeting = hello(self.session)
        assert greeting["resume"] == len(self.seen)
        # Even a server that sends a little too much must not make anything appear twice.
        self.position = max(0, greeting["resume"] - overlap)
        assert feed(self.session, **(WELCOME | {"type": "join", "n": len(self.log)})) == []

    def receive(self, **frame: Any) -> None:
        for got in feed(self.session, **frame):
            if isinstance(got, TerminalData):
                assert got.n is not None
                self.seen.append(got.n)
            elif isinstance(got, Done):
                assert got.id is not None
                self.session.settle(got.id)
                self.answered.append(got.id)
            else:
                raise AssertionError(got)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if hasattr(self, "session"):
            assert self.seen == self.log[: len(self.seen)]
            assert len(set(self.answered)) == len(self.answered)
            assert [id_ for id_, _ in sorted(self.done.items(), key=lambda item: item[1])] == self.submitted[
                : len(self.done)
            ]

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        self.cut(overlap=0, code=None)
        self.write()
        while self.to_server or self.answers:
            self.answers += [frame["id"] for frame in self.to_server]
            self.to_server.clear()
            self.server_answers()
        assert sorted(self.answered) == sorted(self.submitted)


TestCuts = Cuts.TestCase
TestCuts.settings = settings(max_examples=60, stateful_step_count=40)
