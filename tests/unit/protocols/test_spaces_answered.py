"""A command sent again is answered again, and not carried out again, across connections."""

from __future__ import annotations

import json
from typing import Any

import pytest

from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.protocols.spaces import AnsweredIds, SpacesSession
from embedenv_jupyter.protocols.spaces.answered import MAX_REMEMBERED_BYTES, MAX_REMEMBERED_IDS


class Woken:
    """Counts how often a session called for its frames to be sent."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def connect(answered: AnsweredIds, wake: Woken | None = None) -> SpacesSession:
    """One connection of the member whose answers these are."""
    session = SpacesSession(wake)
    session.receive_frame('{"type":"join","join":"k","resume":0}')
    session.joined("k", "ada", "#fff", room="r", role="edit", member="m", n=0, answered=answered)
    session.frames_to_send()
    return session


def command(type_: str, id: object, inside: dict[str, Any] | None = None, **beside: Any) -> str:
    return json.dumps({"type": "cmd", "command": {"type": type_, **(inside or {})}, "id": id, **beside})


def shell(id: object = "c-1") -> str:
    return command("shell", id, {"command": "make"})


def sent(session: SpacesSession) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in session.frames_to_send()]


DONE = {"type": "done", "id": "c-1", "run": "r1"}


def test_an_answered_command_is_answered_again_on_the_same_connection() -> None:
    session = connect(AnsweredIds())
    assert len(session.receive_frame(shell())) == 1
    session.done("c-1", "r1")
    assert session.receive_frame(shell()) == []
    assert sent(session) == [DONE, DONE]


def test_an_answered_command_is_answered_again_on_the_next_connection() -> None:
    answered = AnsweredIds()
    first = connect(answered)
    first.receive_frame(shell())
    first.done("c-1", "r1")
    first.closed()
    second = connect(answered)
    assert second.receive_frame(shell()) == []
    assert sent(second) == [DONE]


def test_a_failure_is_an_answer_too() -> None:
    answered = AnsweredIds()
    first = connect(answered)
    first.receive_frame(shell())
    first.failed("no credits", "c-1")
    second = connect(answered)
    assert second.receive_frame(shell()) == []
    assert sent(second) == sent(first) == [{"type": "error", "message": "no credits", "id": "c-1"}]


def test_a_running_command_is_answered_once_to_a_connection_that_repeats_itself() -> None:
    session = connect(AnsweredIds())
    session.receive_frame(shell())
    assert session.receive_frame(shell()) == []
    session.done("c-1", "r1")
    assert sent(session) == [DONE]


def test_the_next_connection_gets_the_answer_of_a_command_that_still_runs() -> None:
    answered, woken = AnsweredIds(), Woken()
    first = connect(answered)
    first.receive_frame(shell())
    second = connect(answered, woken)
    assert second.receive_frame(shell()) == [] and sent(second) == []
    first.done("c-1", "r1")
    assert woken.times == 1 and sent(second) == [DONE]


def test_a_connection_that_waited_and_is_gone_is_forgotten() -> None:
    answered, woken = AnsweredIds(), Woken()
    first = connect(answered)
    first.receive_frame(shell())
    second = connect(answered, woken)
    second.receive_frame(shell())
    second.closed()
    first.done("c-1", "r1")
    assert woken.times == 0 and second.frames_to_send() == []


def test_a_command_lost_with_its_connection_is_answered_honestly() -> None:
    answered, woken = AnsweredIds(), Woken()
    first = connect(answered)
    first.receive_frame(shell())
    second = connect(answered, woken)
    second.receive_frame(shell())
    first.closed()
    third = connect(answered)
    assert third.receive_frame(shell()) == []
    for session in (second, third):
        (answer,) = sent(session)
        assert answer["type"] == "error" and answer["id"] == "c-1"
        assert "may have been carried out" in answer["message"]


def test_an_answer_after_the_end_of_its_connection_replaces_the_guess() -> None:
    answered = AnsweredIds()
    first = connect(answered)
    first.receive_frame(shell())
    first.closed()
    first.done("c-1", "r1")
    second = connect(answered)
    assert second.receive_frame(shell()) == []
    assert sent(second) == [DONE]


@pytest.mark.parametrize(
    "frame",
    [
        command("read", "c-1", {"path": "project/a"}),
        command("list", "c-1"),
        command("curl", "c-1", method="GET", url="http://localhost/"),
        command("curl", "c-1", method="HEAD", url="http://localhost/"),
    ],
)
def test_what_changes_nothing_is_carried_out_again(frame: str) -> None:
    answered = AnsweredIds()
    first = connect(answered)
    assert len(first.receive_frame(frame)) == 1
    first.chunk("x", "c-1")
    first.end("c-1")
    assert len(answered) == 0
    assert len(connect(answered).receive_frame(frame)) == 1


def test_an_id_stands_for_one_command_whatever_it_is_sent_with() -> None:
    session = connect(AnsweredIds())
    session.receive_frame(shell())
    session.done("c-1", "r1")
    assert session.receive_frame(command("list", "c-1")) == []
    assert sent(session) == [DONE, DONE]


def post() -> str:
    return command("curl", "c-1", method="POST", url="http://localhost/")


def test_a_short_answer_in_chunks_is_remembered_whole() -> None:
    answered = AnsweredIds()
    first = connect(answered)
    first.receive_frame(post())
    first.chunk("created", "c-1")
    first.chunk("!", "c-1")
    first.end("c-1")
    second = connect(answered)
    assert second.receive_frame(post()) == []
    assert sent(second) == sent(first) != []


def test_a_failed_request_is_remembered_as_failed() -> None:
    """Also when the end is sent by hand, which must not take the error's place."""
    for by_hand in (True, False):
        answered = AnsweredIds()
        first = connect(answered)
        first.receive_frame(post())
        if by_hand:
            first.failed("refused", "c-1")
            first.end("c-1")
        else:
            first.curl_failed("refused", "c-1")
        second = connect(answered)
        second.receive_frame(post())
        assert [frame["type"] for frame in sent(second)] == ["error", "end"]


