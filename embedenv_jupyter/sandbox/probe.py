"""Finds out which tiers of isolation work on this machine, by using each of them once.

A tier works when a room that it has started runs a program, and when that room
can neither read a file of the host nor reach a server of the host: a tier that
starts but does not isolate is worth less than none. The layers below the tiers
are tried apart (:mod:`embedenv_jupyter.sandbox.probe_layers`), to say *why* a
tier does not work and what would unlock it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError, SandboxRequestError, SandboxUnavailableError
from embedenv_jupyter.sandbox import host_facts, landlock, remedies
from embedenv_jupyter.sandbox.commands import run_command
from embedenv_jupyter.sandbox.host_facts import HostFacts
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.probe_layers import Attempt
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import ExitStatus, SandboxSpec
from embedenv_jupyter.sandbox.tiers import Tier, exec_keeper
from embedenv_jupyter.sandbox.tiers.by_name import ORDER, make
from embedenv_jupyter.sandbox.tiers.container import DEFAULT_IMAGE
from embedenv_jupyter.sandbox.tiers.host_limits import HostLimits
from embedenv_jupyter.sandbox.tiers.landlock import NETWORK_ABI

TRIAL_TIMEOUT_S = 15.0
LAYERS_TIMEOUT_S = 30.0
_ANSWER_S = 0.2


@dataclass(frozen=True)
class TierReport:
    """What was found about one tier.

    ``works`` says that it starts rooms that are isolated as far as it goes,
    ``ok`` that ``auto`` may take it. ``limits`` names, for each resource, what holds it.
    """

    tier: str
    ok: bool
    works: bool
    reason: str = ""
    limits: dict[str, str] = field(default_factory=dict)
    unprotected: tuple[str, ...] = ()
    unlock: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What was found about a machine."""

    facts: HostFacts
    layers: dict[str, Attempt]
    tiers: tuple[TierReport, ...]
    better_limits: tuple[str, ...] = ()
    """What would let cgroups hold the limits, where they do not."""
    image: Image | None = None
    """What rooms were to stand on; ``None`` for the host, or in containers a plain Python."""

    @property
    def best(self) -> str | None:
        """The tier that ``auto`` takes."""
        return next((report.tier for report in self.tiers if report.ok), None)


async def probe(names: Iterable[str] = ORDER, image: Image | None = None) -> Report:
    """Try the named tiers, all at the same time, and every layer; rooms stand on ``image``."""
    facts = host_facts.look()
    async with asyncio.TaskGroup() as group:
        layers_task = group.create_task(try_layers())
        trials = [group.create_task(try_tier(name, image)) for name in names]
    layers = layers_task.result()
    reports = tuple(_completed(trial.result(), facts, layers, image) for trial in trials)
    return Report(facts, layers, reports, tuple(remedies.for_cgroups(facts, layers)), image)


async def try_layers() -> dict[str, Attempt]:
    """Try the layers in a fresh process, as forking this one is not safe once it has threads."""
    command = exec_keeper.python_command("embedenv_jupyter.sandbox.probe_layers")
    try:
        done = await run_command(command, LAYERS_TIMEOUT_S)
    except TimeoutError:
        return {}
    return {name: Attempt(**outcome) for name, outcome in json.loads(done.output or "{}").items()}


async def try_tier(name: str, image: Image | None = None) -> TierReport:
    """Try one tier by its first room, without looking for what would unlock it."""
    limits = dict(_limits(name))
    works, reason, tier = False, "", None
    try:
        tier = make(name, kernels=False, image=image)
        async with deadline(TRIAL_TIMEOUT_S):
            await _use(tier)
        works = True
        reason = weakness(name)
    except TimeoutError:
        reason = f"no room was ready within {TRIAL_TIMEOUT_S:g} s"
    except SandboxUnavailableError as exc:
        reason = exc.reason
    except (SandboxError, OSError) as exc:
        reason = str(exc)
    finally:
        if tier is not None:
            await tier.aclose()
    unprotected = tier.unprotected if tier is not None else ()
    return TierReport(name, works and not reason, works, reason, limits, unprotected)


async def _use(tier: Tier) -> None:
    sandbox = await tier.start(SandboxSpec(id=f"probe-{os.getpid()}"))
    try:
        status = await _run(sandbox, "true")
        if status.code != 0:
            raise SandboxUnavailableError(f"a program in a room ended with {status}")
        if await _reads_host(sandbox):
            raise SandboxUnavailableError("a room could read a file of the host")
        if await _reaches_host(sandbox):
            raise SandboxUnavailableError("a room could connect to a server of the host")
    finally:
        await sandbox.aclose("probed")


