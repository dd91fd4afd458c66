"""Who waits for which answer."""

from __future__ import annotations

from embedenv_jupyter.forwarder.pending import MAX_TOLD, Pending
from embedenv_jupyter.kernels.messages import Header


def ask(pending: Pending, id: str, type: str = "execute_request", channel: str = "shell") -> None:
    pending.add(Header(id, type), channel, [b"client", id.encode()], b"{}")


def test_reply_goes_to_who_asked_and_once() -> None:
    pending = Pending()
    ask(pending, "a")
    asked = pending.take("a", "shell")
    assert asked is not None
    assert asked.identities == (b"client", b"a")
    assert asked.reply_type == "execute_reply"
    assert pending.take("a", "shell") is None


def test_reply_on_another_channel_answers_nothing() -> None:
    pending = Pending()
    ask(pending, "a")
    assert pending.take("a", "control") is None
    assert pending.take("a", "shell") is not None


def test_question_finds_the_cell_that_asks_without_ending_it() -> None:
    pending = Pending()
    ask(pending, "a")
    assert pending.find("a") is not None
    assert pending.take("a", "shell") is not None


def test_widget_messages_push_one_another_out_and_never_a_cell() -> None:
    pending = Pending()
    ask(pending, "cell")
    for number in range(2 * MAX_TOLD):
        ask(pending, f"w{number}", "comm_msg")
    assert pending.find("w0") is None
    assert pending.find(f"w{2 * MAX_TOLD - 1}") is not None
    assert [asked.id for asked in pending] == ["cell"], "nothing of theirs waits for an answer"


def test_running_cell_is_the_oldest() -> None:
    pending = Pending()
    ask(pending, "info", "kernel_info_request")
    assert pending.cell is None
    ask(pending, "one")
    ask(pending, "two")
    assert pending.cell is not None
    assert pending.cell.id == "one"


def test_answers_to_questions_wait_for_nothing() -> None:
    pending = Pending()
    ask(pending, "a", "input_reply", "stdin")
    assert pending.find("a") is None
    assert list(pending) == []