def test_of_a_long_answer_only_the_fact_is_remembered() -> None:
    answered = AnsweredIds()
    first = connect(answered)
    first.receive_frame(post())
    first.chunk("x" * 2 * MAX_REMEMBERED_BYTES, "c-1")
    first.end("c-1")
    second = connect(answered)
    assert second.receive_frame(post()) == []
    (answer,) = sent(second)
    assert answer["type"] == "error" and "carried out before" in answer["message"]


def test_the_last_ids_are_remembered() -> None:
    answered = AnsweredIds()
    session = connect(answered)
    for number in range(MAX_REMEMBERED_IDS + 1):
        session.receive_frame(shell(f"c-{number}"))
        session.done(f"c-{number}")
    session.frames_to_send()
    assert len(answered) == MAX_REMEMBERED_IDS
    assert session.receive_frame(shell(f"c-{MAX_REMEMBERED_IDS}")) == []
    assert session.receive_frame(shell("c-1")) == []
    assert len(session.receive_frame(shell("c-0"))) == 1


def test_a_running_command_is_never_forgotten() -> None:
    answered = AnsweredIds(capacity=3)
    session = connect(answered)
    session.receive_frame(shell("slow"))
    for number in range(10):
        session.receive_frame(shell(f"c-{number}"))
        session.done(f"c-{number}")
    assert session.receive_frame(shell("slow")) == []


def test_more_than_can_be_remembered_is_refused() -> None:
    session = connect(AnsweredIds(capacity=2))
    for id in ("a", "b"):
        session.receive_frame(shell(id))
    assert session.receive_frame(shell("c")) == []
    (answer,) = sent(session)
    assert answer["id"] == "c" and "wait for one of them" in answer["message"]
    session.done("a")
    assert len(session.receive_frame(shell("c"))) == 1


def test_a_faulty_command_is_answered_with_its_id_and_not_remembered() -> None:
    session = connect(AnsweredIds())
    assert session.receive_frame(command("shell", "c-1", {"command": 5})) == []
    assert sent(session)[0]["id"] == "c-1"
    assert len(session.receive_frame(shell())) == 1


def test_two_members_may_use_the_same_ids() -> None:
    for _ in range(2):
        assert len(connect(AnsweredIds()).receive_frame(shell())) == 1


def test_who_does_not_ask_has_no_ids() -> None:
    session = SpacesSession()
    session.receive_frame('{"type":"join","join":"k"}')
    session.joined("k", "ada", "#fff", room="r", role="edit", member="m", n=0)
    for _ in range(2):
        assert session.receive_frame(shell(["not", "an", "id"])) == [spaces.Shell("make")]
