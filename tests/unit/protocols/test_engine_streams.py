"""The client's side of the Engine protocol against a gateway of a few lines, across cuts anywhere."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from embedenv_jupyter.errors import CloseCode, LocalProtocolError, RemoteProtocolError, SourceError
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.codec import decode_client_frame, encode
from embedenv_jupyter.protocols.engine.reports import (
    Failed,
    Loss,
    Receipt,
    Refused,
    Report,
    SessionEnded,
    Told,
    TooLate,
    Unsure,
    Welcomed,
)
from embedenv_jupyter.protocols.engine.sending import MAX_AWAITING
from embedenv_jupyter.protocols.engine.server import error_frame
from embedenv_jupyter.protocols.engine.streams import MAX_FAULTS, MAX_RUNNING, EngineStreams, Phase

KEY = "secret-key"


def request(id: str, code: str = "1", session: str | None = "s") -> frames.Execute:
    return frames.Execute(
        language="python", code=code, id=id, stream=True, session=UNSET if session is None else session
    )


def accepted(id: str, n: int, room: str = "r1") -> frames.Accepted:
    return frames.Accepted(id=id, n=n, session="s", room=room)


def out(id: str, n: int, data: str = "x") -> frames.Stdout:
    return frames.Stdout(id=id, n=n, data=data)


def result(id: str, n: int) -> frames.Result:
    return frames.Result(id=id, n=n, exit_code=0, execution_time=1)


def resumed(n: int, *running: str, room: str = "r1") -> frames.Resumed:
    return frames.Resumed(session="s", room=room, n=n, running=list(running))


AUTHENTICATED = frames.Authenticated()
GONE = error_frame("unknown_session", "gone")


def feed(streams: EngineStreams, *told: frames.ServerFrame) -> list[Report]:
    return [report for frame in told for report in streams.receive_frame(encode(frame))]


def sent(streams: EngineStreams) -> list[frames.ClientFrame]:
    return [decode_client_frame(data.decode()) for data in streams.frames_to_send()]


def ids_of(asked: Iterable[frames.ClientFrame]) -> list[object]:
    return [frame.id for frame in asked if isinstance(frame, frames.Execute)]


def opened(session: str | None = "s") -> EngineStreams:
    streams = EngineStreams(KEY, session)
    streams.connected()
    assert sent(streams) == [frames.Auth(KEY)]
    assert feed(streams, AUTHENTICATED) == [Welcomed()]
    return streams


def with_run(*told: frames.ServerFrame, session: str | None = "s") -> EngineStreams:
    """A session whose run ``a`` was sent, and told so much of."""
    streams = opened(session)
    streams.begin(request("a", session=session))
    assert ids_of(sent(streams)) == ["a"]
    feed(streams, *told)
    return streams


def cut(streams: EngineStreams) -> list[Report]:
    """Lose the connection, and greet on another one up to the question for the session."""
    reports = streams.lost()
    streams.connected()
    sent(streams)
    feed(streams, AUTHENTICATED)
    assert isinstance(sent(streams)[0], frames.Resume)
    return reports


# Runs


def test_a_run_is_told_of_from_its_beginning_to_its_end() -> None:
    streams = with_run()
    told: list[frames.StreamFrame] = [accepted("a", 1), out("a", 2), result("a", 3)]
    reports = feed(streams, *told)
    assert reports == [Told("a", frame) for frame in told]
    assert [report.is_last for report in reports if isinstance(report, Told)] == [False, False, True]
    assert not streams.has("a")


def test_other_clients_of_the_session_are_counted_and_not_told_of() -> None:
    streams = with_run(accepted("a", 7))
    assert feed(streams, out("b", 8), out("a", 9)) == [Told("a", out("a", 9))]
    assert streams.last_n == 9


def test_frames_of_a_later_version_count_and_are_passed_over() -> None:
    streams = with_run(accepted("a", 1))
    assert streams.receive_frame(b'{"type":"hologram","id":"a","n":2}') == []
    assert feed(streams, out("a", 3)) == [Told("a", out("a", 3))]


def test_what_is_no_frame_is_the_gateways_fault() -> None:
    streams = opened()
    for data in (b"", b"[]", b'{"type":"stdout"}', b'{"n":1}', b"\xff"):
        with pytest.raises(RemoteProtocolError):
            streams.receive_frame(data)


def test_only_so_many_runs_are_with_the_gateway() -> None:
    streams = opened()
    for n in range(MAX_RUNNING + 2):
        streams.begin(request(str(n)))
    assert ids_of(sent(streams)) == [str(n) for n in range(MAX_RUNNING)]
    feed(streams, accepted("0", 1), result("0", 2))
    assert ids_of(sent(streams)) == [str(MAX_RUNNING)]


def test_a_refusal_ends_a_run() -> None:
    error = error_frame("unknown_language", "no klingon", "a")
    assert feed(with_run(), error) == [Told("a", error)]


def test_a_request_beyond_all_bounds_is_not_sent() -> None:
    streams = opened()
    with pytest.raises(SourceError, match="at most"):
        streams.begin(request("a", "x" * frames.MAX_MESSAGE_BYTES))
    assert not streams.has("a")


def test_a_run_that_nobody_wants_is_interrupted_or_never_sent() -> None:
    streams = opened()
    streams.begin(request("a"))
    number = streams.tell(frames.Signal(id="a"))
    assert streams.withdraw("a") == [TooLate(number)]
    assert (sent(streams), streams.withdraw("a")) == ([], [])
    streams = with_run()
    assert streams.withdraw("a") == []
    (signal,) = sent(streams)
    assert isinstance(signal, frames.Signal) and signal.signal == "INT"


# Inputs


def ack(number: int) -> frames.Ack:
    return frames.Ack(id="a", input=number)


def test_an_input_is_acknowledged_or_refused_by_its_number() -> None:
    streams = with_run(accepted("a", 1))
    first, second = streams.tell(frames.Stdin("a", "x")), streams.tell(frames.Eof("a"))
    assert sent(streams) == [frames.Stdin("a", "x", input=first), frames.Eof("a", input=second)]
    error = replace(error_frame("busy", "no more", "a"), input=first)
    assert feed(streams, error, ack(second), ack(second)) == [Receipt(first, error), Receipt(second)]
    assert streams.has("a")


def test_what_was_not_acknowledged_is_sent_again_in_its_order_and_with_its_number() -> None:
    streams = with_run(accepted("a", 1))
    first, second = streams.tell(frames.Stdin("a", "x")), streams.tell(frames.Stdin("a", "y"))
    sent(streams)
    feed(streams, ack(first))
    third = streams.tell(frames.Eof("a"))
    assert cut(streams) == []
    feed(streams, resumed(1, "a"))
    assert sent(streams) == [frames.Stdin("a", "y", input=second), frames.Eof("a", input=third)]
    assert feed(streams, ack(second), ack(third)) == [Receipt(second), Receipt(third)]


def test_inputs_wait_until_it_is_known_whether_their_run_goes_on() -> None:
    streams = with_run(accepted("a", 1))
    number = streams.tell(frames.Stdin("a", "x"))
    sent(streams)
    cut(streams)
    feed(streams, resumed(3, "a"), out("a", 2))
    assert sent(streams) == []
    feed(streams, out("a", 3))
    assert sent(streams) == [frames.Stdin("a", "x", input=number)]


def test_nobody_knows_whether_a_run_that_has_ended_got_an_input() -> None:
    streams = with_run(accepted("a", 1))
    number, ping = streams.tell(frames.Stdin("a", "x")), streams.ping()
    sent(streams)
    assert cut(streams) == [Unsure(ping)]
    assert feed(streams, resumed(2), result("a", 2))[-1] == Unsure(number)
    assert sent(streams) == []


def test_without_a_name_nothing_is_sent_again() -> None:
    streams = with_run(accepted("a", 1), session=None)
    number = streams.tell(frames.Stdin("a", "x"))
    sent(streams)
    assert streams.lost() == [Unsure(number), Failed("a", Loss.CUT)]


def test_only_so_many_inputs_are_on_their_way() -> None:
    streams = with_run(accepted("a", 1))
    numbers = [streams.tell(frames.Eof("a")) for _ in range(MAX_AWAITING + 2)]
    assert [frame.input for frame in sent(streams) if isinstance(frame, frames.Eof)] == numbers[:-2]
    assert sent(streams) == []
    feed(streams, ack(numbers[3]))
    assert sent(streams) == [frames.Eof("a", input=numbers[-2])]
    assert sent(streams) == []


def test_an_input_that_was_not_sent_waits_for_the_next_connection() -> None:
    streams = with_run(accepted("a", 1))
    streams.lost()
    number = streams.tell(frames.Stdin("a", "x"))
    assert cut(streams) == []
    feed(streams, resumed(1, "a"))
    assert sent(streams) == [frames.Stdin("a", "x", input=number)]
    assert feed(streams, ack(number)) == [Receipt(number)]


def test_an_input_whose_run_has_ended_is_too_late() -> None:
    streams = with_run(accepted("a", 1))
    streams.lost()
    number = streams.tell(frames.Stdin("a", "x"))
    cut(streams)
    assert feed(streams, resumed(2), result("a", 2))[-1] == TooLate(number)
    with pytest.raises(LocalProtocolError):
        streams.tell(frames.Eof("a"))


def test_a_ping_is_answered_and_needs_a_connection() -> None:
    streams = opened()
    number = streams.ping()
    (ping,) = sent(streams)
    assert isinstance(ping, frames.Ping)
    assert feed(streams, frames.Pong(id=ping.id), frames.Pong(id="other")) == [Receipt(number)]
    streams.lost()
    with pytest.raises(LocalProtocolError):
        streams.ping()


# Cuts


def test_a_session_is_come_back_to_by_its_last_number() -> None:
    streams = with_run(accepted("a", 1), out("a", 2))
    streams.lost()
    streams.connected()
    assert (sent(streams), feed(streams, AUTHENTICATED)) == ([frames.Auth(KEY)], [])
    assert sent(streams) == [frames.Resume(session="s", after=2)]
    assert feed(streams, resumed(3, "a"), out("a", 3)) == [Welcomed(), Told("a", out("a", 3))]


def test_nothing_is_resumed_before_anything_was_run() -> None:
    streams = opened()
    streams.lost()
    streams.connected()
    assert feed(streams, AUTHENTICATED) == [Welcomed()]


def test_a_request_that_never_arrived_is_sent_again_once_the_log_says_so() -> None:
    streams = with_run(accepted("a", 1))
    streams.begin(request("b"))
    sent(streams)
    cut(streams)
    feed(streams, resumed(2, "a"))
    assert ids_of(sent(streams)) == []
    feed(streams, out("a", 2))
    assert ids_of(sent(streams)) == ["b"]


def test_a_run_that_the_gateway_names_is_not_sent_again() -> None:
    streams = with_run()
    cut(streams)
    feed(streams, resumed(0, "a"))
    assert ids_of(sent(streams)) == []


def test_an_end_that_is_kept_no_more_is_told() -> None:
    streams = with_run(accepted("a", 1))
    cut(streams)
    gap = frames.Gap(missing=5, n=6)
    assert feed(streams, resumed(6), gap) == [Welcomed(), Told("a", gap), Failed("a", Loss.FORGOTTEN)]


def test_a_run_that_may_be_in_a_gap_is_not_sent_again() -> None:
    streams = with_run()
    cut(streams)
    assert feed(streams, resumed(6), frames.Gap(missing=6, n=6))[-1] == Failed("a", Loss.UNKNOWN)


def test_numbers_that_are_skipped_are_a_gap() -> None:
    streams = with_run(accepted("a", 1))
    gap = Told("a", frames.Gap(missing=2, n=3))
    assert feed(streams, out("a", 4)) == [gap, Told("a", out("a", 4))]


@pytest.mark.parametrize("answer", [GONE, error_frame("unknown_number", "no"), resumed(9, room="r2")])
def test_a_session_that_ended_meanwhile_takes_its_runs_along(answer: frames.ServerFrame) -> None:
    streams = with_run(accepted("a", 1))
    cut(streams)
    assert feed(streams, answer) == [Failed("a", Loss.SESSION_ENDED), Welcomed()]
    streams.begin(request("b"))
    assert ids_of(sent(streams)[-1:]) == ["b"]
    assert feed(streams, accepted("b", 1, "r2" if answer is not GONE else "r3"))[-1] == Told(
        "b", accepted("b", 1, "r2" if answer is not GONE else "r3")
    )


def test_a_session_that_never_was_is_begun_again() -> None:
    streams = with_run()
    cut(streams)
    feed(streams, GONE)
    assert ids_of(sent(streams)[-1:]) == ["a"]


def test_a_new_log_is_known_by_its_numbers_or_its_room() -> None:
    for first in (accepted("b", 1, "r2"), accepted("b", 9, "r2")):
        streams = with_run(accepted("a", 4))
        streams.begin(request("b"))
        sent(streams)
        assert feed(streams, first) == [Failed("a", Loss.SESSION_ENDED), Told("b", first)]


def test_the_end_of_a_session_ends_its_runs() -> None:
    streams = with_run(accepted("a", 1))
    assert streams.end_session()
    assert sent(streams) == [frames.Close(session="s")]
    closed = frames.Closed(session="s", reason="closed")
    assert feed(streams, replace(closed, room="r0")) == []  # of one that had the name before
    assert feed(streams, closed) == [Failed("a", Loss.SESSION_ENDED), SessionEnded("closed")]
    assert not streams.end_session()


def test_without_a_name_a_cut_ends_what_was_sent() -> None:
    streams = with_run(accepted("a", 1), session=None)
    for n in range(MAX_RUNNING):
        streams.begin(request(str(n), session=None))
    sent(streams)
    assert [report.loss for report in streams.lost() if isinstance(report, Failed)] == [
        Loss.CUT
    ] * MAX_RUNNING
    streams.connected()
    assert feed(streams, AUTHENTICATED) == [Welcomed()]
    assert ids_of(sent(streams)[-1:]) == [str(MAX_RUNNING - 1)]
    assert feed(streams, accepted(str(MAX_RUNNING - 1), 1))


def test_a_request_that_breaks_the_gateway_is_given_up() -> None:
    streams = with_run()
    for _ in range(MAX_FAULTS - 1):
        assert streams.lost(CloseCode.INTERNAL_ERROR) == []
        streams.connected()
        feed(streams, AUTHENTICATED, GONE)
        sent(streams)
    assert streams.lost(CloseCode.INTERNAL_ERROR) == [Failed("a", Loss.BREAKS)]


def test_a_gateway_that_does_not_let_us_in_is_reported() -> None:
    error = error_frame("unauthorized", "no")
    streams = EngineStreams(KEY, "s")
    streams.connected()
    assert feed(streams, error) == [Refused(error)]
    streams = with_run()
    cut(streams)
    assert feed(streams, error) == [Refused(error)]


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(opened())


# Any cut anywhere


class Gateway:
    """A session and its log, and the connection of now, of which a cut may lose the end in both ways."""

    def __init__(self) -> None:
        self.log: list[frames.StreamFrame] = []
        self.running: dict[str, int] = {}
        self.begun: list[str] = []
        self.outgoing: list[frames.ServerFrame] = []
        self.is_in = False

    def append(self, frame: frames.StreamFrame) -> None:
        self.log.append(msgspec.structs.replace(frame, n=len(self.log) + 1))
        if self.is_in:
            self.outgoing.append(self.log[-1])

    def cut(self) -> None:
        self.outgoing, self.is_in = [], False

    def receive(self, frame: frames.ClientFrame) -> None:
        match frame:
            case frames.Auth():
                self.outgoing.append(AUTHENTICATED)
            case frames.Resume(after=after):
                if not self.log:
                    self.outgoing.append(GONE)
                    return
                self.outgoing += (resumed(len(self.log), *self.running), *self.log[after:])
                self.is_in = True
            case frames.Execute(id=id):
                assert isinstance(id, str)
                self.is_in = True
                self.begun.append(id)
                self.running[id] = int(frame.code)
                self.append(frames.Accepted(id=id, session="s", room="r1"))

    def step(self, id: str) -> None:
        """Let a run print its next piece, or end."""
        if id not in self.running:
            return
        if self.running[id]:
            self.running[id] -= 1
            self.append(frames.Stdout(id=id, data=f"{self.running[id]} "))
        else:
            del self.running[id]
            self.append(frames.Result(id=id, exit_code=0, execution_time=1))


class Heard:
    """What a client makes of the reports."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.ended: list[str] = []

    def take(self, reports: list[Report]) -> None:
        for report in reports:
            assert isinstance(report, Welcomed | Told), report
            match report:
                case Told(run=id, frame=frames.Stdout(data=data)):
                    self.texts[id] = self.texts.get(id, "") + data
                case Told(run=id, frame=frames.Result()):
                    self.ended.append(id)


