"""Our own routes below ``embedenv/``: which path is whose."""

from __future__ import annotations

from typing import Any

from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers import documents, kernels, previews, rooms, terminals
from embedenv_jupyter.handlers.kernel_channels import KernelChannelsHandler
from embedenv_jupyter.handlers.languages import LanguagesHandler
from embedenv_jupyter.handlers.preview_pages import PreviewHandler

_ROOM = r"/rooms/(?P<room_id>[0-9a-f]{1,64})/api"
_TERMINAL = r"(?P<name>[A-Za-z0-9_]{1,64})"
_KERNEL = _ROOM + r"/kernels/(?P<kernel_id>[\w-]{1,64})"

_ROUTES: tuple[tuple[str, Any], ...] = (
    (r"/api/rooms", rooms.RoomsHandler),
    (r"/api/rooms/(?P<room_id>[0-9a-f]{1,64})", rooms.RoomHandler),
    (r"/api/rooms/(?P<room_id>[0-9a-f]{1,64})/keys", rooms.KeysHandler),
    (r"/api/rooms/(?P<room_id>[0-9a-f]{1,64})/keys/(?P<key>[\w-]{1,256})", rooms.KeyHandler),
    (r"/api/join", rooms.JoinHandler),
    (_ROOM + r"/kernelspecs", kernels.KernelSpecsHandler),
    (_ROOM + r"/kernels", kernels.KernelsHandler),
    (_KERNEL, kernels.KernelHandler),
    (_KERNEL + r"/(?P<action>interrupt|restart)", kernels.KernelActionHandler),
    (_KERNEL + r"/channels", KernelChannelsHandler),
    (_ROOM + r"/sessions", kernels.SessionsHandler),
    (_ROOM + r"/sessions/(?P<session_id>[\w-]{1,64})", kernels.SessionHandler),
    (_ROOM + r"/terminals", terminals.TerminalsHandler),
    (_ROOM + r"/terminals/" + _TERMINAL, terminals.TerminalHandler),
    (r"/rooms/(?P<room_id>[0-9a-f]{1,64})/terminals/websocket/" + _TERMINAL, terminals.TerminalSocketHandler),
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


def engine_routes(gateway: Gateway, version: str) -> list[Route]:
    """Return the routes that tell about the Engine; the published ones run something."""
    return [
        (r"/api/languages", LanguagesHandler, {"gateway": gateway}),
        (r"/api/openapi\.json", documents.OpenapiHandler, {"version": version}),
        (r"/api/asyncapi\.json", documents.AsyncapiHandler, {"version": version}),
    ]