async def _run(sandbox: Sandbox, *argv: str) -> ExitStatus:
    process = await sandbox.spawn(argv)
    try:
        return await process.wait()
    finally:
        process.close()


async def _reads_host(sandbox: Sandbox) -> bool:
    """Have a program read a file of the host that everybody may read."""
    with tempfile.NamedTemporaryFile() as file:
        os.fchmod(file.fileno(), 0o644)
        return (await _run(sandbox, "cat", file.name)).code == 0


async def _reaches_host(sandbox: Sandbox) -> bool:
    """Have the supervisor connect to a server on the host's own loopback."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        try:
            _, fds = await sandbox.request("connect", port=server.getsockname()[1], ipv6=False)
        except SandboxRequestError:
            return False
        with socket.socket(fileno=fds[0]) as connection:
            connection.setblocking(False)
            try:
                async with deadline(_ANSWER_S):
                    accepted, _ = await loop.sock_accept(server)
            except TimeoutError:
                return False
            accepted.close()
            return True


def weakness(name: str) -> str:
    """Say why a tier that works is still not good enough to be taken without being asked for."""
    if name != "landlock":
        return ""
    if landlock.abi() < NETWORK_ABI:
        return f"Landlock here (ABI {landlock.abi()}) cannot keep rooms off the network; Linux 6.7 can"
    reachable = [] if os.geteuid() == 0 else list(powerful_sockets())
    if reachable:
        return f"rooms could reach {reachable[0]}, and with it whatever this user may do"
    return ""


def powerful_sockets(uid: int | None = None) -> Iterator[str]:
    """Yield the sockets through which this user may have programs started outside of any room.

    Landlock does not keep rooms from connecting to sockets that have a name.
    """
    own = f"/run/user/{os.geteuid() if uid is None else uid}"
    for path in (
        "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
        "/run/podman/podman.sock", "/run/crio/crio.sock", f"{own}/bus", f"{own}/systemd/private",
        f"{own}/docker.sock", f"{own}/podman/podman.sock",
    ):  # fmt: skip
        if os.access(path, os.W_OK):
            yield path


def _limits(name: str) -> Iterator[tuple[str, str]]:
    """Say what holds each limit of a tier's rooms."""
    if name in ("docker", "podman"):
        yield from (("memory", name), ("pids", name), ("cpu", name))
        yield from _limits_of_files(name)
        yield "network", f"none, by {name}"
        return
    host = HostLimits()
    controllers, held = host.controllers, f"cgroup v{host.version}"
    host.close()
    yield "memory", held if "memory" in controllers else "rlimit per process, watchdog for the sum"
    yield "pids", held if "pids" in controllers else _rlimit_of_processes(name)
    yield "cpu", held if "cpu" in controllers else "pinned cores"
    yield from _limits_of_files(name)
    match name:
        case "landlock":
            yield "network", _landlock_network()
        case "unsafe":
            yield "network", "none"
        case _:
            yield "network", "network namespace"


def _limits_of_files(name: str) -> Iterator[tuple[str, str]]:
    """Say what holds the workspace and other files, and the one limit that all tiers leave to the gateway."""
    on_host = name in ("landlock", "unsafe")
    rlimit = "none" if name == "unsafe" else "rlimit"
    yield "disk", "none: measured now and then, and reported" if on_host else "size of a tmpfs"
    yield "/tmp", "none: a folder of the host" if on_host else "size of a tmpfs"  # noqa: S108
    yield from (("file size", rlimit), ("open files", rlimit))
    yield "wall time", "the gateway ends the room"


def _rlimit_of_processes(name: str) -> str:
    if name == "unsafe":
        return "none"
    if os.geteuid() == 0:
        return "rlimit of the room's own user"
    return "rlimit of the gateway's user" if name == "landlock" else "rlimit in the room's user namespace"


def _landlock_network() -> str:
    return "Landlock and seccomp" if landlock.abi() >= NETWORK_ABI else "seccomp: no UDP, TCP is open"


def _completed(
    report: TierReport, facts: HostFacts, layers: Mapping[str, Attempt], image: Image | None
) -> TierReport:
    """Add what would unlock a tier that is not ok."""
    if report.ok:
        return report
    match report.tier:
        case "ns":
            unlock = remedies.for_namespaces(facts, layers, facts.interpreter)
        case "bwrap":
            unlock = remedies.for_bwrap(facts, layers)
        case "landlock":
            unlock = remedies.for_landlock(facts, layers)
        case engine:
            name = image.engine if image is not None else DEFAULT_IMAGE
            unlock = remedies.for_engine(facts, engine, report.reason, name or "")
    return replace(report, unlock=tuple(unlock))
