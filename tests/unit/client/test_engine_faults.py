"""Error frames and losses as exceptions."""

from __future__ import annotations

import pytest

from embedenv_jupyter.client import (
    BlockedError,
    NoCreditsError,
    RefusedError,
    RunStoppedError,
    TooManyRunsError,
    UnknownLanguageError,
)
from embedenv_jupyter.client.engine_faults import fault_of, fault_of_loss
from embedenv_jupyter.errors import (
    AuthenticationError,
    BusyError,
    ConnectionLostError,
    EmbedEnvError,
    RoomClosedError,
    UnknownSessionError,
)
from embedenv_jupyter.protocols.engine.reports import Loss
from embedenv_jupyter.protocols.engine.server import error_frame


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("unauthorized", AuthenticationError),
        ("insufficient_credits", NoCreditsError),
        ("blocked", BlockedError),
        ("unknown_language", UnknownLanguageError),
        ("gone", RunStoppedError),
        ("busy", BusyError),
        ("missing_toolchain", RefusedError),
        ("a name of later", RefusedError),
    ],
)
def test_each_name_has_its_exception(name: str, kind: type[EmbedEnvError]) -> None:
    fault = fault_of(error_frame(name, "for this reason"))
    assert type(fault) is kind
    if isinstance(fault, RefusedError):
        assert (str(fault), fault.code) == ("for this reason", name)


@pytest.mark.parametrize(("said", "expected"), [(2.5, 2.5), (None, 0.0)])
def test_too_many_runs_say_when_to_come_back(said: float | None, expected: float) -> None:
    fault = fault_of(error_frame("rate_limited", "too many", retry_after_s=said))
    assert isinstance(fault, TooManyRunsError)
    assert fault.retry_after_s == expected


def test_each_loss_has_its_exception() -> None:
    kinds = {loss: type(fault_of_loss(loss, "s", 3)) for loss in Loss}
    assert kinds == {
        Loss.CUT: ConnectionLostError,
        Loss.SESSION_ENDED: UnknownSessionError,
        Loss.FORGOTTEN: ConnectionLostError,
        Loss.UNKNOWN: ConnectionLostError,
        Loss.BREAKS: RefusedError,
    }
    assert isinstance(fault_of_loss(Loss.SESSION_ENDED, None, 0), RoomClosedError)
