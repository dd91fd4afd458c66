"""Our own routes below ``embedenv/``: which path is whose."""

from __future__ import annotations

from typing import Any

from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers import (
    account,
    contents,
    documents,
    kernels,
    keys,
    passes,
    previews,
    room_actions,
    rooms,
    terminals,
)
from embedenv_jupyter.handlers.downloads import DownloadHandler
from embedenv_jupyter.handlers.kernel_channels import KernelChannelsHandler
from embedenv_jupyter.handlers.languages import InstallHandler, LanguageHandler, LanguagesHandler
from embedenv_jupyter.handlers.preview_pages import PreviewHandler
from embedenv_jupyter.handlers.room_events import RoomEventsHandler, RoomsEventsHandler
from embedenv_jupyter.handlers.shared_documents import SharedDocumentHandler
from embedenv_jupyter.handlers.tickets import TicketsHandler

_ID = r"(?P<room_id>[0-9a-f]{1,64})"
_OF_ROOM = r"/api/rooms/" + _ID
_KEY = _OF_ROOM + r"/keys/(?P<key>[\w-]{1,256})"
_ROOM = r"/rooms/" + _ID + r"/api"
_PATH = r"(?P<path>(?:/[^/]+)+|/?)"
_CONTENTS = _ROOM + "/contents" + _PATH
_TERMINAL = r"(?P<name>[A-Za-z0-9_]{1,64})"
_KERNEL = _ROOM + r"/kernels/(?P<kernel_id>[\w-]{1,64})"

_ROUTES: tuple[tuple[str, Any], ...] = (
    (r"/api/rooms", rooms.RoomsHandler),
    (r"/api/ended-rooms", account.EndedRoomsHandler),
    (r"/api/account", account.AccountHandler),
    (_OF_ROOM, rooms.RoomHandler),
    (_OF_ROOM + r"/(?P<action>pause|resume)", room_actions.PauseHandler),
    (_OF_ROOM + r"/keep", room_actions.KeepHandler),
    (_OF_ROOM + r"/fork", room_actions.ForkHandler),
    (_OF_ROOM + r"/restart", room_actions.RestartHandler),
    (_OF_ROOM + r"/snapshot", room_actions.SnapshotHandler),
    (_OF_ROOM + r"/keys", keys.KeysHandler),
    (_KEY, keys.KeyHandler),
    (_KEY + r"/rotate", keys.KeyRotationHandler),
    (_OF_ROOM + r"/members/(?P<member_id>[0-9a-f]{1,64})", keys.MemberHandler),
    (r"/api/join", passes.JoinHandler),
    (r"/api/join/" + _ID, passes.LeaveHandler),
    (r"/api/tickets", TicketsHandler),
    (_ROOM + r"/kernelspecs", kernels.KernelSpecsHandler),
    (_ROOM + r"/kernels", kernels.KernelsHandler),
    (_KERNEL, kernels.KernelHandler),
    (_KERNEL + r"/(?P<action>interrupt|restart)", kernels.KernelActionHandler),
    (_KERNEL + r"/channels", KernelChannelsHandler),
    (_KERNEL + r"/authors", kernels.CellAuthorsHandler),
    (_ROOM + r"/sessions", kernels.SessionsHandler),
    (_ROOM + r"/sessions/(?P<session_id>[\w-]{1,64})", kernels.SessionHandler),
    (_CONTENTS + "/checkpoints", contents.CheckpointsHandler),
    (_CONTENTS + r"/checkpoints/(?P<checkpoint_id>[\w-]+)", contents.CheckpointHandler),
    (_CONTENTS, contents.ContentsHandler),
    (r"/rooms/" + _ID + "/files" + _PATH, DownloadHandler),
    (r"/rooms/" + _ID + r"/documents(?P<path>(?:/[^/]+)+)", SharedDocumentHandler),
    (_ROOM + r"/terminals", terminals.TerminalsHandler),
    (_ROOM + r"/terminals/" + _TERMINAL, terminals.TerminalHandler),
    (r"/rooms/" + _ID + "/terminals/websocket/" + _TERMINAL, terminals.TerminalSocketHandler),
    (_ROOM + r"/ports", previews.PortsHandler),
    (_ROOM + r"/previews", previews.PreviewsHandler),
    (_ROOM + r"/previews/(?P<capability>[\w-]{1,64})", previews.OnePreviewHandler),
    (r"/previews/(?P<capability>[\w-]{1,64})(?:/.*)?", PreviewHandler),
    (_ROOM + r"/prompts", kernels.PromptsHandler),
    (_ROOM + r"/prompts/(?P<prompt_id>[0-9a-f]{1,64})", kernels.PromptHandler),
)


Route = tuple[str, Any, dict[str, Any]]
"""A path, its handler, and what that is made with."""


def own_routes(gateway: Gateway, version: str) -> list[Route]:
    """Return the routes of rooms and their kernels."""
    known = {"gateway": gateway}
    return [
        (_ROOM, kernels.ApiHandler, {**known, "version": version}),
        *((path, handler, known) for path, handler in _ROUTES),
    ]


def watching_routes(gateway: Gateway, *, hello_timeout_s: float, send_timeout_s: float) -> list[Route]:
    """Return the sockets that tell what happens in rooms."""
    known = {"gateway": gateway, "hello_timeout_s": hello_timeout_s, "send_timeout_s": send_timeout_s}
    return [
        (r"/rooms/events", RoomsEventsHandler, known),
        (r"/rooms/" + _ID + r"/events", RoomEventsHandler, known),
    ]


def engine_routes(gateway: Gateway, version: str) -> list[Route]:
    """Return the routes that tell about the Engine; the published ones run something."""
    return [
        (r"/api/languages", LanguagesHandler, {"gateway": gateway}),
        (r"/api/languages/(?P<name>[^/]{1,64})", LanguageHandler, {"gateway": gateway}),
        (r"/api/languages/(?P<name>[^/]{1,64})/install", InstallHandler, {"gateway": gateway}),
        (r"/api/openapi\.json", documents.OpenapiHandler, {"version": version}),
        (r"/api/asyncapi\.json", documents.AsyncapiHandler, {"version": version}),
    ]
