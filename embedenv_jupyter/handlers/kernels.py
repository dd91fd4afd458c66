"""``embedenv/rooms/{id}/api``: a room as a Jupyter server in miniature, as far as kernels go.

Stock clients work here when their base URL is ``embedenv/rooms/{id}/``: kernels,
sessions, kernel specs. What is beyond Jupyter's API: pending prompts.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.errors import UnknownKernelError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import OwnHandler
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.handlers.rooms import kernel_model, require
from embedenv_jupyter.kernels.manager import KERNEL_SPECS, PYTHON, NotebookSession, RoomKernels
from embedenv_jupyter.kernels.prompts import PendingPrompt
from embedenv_jupyter.rooms.members import Role

MAX_ANSWER_CHARS = 1 << 20

Name = Annotated[str, msgspec.Meta(max_length=256)]
Path = Annotated[str, msgspec.Meta(max_length=4096)]


class NewKernel(msgspec.Struct):
    """Which kernel to start, and for a document at which path."""

    name: Name | None = None
    path: Path = ""
    env: dict[str, str] = {}


class KernelOfSession(msgspec.Struct):
    """A running kernel by ``id``, or the ``name`` of one to start."""

    id: Name | None = None
    name: Name | None = None


class NewSession(msgspec.Struct):
    """A document that wants a kernel."""

    path: Path
    type: Name = "notebook"
    name: Path = ""
    kernel: KernelOfSession = msgspec.field(default_factory=KernelOfSession)


class ChangedSession(msgspec.Struct):
    """What is new of a document's session."""

    path: Path | None = None
    type: Name | None = None
    name: Path | None = None
    kernel: KernelOfSession | None = None


class PromptAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody typed."""

    value: Annotated[str, msgspec.Meta(max_length=MAX_ANSWER_CHARS)]


class InRoomHandler(OwnHandler):
    """Base of what is below ``embedenv/rooms/{id}``."""

    async def kernels(self, room_id: str, role: Role, action: str) -> RoomKernels:
        """Return the kernels of a room for somebody who may do this with them.

        Raises:
            EmbedEnvError: there is no such room, or the role does not allow it.
        """
        room, who = await self.entered(room_id, "read" if role is Role.VIEW else "execute")
        require(who, role, action)
        return self.gateway.kernels.of(room)


class ApiHandler(InRoomHandler):
    """The version, as of a Jupyter server."""

    def initialize(self, *, gateway: Gateway, version: str) -> None:  # type: ignore[override]
        super().initialize(gateway=gateway)
        self._version = version

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        await self.kernels(room_id, Role.VIEW, "look at the room")
        self.answer({"version": self._version})


class KernelSpecsHandler(InRoomHandler):
    """The kernels that can be started."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        await self.kernels(room_id, Role.VIEW, "look at the room")
        specs = {name: {"name": name, "spec": spec, "resources": {}} for name, spec in KERNEL_SPECS.items()}
        self.answer({"default": PYTHON, "kernelspecs": specs})


class KernelsHandler(InRoomHandler):
    """All kernels of the room."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        self.answer(
            [kernel_model(kernel) for kernel in await self.kernels(room_id, Role.VIEW, "see kernels")]
        )

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        kernels = await self.kernels(room_id, Role.RUN, "start kernels")
        wanted = self.body(NewKernel)
        kernel = await kernels.start(wanted.name, path=wanted.path, env=wanted.env)
        self.answer(kernel_model(kernel), 201)


class KernelHandler(InRoomHandler):
    """One kernel."""

    @allow_unauthenticated
    async def get(self, room_id: str, kernel_id: str) -> None:
        kernels = await self.kernels(room_id, Role.VIEW, "see kernels")
        self.answer(kernel_model(kernels.find(kernel_id)))

    @allow_unauthenticated
    async def delete(self, room_id: str, kernel_id: str) -> None:
        kernels = await self.kernels(room_id, Role.RUN, "shut kernels down")
        await kernels.shutdown(kernel_id)
        self.set_status(204)
        self.finish()


class CellAuthorsHandler(InRoomHandler):
    """Who ran which cell of a kernel last."""

    @allow_unauthenticated
    async def get(self, room_id: str, kernel_id: str) -> None:
        kernels = await self.kernels(room_id, Role.VIEW, "see who runs cells")
        self.answer(kernels.find(kernel_id).runs.authors.all())


class KernelActionHandler(InRoomHandler):
    """``interrupt`` or ``restart``."""

    @allow_unauthenticated
    async def post(self, room_id: str, kernel_id: str, action: str) -> None:
        kernels = await self.kernels(room_id, Role.RUN, f"{action} kernels")
        kernel = kernels.find(kernel_id)
        if action == "interrupt":
            await kernel.interrupt()
            self.set_status(204)
            self.finish()
            return
        await kernel.restart()
        self.answer(kernel_model(kernel))


class SessionsHandler(InRoomHandler):
    """The documents that use kernels of the room."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        kernels = await self.kernels(room_id, Role.VIEW, "see sessions")
        self.answer([session_model(session) for session in kernels.notebooks.values()])

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        kernels = await self.kernels(room_id, Role.RUN, "start kernels")
        wanted = self.body(NewSession)
        async with kernels.opening:
            session = await self._session(kernels, wanted)
        self.answer(session_model(session), 201)

    async def _session(self, kernels: RoomKernels, wanted: NewSession) -> NotebookSession:
        """Return the session of a document; a new one, perhaps with a new kernel, if it has none."""
        for session in kernels.notebooks.values():
            if session.path == wanted.path:
                return session
        if wanted.kernel.id is not None:
            kernel = kernels.find(wanted.kernel.id)
        else:
            kernel = await kernels.start(wanted.kernel.name, path=wanted.path)
        return kernels.add_notebook(wanted.path, wanted.name, wanted.type, kernel)


