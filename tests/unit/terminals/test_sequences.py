"""What an emulator would answer when it is shown it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.terminals.sequences import is_automatic, without_questions

QUESTIONS = (
    "\x1b[c", "\x1b[0c", "\x1b[>c", "\x1b[=c", "\x1b[5n", "\x1b[6n", "\x1b[?6n", "\x1b[?2026$p", "\x1b[>q",
    "\x1b]10;?\x07", "\x1b]11;?\x1b\\", "\x1b]4;1;?\x07", "\x1bP$qm\x1b\\", "\x1bP+q544e\x1b\\", "\x1b[14t",
)  # fmt: skip
SHOWN = (
    "\x1b[1;31m", "\x1b[2J", "\x1b[H", "\x1b[?25l", "\x1b]0;title\x07", "\x1b]11;#fff\x07", "\x1b[4n", "[c",
    "6n", "\x1b[?1049h", "\x1b(B", "\x1b]8;;https://example.org/?\x07",
)  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_is_left_out(question: str) -> None:
    assert without_questions(f"before{question}after") == "beforeafter"


@pytest.mark.parametrize("shown", SHOWN)
def test_everything_else_is_shown_again(shown: str) -> None:
    assert without_questions(f"before{shown}after") == f"before{shown}after"


@given(st.text(alphabet="abc123;?\n $", max_size=100))
def test_plain_text_is_left_alone(text: str) -> None:
    assert without_questions(text) == text


ANSWERS = (
    "\x1b[?1;2c", "\x1b[12;40R", "\x1b[0n", "\x1b]11;rgb:ff/ff/ff\x1b\\", "\x1b[I", "\x1b[<0;3;4M",
    "\x1b[?1;2c\x1b[0n",
)  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_of_the_emulator_is_nobody_s_typing(answer: str) -> None:
    assert is_automatic(answer)


@pytest.mark.parametrize("typed", ["", "a", "\x1b", "\x1b[A", "\x03", "ls\r", "\x1b[?1;2cx"])
def test_typing_is_no_answer(typed: str) -> None:
    assert not is_automatic(typed)
