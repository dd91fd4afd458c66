"""Our own routes below ``embedenv/``: which path is whose."""

from __future__ import annotations

from typing import Any

from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers import contents, documents, kernels, rooms
from embedenv_jupyter.handlers.downloads import DownloadHandler
from embedenv_jupyter.handlers.kernel_channels import KernelChannelsHandler
from embedenv_jupyter.handlers.languages import LanguagesHandler
from embedenv_jupyter.handlers.shared_documents import SharedDocumentHandler

_ROOM = r"/rooms/(?P<room_id>[0-9a-f]{1,64})/api"
_PATH = r"(?P<path>(?:/[^/]+)+|/?)"
_CONTENTS = _ROOM + "/contents" + _PATH
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
    (_CONTENTS + "/checkpoints", contents.CheckpointsHandler),
    (_CONTENTS + r"/checkpoints/(?P<checkpoint_id>[\w-]+)", contents.CheckpointHandler),
    (_CONTENTS, contents.ContentsHandler),
    (r"/rooms/(?P<room_id>[0-9a-f]{1,64})/files" + _PATH, DownloadHandler),
    (r"/rooms/(?P<room_id>[0-9a-f]{1,64})/documents(?P<path>(?:/[^/]+)+)", SharedDocumentHandler),
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
