"""What a session remembers, so that what is sent again after a cut is not done again."""

from __future__ import annotations

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.snippets.memory import MAX_ENDED, MAX_INPUTS, Asked, EndedRuns, TakenInputs

REQUEST = frames.Execute(
    language="python", code="x += 1", id="a", stream=True, session="s", api_key="k", files={"a": "1"}
)
END = frames.Result(id="a", exit_code=0, execution_time=1)
ACK = frames.Ack(id="a", input=1)


def test_a_request_that_another_connection_sends_again_has_an_answer() -> None:
    ended = EndedRuns()
    ended.remember("a", Asked.of("first", REQUEST), END)
    assert ended.find("a", Asked.of("second", REQUEST)) is END
    assert ended.find("a", Asked.of("second", replace(REQUEST, api_key=UNSET))) is END


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, code="x += 2"),
        replace(REQUEST, language="ruby"),
        replace(REQUEST, files={"a": "2"}),
        replace(REQUEST, stdin=""),
    ],
)
def test_another_request_with_the_same_id_is_a_new_run(other: frames.Execute) -> None:
    ended = EndedRuns()
    ended.remember("a", Asked.of("first", REQUEST), END)
    assert ended.find("a", Asked.of("second", other)) is None


def test_who_has_seen_the_end_may_use_the_id_anew() -> None:
    ended = EndedRuns()
    ended.remember("a", Asked.of("first", REQUEST), END)
    assert ended.find("a", Asked.of("first", REQUEST)) is None


def test_the_last_ends_are_remembered() -> None:
    ended = EndedRuns()
    for number in range(MAX_ENDED + 1):
        ended.remember(str(number), Asked.of("first", REQUEST), END)
    again = Asked.of("second", REQUEST)
    assert [ended.find(id, again) for id in ("0", "1", str(MAX_ENDED))] == [None, END, END]


def test_the_last_inputs_of_each_client_are_remembered() -> None:
    inputs = TakenInputs()
    refusal = frames.Error(
        error="busy", message="no", stdout="", stderr="no\n", exit_code=1, execution_time=0, input=1
    )
    inputs.remember("", 1, ACK)
    inputs.remember("other", 1, refusal)
    assert (inputs.answer("", 1), inputs.answer("other", 1), inputs.answer("", 2)) == (ACK, refusal, None)
    for number in range(MAX_INPUTS - 1):
        inputs.remember("third", number, ACK)
    assert (inputs.answer("", 1), inputs.answer("other", 1)) == (None, refusal)
