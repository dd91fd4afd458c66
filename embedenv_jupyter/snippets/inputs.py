"""Carrying out the inputs of a run, each numbered one once: input, its end, signals, a size."""

from __future__ import annotations

import logging
import signal

from msgspec import UnsetType, structs

from embedenv_jupyter.errors import BusyError, SourceError
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.snippets.faults import EXPECTED, frame_of
from embedenv_jupyter.snippets.streamed import StreamedRun

log = logging.getLogger(__name__)


async def give(run: StreamedRun | None, frame: frames.Input) -> frames.Ack | frames.Error | None:
    """Give a run an input, and return what is to be answered: to one without a number only a refusal.

    One that came before, over whatever connection, is answered as it was then.
    """
    if run is None or isinstance(frame.input, UnsetType):
        return await _refusal(run, frame)
    place = frame.client, frame.input
    if (before := run.inputs.answer(*place)) is not None:
        return before
    ack = frames.Ack(id=frame.id, input=frame.input)
    run.inputs.remember(*place, ack)  # before it is carried out: a cut in between does not undo it
    if (refusal := await _refusal(run, frame)) is not None:
        run.inputs.remember(*place, refusal)
        return refusal
    return ack


async def _refusal(run: StreamedRun | None, frame: frames.Input) -> frames.Error | None:
    try:
        if run is None:
            raise BusyError(f'No run {frame.id!r} with "stream" runs here now.')
        await _carry_out(run, frame)
    except EXPECTED as exc:
        log.info("the engine refused %r: %s", frame, exc)
        return structs.replace(frame_of(exc, frame.id), input=frame.input)
    return None


async def _carry_out(run: StreamedRun, frame: frames.Input) -> None:
    match frame:
        case frames.Stdin(data=data):
            run.give(data.encode("utf-8", "replace"))
        case frames.Eof():
            run.end_input()
        case frames.Signal(signal=name):
            await run.signal(_number(name))
        case frames.Resize(rows=rows, cols=columns):
            run.resize(rows, columns)


def _number(name: int | str) -> int:
    """Return the number of a signal.

    Raises:
        SourceError: there is none of this name.
    """
    if isinstance(name, int):
        return name
    try:
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].value
    except KeyError:
        raise SourceError("signal", f"{name!r} is no signal; INT, TERM, KILL, HUP and others are") from None
