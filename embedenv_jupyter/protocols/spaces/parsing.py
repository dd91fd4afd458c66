"""From a frame of the right shape to a request: paths, names, limits, and who may use what."""

from __future__ import annotations

import base64
import math
import re

from msgspec import UNSET, UnsetType

from embedenv_jupyter.protocols.faults import FrameError, shown
from embedenv_jupyter.protocols.spaces import curl, frames, requests
from embedenv_jupyter.protocols.spaces.codec import read_id
from embedenv_jupyter.protocols.spaces.frames import Cmd
from embedenv_jupyter.protocols.spaces.paths import PROJECT, WORKSPACE, base_name, workspace_path
from embedenv_jupyter.protocols.spaces.tree import parse_file_structure

MAX_USER_CHARS = 64
MAX_COMMAND_BYTES = 64 << 10
MAX_STDIN_BYTES = 1 << 20
MAX_RUN_CHARS = 64
MAX_KEEP_S = 7 * 24 * 3600.0
DEFAULT_USER = "guest"
DEFAULT_COLOUR = "#6366f1"
"""The colour of the published examples."""
INTERRUPT = "Ctrl+C"
SIGNALS = tuple("HUP INT QUIT ABRT KILL USR1 USR2 ALRM TERM CONT STOP TSTP TTIN TTOU WINCH".split())

_COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})|[a-zA-Z]{1,32}")
_JOINERS = str.maketrans("", "", "\u200c\u200d")
"""Persian words and many emoji are written with these; all else that does not print is refused."""


def hello_of(frame: frames.Hello) -> requests.Hello:
    """Check a first frame.

    Raises:
        FrameError: the user or the colour is none.
    """
    resume = frame.resume if isinstance(frame.resume, int) else None
    if isinstance(frame, frames.Init):
        return requests.Init(frame.public_key, frame.secret_key, resume)
    user = frame.user.strip() if isinstance(frame.user, str) else ""
    colour = frame.color if isinstance(frame.color, str) and frame.color else DEFAULT_COLOUR
    if len(user) > MAX_USER_CHARS:
        raise FrameError(f"'user' has {len(user)} characters; at most {MAX_USER_CHARS} are allowed")
    visible = user.translate(_JOINERS)
    if not visible.isprintable():
        raise FrameError(f"'user' {shown(user)} holds characters that do not print")
    if not _COLOUR.fullmatch(colour):
        raise FrameError(f"'color' {shown(colour)} is none; allowed are '#6366f1', '#63f' or a name: 'teal'")
    member = frame.member if isinstance(frame.member, str) else None
    return requests.Join(frame.join, user if visible else DEFAULT_USER, colour, resume, member)


def command_of(cmd: Cmd, *, asks: bool) -> requests.Command:
    """Check a command; ``asks`` is whether the client does.

    Raises:
        FrameError: what is wrong, and what is allowed; it has no ``id`` yet.
    """
    if not asks:
        _require_published(cmd)
        request = _published(cmd, None)
    else:
        id = read_id(cmd.id)
        request = _published(cmd, id) or _ours(cmd, id)
    assert request is not None, "every command is either published or ours"
    return request


def _require_published(cmd: Cmd) -> None:
    what = None
    if isinstance(cmd.command, frames.OurCommand):
        what = f"the command {cmd.command.__struct_config__.tag!r}"
    elif isinstance(cmd.command, frames.Write) and cmd.encoding is not UNSET:
        what = "'encoding'"
    if what is not None:
        raise FrameError(f'{what} is for clients that put "resume" into their init or join')


def _published(cmd: Cmd, id: str | None) -> requests.Command | None:
    command = cmd.command
    match command:
        case frames.Project():
            files = parse_file_structure(_given(cmd.file_structure, "file_structure", "project"))
            return requests.DeployProject(files, id=id)
        case frames.Create():
            return _create(command, id)
        case frames.Write():
            path = workspace_path(_given(cmd.path, "path", "write"))
            content = _given(cmd.content, "content", "write")
            return requests.Write(path, _content(content, _encoding(cmd.encoding)), id=id)
        case frames.Rename():
            path = workspace_path(_given(cmd.path, "path", "rename"))
            name = base_name(_given(cmd.name, "name", "rename"))
            parent, slash, _ = path.rpartition("/")
            return requests.Rename(path, parent + slash + name, id=id)
        case frames.Delete():
            return requests.Delete(workspace_path(_given(cmd.path, "path", "delete")), id=id)
        case frames.Shell(command=text):
            return requests.Interrupt(id=id) if text == INTERRUPT else requests.Shell(_command(text), id=id)
        case frames.Curl():
            return _curl(cmd, id)
    return None


