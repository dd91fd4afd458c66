"""The composition root: traits in, managers built, handlers mounted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Enum, Float, Int, List, Unicode

from embedenv_jupyter import __version__
from embedenv_jupyter.accounts import LOCAL_ACCOUNT, data_dir
from embedenv_jupyter.client.gateway_file import GatewayFile, remove_gateway_file, write_gateway_file
from embedenv_jupyter.gateway import Gateway, GatewaySettings
from embedenv_jupyter.handlers.engine import EngineHandler, ExecuteHandler
from embedenv_jupyter.handlers.health import HealthHandler
from embedenv_jupyter.handlers.notebook_sockets import know_senders
from embedenv_jupyter.handlers.routes import engine_routes, own_routes, watching_routes
from embedenv_jupyter.handlers.spaces import SpacesHandler, SpacesOptions
from embedenv_jupyter.kernels.manager import KernelSettings
from embedenv_jupyter.kernels.picker import KernelPicker
from embedenv_jupyter.rooms.manager import RoomSettings
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.spec import MIB, Limits
from embedenv_jupyter.snippets.desk import CodeFilter
from embedenv_jupyter.snippets.sessions import SnippetSettings

_HERE = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Where a server that listens everywhere is reached from this machine."""


class EmbedenvApp(ExtensionApp):
    """Shared, sandboxed rooms in a Jupyter server."""

    name = "embedenv"
    extension_url = "/embedenv"
    load_other_extensions = True
    default_url = "/embedenv/health"

    data_dir = Unicode(
        help="Where accounts, logs and sandboxes are kept. Empty: EMBEDENV_DATA_DIR, else Jupyter's own."
    ).tag(config=True)
    database_url = Unicode(
        help="SQLAlchemy URL of the accounts' database. Empty: EMBEDENV_DATABASE, else a file in data_dir."
    ).tag(config=True)
    tier = Enum(
        ["auto", "ns", "bwrap", "docker", "podman", "landlock", "unsafe"],
        default_value="auto",
        help="How rooms are isolated. 'auto' takes the best that works; `embedenv doctor` shows which.",
    ).tag(config=True)
    allow_unsafe = Bool(
        False, help="Let rooms start without any isolation where nothing better works. Not for strangers."
    ).tag(config=True)
    image = Unicode(
        help="What rooms stand on: an image that `embedenv image build` has made, by its name; the absolute "
        "path of a root tree (tiers ns and bwrap); or what docker and podman call one of theirs, which is "
        "pulled already. It has Python 3.11 or later, and for kernels ipykernel. Empty: the machine's own "
        "/usr, and in containers docker.io/library/python:3.12-slim."
    ).tag(config=True)
    pool_size = Int(2, min=0, help="How many sandboxes stand ready; 0 starts each when it is asked for.").tag(
        config=True
    )
    kernel_pool_size = Int(
        1, min=0, help="How many sandboxes stand ready with a Python kernel in them; each takes some 20 MiB."
    ).tag(config=True)
    max_kernels = Int(16, min=1, help="How many kernels one room may have.").tag(config=True)
    cull_kernels_s = Float(
        0.0, min=0.0, help="Seconds after which a kernel ends that nobody is connected to; 0 for never."
    ).tag(config=True)
    max_rooms = Int(1000, min=1, help="How many rooms may be open at once.").tag(config=True)
    memory_mib = Int(512, min=0, help="Memory of a room in MiB; 0 for no limit.").tag(config=True)
    pids = Int(128, min=0, help="Processes and threads of a room; 0 for no limit.").tag(config=True)
    cpu_cores = Float(1.0, min=0.0, help="Processor cores of a room; 0 for no limit.").tag(config=True)
    open_files = Int(1024, min=64, help="Open files of each process of a room.").tag(config=True)
    file_mib = Int(256, min=0, help="Size of one file in MiB; 0 for no limit.").tag(config=True)
    workspace_mib = Int(256, min=1, help="Size of a room's workspace in MiB.").tag(config=True)
    tmp_mib = Int(64, min=1, help="Size of a room's /tmp and of its /dev/shm in MiB.").tag(config=True)
    network = Bool(
        False,
        help="Let rooms reach whatever this machine reaches, in order to install packages for example."
        " They then share its network: not for strangers.",
    ).tag(config=True)
    life_s = Float(0.0, min=0.0, help="Seconds after which any room ends; 0 for never.").tag(config=True)
    idle_s = Float(
        3600.0,
        min=0.0,
        help="Seconds after which a room ends that nobody uses and nothing runs in; 0: never.",
    ).tag(config=True)
    hello_timeout_s = Float(
        10.0, min=0.1, help="Seconds within which a new connection must say init or join."
    ).tag(config=True)
    send_timeout_s = Float(
        60.0,
        min=0.1,
        help="Seconds after which a connection is cut whose client takes no data; it may resume.",
    ).tag(config=True)
    log_disk_mib = Int(
        256, min=0, help="Disk space for the log of one room in MiB; 0 keeps only the newest MiB, in memory."
    ).tag(config=True)
    run_timeout_s = Float(
        60.0, min=0.0, help="Seconds that a run of the Engine protocol has if it asks for none; 0: any."
    ).tag(config=True)
    max_run_timeout_s = Float(
        0.0, min=0.0, help="The most seconds that a run of the Engine protocol may ask for; 0: any."
    ).tag(config=True)
    session_idle_s = Float(
        600.0, min=1.0, help="Seconds after which a named session of the Engine ends that nobody uses."
    ).tag(config=True)
    max_sessions = Int(
        64, min=1, help="How many sessions of the Engine protocol one account may have at a time."
    ).tag(config=True)
    runs_per_minute = Int(
        1200, min=0, help="How many runs of the Engine protocol one account may begin; 0: any number."
    ).tag(config=True)
    code_filter = Enum(
        list(CodeFilter),
        default_value=CodeFilter.BLOCK,
        help="What is done about code of the Engine protocol in which a rule recognises an attack: 'block', "
        "'warn' or 'off'. The sandbox confines it in any case.",
    ).tag(config=True)
    allow_install = Bool(
        True,
        help="Let users of this server install languages for rooms from its pages, out of Debian, PyPI and "
        "npm, where the server runs as root and rooms stand on its machine.",
    ).tag(config=True)
    allowed_origins = List(
        Unicode(), help="Origins of foreign web pages that may open the published sockets; '*' for all."
    ).tag(config=True)
    mount_at_root = Bool(
        True, help="Also mount the published routes at the base URL, for clients that only change the host."
    ).tag(config=True)
    line_end_frames = Bool(
        True, help="Send a terminal-newline frame after each line of output in the Spaces protocol."
    ).tag(config=True)

    gateway: Gateway
    _picker: KernelPicker | None = None
    _runtime_dir: Path | None = None

    def initialize_settings(self) -> None:
        self.gateway = Gateway(self._gateway_settings())

    def _gateway_settings(self) -> GatewaySettings:
        return GatewaySettings(
            data_dir=Path(self.data_dir).absolute() if self.data_dir else data_dir(),
            database_url=self.database_url or None,
            tier=self.tier,
            allow_unsafe=self.allow_unsafe,
            image=self.image or None,
            pool_size=self.pool_size,
            kernel_pool_size=self.kernel_pool_size,
            kernels=KernelSettings(
                max_kernels=self.max_kernels, cull_idle_s=self.cull_kernels_s or None,
                log_disk_bytes=self.log_disk_mib * MIB,
            ),
            code_filter=CodeFilter(self.code_filter),
            allow_install=self.allow_install,
            snippets=SnippetSettings(
                timeout_s=self.run_timeout_s or None, max_timeout_s=self.max_run_timeout_s or None,
                session_idle_s=self.session_idle_s, runs_per_minute=self.runs_per_minute,
                max_sessions=self.max_sessions,
                log_disk_bytes=self.log_disk_mib * MIB,
            ),
            rooms=RoomSettings(
                limits=self._limits(), network=self.network, idle_s=self.idle_s or None,
                life_s=self.life_s or None, max_rooms=self.max_rooms, log_disk_bytes=self.log_disk_mib * MIB,
            ),
        )  # fmt: skip

    def _limits(self) -> Limits:
        return Limits(
            memory_bytes=self.memory_mib * MIB or None,
            pids=self.pids or None,
            cpu_cores=self.cpu_cores or None,
            open_files=self.open_files,
            file_bytes=self.file_mib * MIB or None,
            workspace_bytes=self.workspace_mib * MIB,
            tmp_bytes=self.tmp_mib * MIB,
        )

    def initialize_handlers(self) -> None:
        spaces: dict[str, Any] = {
            "gateway": self.gateway,
            "options": SpacesOptions(
                hello_timeout_s=self.hello_timeout_s,
                send_timeout_s=self.send_timeout_s,
                line_end_frames=self.line_end_frames,
            ),
            "allowed_origins": frozenset(origin.rstrip("/") for origin in self.allowed_origins),
        }
        engine: dict[str, Any] = {
            "gateway": self.gateway,
            "hello_timeout_s": self.hello_timeout_s,
            "send_timeout_s": self.send_timeout_s,
            "allowed_origins": spaces["allowed_origins"],
        }
        published: list[tuple[str, Any, dict[str, Any]]] = [
            (r"/ws/spaces/(?P<space>[^/]+)/?", SpacesHandler, spaces),
            (r"/ws/?", EngineHandler, engine),
            (r"/api/v1/execute/?", ExecuteHandler, {"gateway": self.gateway}),
        ]
        own: list[tuple[str, Any, dict[str, Any]]] = [
            (r"/health", HealthHandler, {"gateway": self.gateway, "version": __version__}),
            *own_routes(self.gateway, __version__),
            *watching_routes(
                self.gateway, hello_timeout_s=self.hello_timeout_s, send_timeout_s=self.send_timeout_s
            ),
            *engine_routes(self.gateway, __version__),
        ]
        self.handlers.extend((self.extension_url + path, *rest) for path, *rest in [*own, *published])
        if self.mount_at_root:
            self.handlers.extend(published)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        self._announce(serverapp)  # before the start: who comes meanwhile waits for its end
        await self.gateway.start()
        self._picker = KernelPicker()
        serverapp.kernel_spec_manager.kernel_dirs.append(self._picker.folder)
        know_senders(serverapp.web_app.settings, self.gateway.senders)
        self.gateway.rooms.subscribe(self._show_in_picker)

    def _show_in_picker(self, room: Room) -> None:
        """Show the rooms of this server's own user; those of others are not theirs to enter."""
        if self._picker is not None and room.account == LOCAL_ACCOUNT.id:
            self._picker.room_changed(room)

    def _announce(self, serverapp: Any) -> None:
        """Tell the programs that this server starts where its gateway is, and let them in."""
        if serverapp.sock:
            return
        scheme = "https" if serverapp.certfile else "http"
        ip = _HERE.get(serverapp.ip, serverapp.ip)
        host = f"[{ip}]" if ":" in ip else ip
        url = f"{scheme}://{host}:{serverapp.port}{serverapp.base_url}"
        content = GatewayFile(url, self.gateway.local_key, serverapp.certfile)
        self._runtime_dir = Path(serverapp.runtime_dir)
        try:
            write_gateway_file(self._runtime_dir, os.getpid(), content)
        except OSError as exc:
            self.log.warning("kernels of this server will not find its rooms: %s", exc)

    async def stop_extension(self) -> None:
        if self._runtime_dir is not None:
            remove_gateway_file(self._runtime_dir, os.getpid())
        await self.gateway.aclose()
        if self._picker is not None:
            self._picker.close()
