"""The Spaces protocol, without I/O: frames, requests, the session, and the rendering of a room's log.

The names here are those of requests. The frames as they go over the wire, some
with the same names, are in :mod:`embedenv_jupyter.protocols.spaces.frames`.
"""

from __future__ import annotations

from embedenv_jupyter.protocols.faults import FrameError
from embedenv_jupyter.protocols.spaces.answered import AnsweredIds
from embedenv_jupyter.protocols.spaces.frames import (
    MAX_CHUNK_CHARS,
    MAX_FRAME_BYTES,
    MAX_HELLO_BYTES,
    MAX_MESSAGE_BYTES,
)
from embedenv_jupyter.protocols.spaces.parsing import DEFAULT_COLOUR, DEFAULT_USER
from embedenv_jupyter.protocols.spaces.rendering import (
    RUN_END_COUNT,
    output_count,
    render_event,
    render_gap,
    render_output,
    render_run_end,
)
from embedenv_jupyter.protocols.spaces.requests import (
    Command,
    Create,
    Curl,
    Delete,
    DeployProject,
    Eof,
    Hello,
    Init,
    Interrupt,
    Join,
    Keep,
    List,
    Read,
    Rename,
    Request,
    Shell,
    Signal,
    Stdin,
    Stop,
    Write,
)
from embedenv_jupyter.protocols.spaces.session import SpacesSession, State

__all__ = [
    "DEFAULT_COLOUR",
    "DEFAULT_USER",
    "MAX_CHUNK_CHARS",
    "MAX_FRAME_BYTES",
    "MAX_HELLO_BYTES",
    "MAX_MESSAGE_BYTES",
    "RUN_END_COUNT",
    "AnsweredIds",
    "Command",
    "Create",
    "Curl",
    "Delete",
    "DeployProject",
    "Eof",
    "FrameError",
    "Hello",
    "Init",
    "Interrupt",
    "Join",
    "Keep",
    "List",
    "Read",
    "Rename",
    "Request",
    "Shell",
    "Signal",
    "SpacesSession",
    "State",
    "Stdin",
    "Stop",
    "Write",
    "output_count",
    "render_event",
    "render_gap",
    "render_output",
    "render_run_end",
]