def _ours(cmd: Cmd, id: str | None) -> requests.Command | None:
    command = cmd.command
    match command:
        case frames.Stdin():
            beside = UNSET if cmd.data is None else cmd.data
            data = _given(_either(command.data, beside), "data", "stdin")
            return requests.Stdin(_stdin(data), _run(cmd), id=id)
        case frames.Eof():
            return requests.Eof(_run(cmd), id=id)
        case frames.Signal():
            name = _given(_either(command.signal, cmd.signal), "signal", "signal")
            return requests.Signal(_signal(name), _run(cmd), id=id)
        case frames.Read():
            path = workspace_path(_given(_either(command.path, cmd.path), "path", "read"))
            return requests.Read(path, _encoding(_either(command.encoding, cmd.encoding)), id=id)
        case frames.List():
            path = _either(command.path, cmd.path) or WORKSPACE
            return requests.List(workspace_path(path, or_workspace=True), id=id)
        case frames.Stop():
            return requests.Stop(id=id)
        case frames.Keep():
            seconds = command.seconds if command.seconds is not UNSET else cmd.seconds
            return requests.Keep(_seconds(seconds), id=id)
    return None


def _given(value: str | UnsetType, field: str, command: str) -> str:
    if value is UNSET:
        raise FrameError(f"'{field}' is missing, which the command {command!r} needs")
    return value


def _either(inside: str | UnsetType, beside: str | UnsetType) -> str | UnsetType:
    return beside if inside is UNSET else inside


def _create(command: frames.Create, id: str | None) -> requests.Create:
    if command.item not in ("file", "folder"):
        raise FrameError(f"'command.item' must be 'file' or 'folder', not {shown(command.item)}")
    path = command.path
    if path is UNSET:
        name = base_name(_given(command.name, "command.path", "create"), "command.name")
        path = "/".join((PROJECT, command.rpath or "", name))
    return requests.Create(workspace_path(path, "command.path"), command.item == "folder", id=id)


def _encoding(name: str | UnsetType) -> requests.Encoding:
    if name is UNSET or name == "text":
        return "text"
    if name == "base64":
        return "base64"
    raise FrameError(f"'encoding' must be 'text' or 'base64', not {shown(name)}")


def _content(text: str, encoding: requests.Encoding) -> bytes:
    if encoding == "text":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise FrameError("'content' is not base64: letters, digits, '+', '/', and '=' to fill up") from None


def _command(text: str) -> str:
    size = len(text.encode())
    if size > MAX_COMMAND_BYTES:
        raise FrameError(
            f"'command.command' has {size} bytes; at most {MAX_COMMAND_BYTES} are allowed, so use a file"
        )
    if "\0" in text:
        raise FrameError("'command.command' holds a NUL character, which no shell line can")
    return text


def _stdin(text: str) -> str:
    size = len(text.encode())
    if size > MAX_STDIN_BYTES:
        raise FrameError(f"'data' has {size} bytes; at most {MAX_STDIN_BYTES} are allowed at once")
    return text


def _run(cmd: Cmd) -> str | None:
    if cmd.run is UNSET:
        return None
    if len(cmd.run) > MAX_RUN_CHARS:
        raise FrameError(f"'run' is longer than {MAX_RUN_CHARS} characters; it is what a 'run' event named")
    return cmd.run


def _signal(text: str) -> str:
    name = text.upper().removeprefix("SIG")
    if name not in SIGNALS:
        raise FrameError(f"'signal' {shown(text)} is none that can be sent; allowed: {', '.join(SIGNALS)}")
    return name


def _seconds(value: float | UnsetType) -> float:
    if value is UNSET:
        raise FrameError("'seconds' is missing, which the command 'keep' needs")
    if not (math.isfinite(value) and 0 < value <= MAX_KEEP_S):
        raise FrameError(f"'seconds' must be more than 0 and at most {MAX_KEEP_S:.0f}, not {value:g}")
    return value


def _curl(cmd: Cmd, id: str | None) -> requests.Curl:
    port, target = curl.parse_url(_given(cmd.url, "url", "curl"))
    method = curl.check_method(cmd.method if cmd.method is not UNSET else "GET")
    headers = curl.read_headers(cmd.headers) if cmd.headers is not UNSET else {}
    return requests.Curl(method, port, target, headers, (cmd.data or "").encode(), id=id)
