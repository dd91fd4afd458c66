"""The kernel for gateways that speak only the published Engine frames.

    python -m embedenv_jupyter.forwarder.engine_kernel -f CONNECTION_FILE [--language=NAME]

Jupyter's five channels end here; a cell goes to the gateway as one request and comes
back as one answer (docs/kernel.md says what that leaves out). ``EMBEDENV_URL``,
``EMBEDENV_API_KEY`` and ``EMBEDENV_LANGUAGE`` are read from the environment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from ipykernel.kernelapp import IPKernelApp, kernel_aliases
from ipykernel.kernelbase import Kernel
from tornado.ioloop import IOLoop
from traitlets import Dict, Type, Unicode, default

from embedenv_jupyter.client.address import API_KEY_VARIABLE, URL_VARIABLE
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.forwarder.cells import Cell, known_language, language_id, split
from embedenv_jupyter.forwarder.engine_client import EngineClient, EngineError, Settings
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.protocols.engine.client import Answer

LANGUAGE_VARIABLE: Final = "EMBEDENV_LANGUAGE"
DEFAULT_LANGUAGE: Final = "python"

_STREAM_CHARS: Final = 64 << 10
"""Text in one message: servers that limit the rate of output drop whole messages."""
_SHUTDOWN_S: Final = 2.0

Content = dict[str, Any]


class EngineKernel(Kernel):
    """Forwards cells to a gateway's Engine WebSocket."""

    implementation = "embedenv"
    implementation_version = version("embedenv-jupyter")

    language = Unicode(help="Language of cells without %%lang: a name or alias.").tag(config=True)

    @default("language")
    def _language_default(self) -> str:
        return os.environ.get(LANGUAGE_VARIABLE, "").strip() or DEFAULT_LANGUAGE

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._languages = Languages.shipped()
        self._client: EngineClient | None = None
        self._running: asyncio.Timeout | None = None
        self._receipt: Content = {}
        self._is_silent = False
        # Not known before start(), which runs on the thread of this loop.
        self._loop: asyncio.AbstractEventLoop

    # What front ends ask before anything runs.

    @property
    def language_info(self) -> dict[str, object]:  # type: ignore[override]
        known = known_language(self.language, self._languages)
        name = self.language if known is None else known.id
        extension = "txt" if known is None else known.extension
        return {"name": name, "version": "", "mimetype": f"text/x-{name}", "file_extension": f".{extension}"}

    @property
    def banner(self) -> str:  # type: ignore[override]
        known = known_language(self.language, self._languages)
        host = urlsplit(os.environ.get(URL_VARIABLE, "")).hostname or f"nowhere: {URL_VARIABLE} is not set"
        return f"Embedenv: {self.language if known is None else known.name} on {host}"

    @property
    def kernel_info(self) -> Content:
        # No subshells and no debugger: a request is answered before the next is sent.
        return {**super().kernel_info, "supported_features": []}

    # Cells.

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: Content | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: Content | None = None,
        cell_id: str | None = None,
    ) -> Content:
        self._allow_stdin = allow_stdin  # The base class leaves it to us.
        self._is_silent = silent
        reply = await self._reply(code)
        unknown = {"status": "error", "ename": "NotSupported", "evalue": "", "traceback": []}
        answers = dict.fromkeys(user_expressions or {}, unknown) if reply["status"] == "ok" else {}
        return {"execution_count": self.execution_count, "payload": [], "user_expressions": answers, **reply}

    async def _reply(self, source: str) -> Content:
        """Run a cell and reply, whatever happens: without a reply the front end would wait for ever."""
        try:
            # The scope has no deadline; an interrupt gives it one that has passed.
            async with deadline(None) as self._running:
                return await self._run(source)
        except TimeoutError:
            text = "Interrupted; the connection was closed. The next cell opens another."
            return self._error("KeyboardInterrupt", text)
        except EmbedEnvError as exc:
            if isinstance(exc, EngineError):
                self._stream("stdout", exc.stdout)
                self._stream("stderr", exc.stderr)
            return self._error(type(exc).__name__, str(exc))
        except Exception as exc:  # noqa: BLE001 - see above
            self.log.error("a cell failed: %s", self._clean("".join(traceback.format_exception(exc))))
            text = "The kernel itself failed; its log says where. Run the cell again."
            return self._error(type(exc).__name__, text)
        finally:
            self._running = None

    async def _run(self, source: str) -> Content:
        cell = split(source, language_id(self.language, self._languages), self._languages)
        if cell.is_blank:
            return {"status": "ok"}
        if self._client is None:
            self._client = EngineClient(Settings.from_environment(os.environ), self._say)
        answer = await self._client.execute(cell.language, cell.code)
        return self._show(cell, answer)

    def _show(self, cell: Cell, answer: Answer) -> Content:
        self._stream("stdout", answer.stdout)
        self._stream("stderr", answer.stderr or "")
        self._receipt = {
            "language": cell.language,
            "exit_code": answer.exit_code,
            "execution_time_ms": answer.execution_time_ms,
        }
        if not answer.exit_code:
            return {"status": "ok"}
        above = " What it wrote to stderr is above." if answer.stderr else ""
        return self._error("ExitCode", f"The program ended with exit code {answer.exit_code}.{above}")

    def _error(self, name: str, text: str) -> Content:
        text = self._clean(text)
        error = {"ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
        if not self._is_silent:
            self._publish("error", error)
        return {"status": "error", **error}

    def _stream(self, name: str, text: str) -> None:
        if self._is_silent:
            return
        for start in range(0, len(text), _STREAM_CHARS):
            self._publish("stream", {"name": name, "text": text[start : start + _STREAM_CHARS]})

    def _publish(self, kind: str, content: Content) -> None:
        self.send_response(self.iopub_socket, kind, content)  # type: ignore[no-untyped-call]

    def _say(self, text: str) -> None:
        self._stream("stderr", f"embedenv: {self._clean(text)}\n")

    def _clean(self, text: str) -> str:
        """Take the key out of a text: a gateway may quote what it was sent."""
        key = os.environ.get(API_KEY_VARIABLE, "").strip()
        return text.replace(key, "•••") if key else text

    def init_metadata(self, parent: Content) -> Content:
        self._receipt = {}
        metadata: Content = super().init_metadata(parent)  # type: ignore[no-untyped-call]
        return metadata

    def finish_metadata(self, parent: Content, metadata: Content, reply_content: Content) -> Content:
        return {**metadata, "embedenv": self._receipt} if self._receipt else metadata

    # Interrupts and the end. Requests on the control channel run on a thread of their own.

    def start(self) -> None:
        self._loop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]
        super().start()  # type: ignore[no-untyped-call]
        self._loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def pre_handler_hook(self) -> None:
        """Keep the loop's own handler of SIGINT, where the base class would put another."""

    def post_handler_hook(self) -> None:
        """See above."""

    def _interrupt(self) -> None:
        if self._running is not None and not self._running.expired():
            self._running.reschedule(0)

    async def interrupt_request(self, stream: Any, ident: Any, parent: Content) -> None:
        self._loop.call_soon_threadsafe(self._interrupt)
        assert self.session is not None
        self.session.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident=ident)

    async def do_shutdown(self, restart: bool) -> Content:
        closing = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._aclose(), self._loop))
        try:
            async with deadline(_SHUTDOWN_S):
                await closing
        except TimeoutError:
            self.log.warning("the gateway did not take its leave in time")
        return {"status": "ok", "restart": restart}

    async def _aclose(self) -> None:
        self._interrupt()
        if self._client is not None:
            await self._client.aclose()

    # What only a kernel that knows its language could do.

    async def do_debug_request(self, msg: Content) -> Content:
        return {
            "type": "response",
            "request_seq": msg.get("seq", 0),
            "success": False,
            "command": msg.get("command", ""),
            "message": "There is no debugger behind the Engine protocol.",
        }

    async def create_subshell_request(self, socket: Any, ident: Any, parent: Content) -> None:
        """Refuse: answers carry no number, so one request waits at a time."""
        content = {"status": "error", "ename": "NotSupported", "traceback": [],
                   "evalue": "This kernel has no subshells."}  # fmt: skip
        assert self.session is not None
        self.session.send(socket, "create_subshell_reply", content, parent, ident)


class EngineKernelApp(IPKernelApp):
    """The kernel's process: ipykernel's own, with our kernel and an option for the language."""

    name = "embedenv-engine-kernel"
    kernel_class = Type(EngineKernel, klass=Kernel)
    classes: ClassVar[list[Any]] = [EngineKernel, *IPKernelApp.classes]  # type: ignore[misc]
    aliases = Dict({**kernel_aliases, "language": "EngineKernel.language"})

    def start(self) -> None:
        super().start()  # type: ignore[no-untyped-call]
        # The control thread may still be at the end of the shutdown request. What follows closes
        # the sockets that it writes to, and each would wait for the other for some seconds.
        self.control_thread.join(_SHUTDOWN_S)


def main(argv: Sequence[str] | None = None) -> None:
    """Be a kernel until it is shut down; ``argv`` is without the program's name."""
    EngineKernelApp.launch_instance(argv=None if argv is None else list(argv))


if __name__ == "__main__":
    main()