class SessionHandler(InRoomHandler):
    """One document's session."""

    def _find(self, kernels: RoomKernels, session_id: str) -> NotebookSession:
        session = kernels.notebooks.get(session_id)
        if session is None:
            raise ProblemError(404, f"This room has no session {session_id!r:.80}.", "UnknownSession")
        return session

    @allow_unauthenticated
    async def get(self, room_id: str, session_id: str) -> None:
        kernels = await self.kernels(room_id, Role.VIEW, "see sessions")
        self.answer(session_model(self._find(kernels, session_id)))

    @allow_unauthenticated
    async def patch(self, room_id: str, session_id: str) -> None:
        kernels = await self.kernels(room_id, Role.RUN, "change sessions")
        session, wanted = self._find(kernels, session_id), self.body(ChangedSession)
        for name in ("path", "type", "name"):
            if (value := getattr(wanted, name)) is not None:
                setattr(session, name, value)
        if wanted.kernel is not None:
            await self._change_kernel(kernels, session, wanted.kernel)
        self.answer(session_model(session))

    async def _change_kernel(
        self, kernels: RoomKernels, session: NotebookSession, wanted: KernelOfSession
    ) -> None:
        """Give a document another kernel; the one that it had ends, as on a Jupyter server."""
        before = session.kernel
        if wanted.id is not None:
            session.kernel = kernels.find(wanted.id)
        elif wanted.name is not None:
            session.kernel = await kernels.start(wanted.name, path=session.path)
        if session.kernel is not before:
            with contextlib.suppress(UnknownKernelError):
                await kernels.shutdown(before.id)

    @allow_unauthenticated
    async def delete(self, room_id: str, session_id: str) -> None:
        kernels = await self.kernels(room_id, Role.RUN, "end sessions")
        await kernels.shutdown(self._find(kernels, session_id).kernel.id)
        self.set_status(204)
        self.finish()


class PromptsHandler(InRoomHandler):
    """The questions of cells that wait for an answer."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        kernels = await self.kernels(room_id, Role.VIEW, "see prompts")
        self.answer([prompt_model(prompt) for kernel in kernels for prompt in kernel.prompts.pending()])


class PromptHandler(InRoomHandler):
    """One question; the first answer counts."""

    @allow_unauthenticated
    async def post(self, room_id: str, prompt_id: str) -> None:
        room, who = await self.entered(room_id, "execute")
        require(who, Role.RUN, "answer prompts")
        value = self.body(PromptAnswer).value
        for kernel in self.gateway.kernels.of(room):
            if any(prompt.id == prompt_id for prompt in kernel.prompts.pending()):
                await kernel.answer(prompt_id, value, who.user)
                self.set_status(204)
                self.finish()
                return
        raise ProblemError(409, "This prompt waits for no answer any more.", "Answered")


def session_model(session: NotebookSession) -> dict[str, Any]:
    """Describe a session as Jupyter's ``/api/sessions`` does."""
    return {
        "id": session.id,
        "path": session.path,
        "name": session.name,
        "type": session.type,
        "kernel": kernel_model(session.kernel),
        "notebook": {"path": session.path, "name": session.name},
    }


def prompt_model(prompt: PendingPrompt) -> dict[str, Any]:
    """Describe a question; who asks it, and as which message, is the kernel's business."""
    shown = ("id", "kernel", "run", "text", "password", "asked_at")
    return {name: getattr(prompt, name) for name in shown}