RUNS = 4
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 5)),
        st.tuples(st.just("step"), st.integers(0, RUNS - 1)),
        st.tuples(st.just("deliver"), st.integers(1, 4)),
        st.tuples(st.just("send"), st.integers(0, 8)),
        st.tuples(st.just("cut"), st.integers(0, 3)),
    ),
    max_size=80,
)


def deliver(streams: EngineStreams, gateway: Gateway, heard: Heard, count: int) -> None:
    arriving, gateway.outgoing = gateway.outgoing[:count], gateway.outgoing[count:]
    for frame in arriving:
        heard.take(streams.receive_frame(encode(frame)))


@settings(max_examples=300)
@given(STEPS)
def test_each_runs_text_comes_once_and_in_order_whatever_is_cut(steps: list[tuple[str, int]]) -> None:
    streams, gateway, heard = EngineStreams(KEY, "s"), Gateway(), Heard()
    asked: dict[str, int] = {}
    streams.connected()
    for what, value in steps:
        if what == "begin" and len(asked) < RUNS:
            id = str(len(asked))
            asked[id] = value
            streams.begin(request(id, str(value)))
        elif what == "step":
            gateway.step(str(value))
        elif what == "deliver":
            deliver(streams, gateway, heard, value)
        elif what in ("send", "cut"):
            # Of what is written, a cut lets only the first ``value`` frames arrive.
            for frame in sent(streams)[: value if what == "cut" else None]:
                gateway.receive(frame)
        if what == "cut":
            gateway.cut()
            heard.take(streams.lost())
            streams.connected()
    for _ in range(100):
        for frame in sent(streams):
            gateway.receive(frame)
        deliver(streams, gateway, heard, 100)
        for id in asked:
            gateway.step(id)
    assert streams.phase is Phase.OPEN
    assert sorted(heard.ended) == sorted(gateway.begun) == sorted(asked)
    texts = {id: "".join(f"{n} " for n in reversed(range(count))) for id, count in asked.items()}
    assert heard.texts == {id: text for id, text in texts.items() if text}
