"""Questions of cells: each is answered once, by whoever is first, and what was answered is kept nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from embedenv_jupyter.errors import BusyError
from embedenv_jupyter.kernels import messages, prompts
from embedenv_jupyter.kernels.authors import Author
from embedenv_jupyter.kernels.executions import Execution
from embedenv_jupyter.kernels.prompts import MAX_PENDING, MAX_QUESTION_BYTES, Prompts
from embedenv_jupyter.rooms.events import Prompt, PromptAnswered


class OpenLog:
    """What a room's log is to prompts."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.is_finished = False

    def append(self, event: Any) -> None:
        assert not self.is_finished
        self.events.append(event)


class FakeRoom:
    def __init__(self) -> None:
        self.log = OpenLog()


def made() -> tuple[Prompts, OpenLog]:
    room: Any = FakeRoom()
    return Prompts(room, "kernel"), room.log


def cell(run: str) -> Execution:
    return Execution(
        run=run,
        msg_id=f"request of {run}",
        session="s",
        header=b"{}",
        code="",
        author=Author("ann", "#000000"),
    )


def question(text: str = "Name:", run: str = "r1", *, password: bool = False) -> tuple[bytes, ...]:
    content = {"prompt": text, "password": password}
    parent = json.dumps({"msg_id": f"request of {run}"}).encode()
    return messages.make("stdin", "input_request", content, parent=parent).parts


def test_a_question_is_an_object_and_an_event() -> None:
    pending, log = made()
    asked = question("Word:", password=True)
    pending.ask(asked, "s", cell("r1"))
    (prompt,) = pending.pending()
    assert (prompt.run, prompt.text, prompt.password, prompt.kernel, prompt.session) == (
        "r1", "Word:", True, "kernel", "s",
    )  # fmt: skip
    assert pending.questions() == [asked]
    (event,) = log.events
    assert isinstance(event, Prompt)
    assert (event.id, event.run, event.text, event.password) == (prompt.id, "r1", "Word:", True)


def test_the_first_answer_counts_and_its_value_is_kept_nowhere() -> None:
    pending, log = made()
    pending.ask(question(), "s", cell("r1"))
    (prompt,) = pending.pending()
    reply = pending.answer(prompt.id, "secret", "bob")
    assert json.loads(reply.parts[3]) == {"value": "secret", "status": "ok"}
    assert (reply.channel, reply.parts[1]) == ("stdin", prompt.parts[0])
    with pytest.raises(BusyError, match="waits for no answer any more"):
        pending.answer(prompt.id, "late", "eve")
    assert isinstance(log.events[-1], PromptAnswered) and log.events[-1].by == "bob"
    assert "secret" not in repr((log.events, vars(pending), prompt))


@pytest.mark.parametrize("named", ["nothing", "the question", "the cell"])
def test_an_answer_by_message_may_name_its_question_in_three_ways(named: str) -> None:
    pending, _ = made()
    asked = question()
    pending.ask(asked, "s", cell("r1"))
    name = {"nothing": "", "the question": messages.id_of(asked), "the cell": "request of r1"}[named]
    assert pending.answered_by_message(name, "ann")
    assert not pending.answered_by_message(name, "ann")


def test_a_late_answer_to_one_question_answers_no_other() -> None:
    pending, _ = made()
    first, second = question("User:"), question("Password:", password=True)
    pending.ask(first, "s", cell("r1"))
    pending.ask(second, "s", cell("r1"))
    assert not pending.answered_by_message(messages.id_of(first), "eve")
    assert [prompt.text for prompt in pending.pending()] == ["Password:"]


def test_a_cell_that_asks_again_or_ends_has_withdrawn_its_question() -> None:
    pending, log = made()
    for text in ("one", "two"):
        pending.ask(question(text), "s", cell("r1"))
    assert [prompt.text for prompt in pending.pending()] == ["two"]
    pending.withdraw("r2")
    assert len(pending.pending()) == 1
    pending.withdraw("r1")
    assert pending.pending() == []
    assert [event.by for event in log.events if isinstance(event, PromptAnswered)] == ["", ""]


def test_a_question_that_no_cell_asks_is_one_as_well() -> None:
    pending, _ = made()
    pending.ask(question(), "s", None)
    assert pending.pending()[0].run == prompts.NO_RUN


def test_a_room_that_has_ended_is_told_nothing() -> None:
    pending, log = made()
    pending.ask(question(), "s", cell("r1"))
    log.is_finished = True
    pending.withdraw("r1")
    pending.ask(question(), "s", cell("r2"))
    assert len(log.events) == 1


def test_what_a_hostile_kernel_makes_us_keep_is_bounded() -> None:
    pending, _ = made()
    for number in range(3 * MAX_PENDING):
        pending.ask(question("x" * (1 << 20), run=f"r{number}"), "s", cell(f"r{number}"))
    kept = pending.pending()
    assert [prompt.run for prompt in kept] == [
        f"r{number}" for number in range(2 * MAX_PENDING, 3 * MAX_PENDING)
    ]
    assert (
        sum(map(len, (part for prompt in kept for part in prompt.parts))) <= MAX_PENDING * MAX_QUESTION_BYTES
    )
    assert pending.answered_by_message(f"request of {kept[0].run}", "ann")
    pending.ask((b'{"x":"' + b"y" * (1 << 20) + b'"}', b"{}", b"{}", b"{}"), "s", None)
    assert sum(map(len, pending.pending()[-1].parts)) < 1000


@pytest.mark.parametrize("content", [b"", b"[]", b'{"prompt":3}', b'{"prompt":"' + b"x" * 10_000])
def test_a_question_that_cannot_be_read_is_an_empty_one(content: bytes) -> None:
    pending, _ = made()
    pending.ask((b"{}", b"{}", b"{}", content), "s", cell("r1"))
    (prompt,) = pending.pending()
    assert (prompt.text, prompt.password) == ("", False)
    assert pending.answered_by_message("", "ann")


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.prompts, self.log = made()
        self.open: dict[str, str] = {}

    @rule(run=st.sampled_from("abc"))
    def ask(self, run: str) -> None:
        self.prompts.ask(question(run=run), "s", cell(run))
        self.open[run] = self.prompts.pending()[-1].id

    @rule(run=st.sampled_from("abc"))
    def withdraw(self, run: str) -> None:
        self.prompts.withdraw(run)
        self.open.pop(run, None)

    @rule(run=st.sampled_from("abc"))
    def answer(self, run: str) -> None:
        if id := self.open.pop(run, None):
            self.prompts.answer(id, "v", "ann")

    @rule(run=st.sampled_from("abc"))
    def reply(self, run: str) -> None:
        assert self.prompts.answered_by_message(f"request of {run}", "ann") == (run in self.open)
        self.open.pop(run, None)

    @invariant()
    def each_question_that_was_asked_is_pending_or_was_closed_once(self) -> None:
        assert {prompt.id for prompt in self.prompts.pending()} == set(self.open.values())
        asked = [event.id for event in self.log.events if isinstance(event, Prompt)]
        closed = [event.id for event in self.log.events if isinstance(event, PromptAnswered)]
        assert sorted(closed + list(self.open.values())) == sorted(asked)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(deadline=None)
