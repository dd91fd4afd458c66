"""What earlier probes found, as long as it can still be true: for one boot, user, and set of versions."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from embedenv_jupyter.sandbox import probe
from embedenv_jupyter.sandbox.host_facts import HostFacts, fingerprint
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.probe import TierReport

_MAX_BYTES = 256 << 10


def default_path(environ: dict[str, str] | None = None) -> Path:
    """Return where findings are kept: beside our data, else where the system keeps what a boot lasts."""
    environ = dict(os.environ) if environ is None else environ
    if chosen := environ.get("EMBEDENV_DATA_DIR"):
        return Path(chosen).expanduser() / "probe.json"
    if os.geteuid() == 0:
        return Path("/run/embedenv/probe.json")
    runtime = environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or Path.home() / ".cache", "embedenv", "probe.json")


def load(path: Path, facts: HostFacts, image: Image | None = None) -> dict[str, TierReport]:
    """Return the reports that still hold, by tier; none when anything about the file is odd.

    ``image`` is what rooms stand on. Whether a tier that works is good enough is
    looked at anew: that hangs on sockets that come and go, and costs nothing.
    """
    try:
        found = json.loads(_read_own(path))
        if found["fingerprint"] != json.loads(json.dumps(_fingerprint(facts, image))):
            return {}
        return {name: _judged(_report(values)) for name, values in found["tiers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _fingerprint(facts: HostFacts, image: Image | None) -> dict[str, object]:
    return {**fingerprint(facts), "image": None if image is None else image.identity()}


def _judged(report: TierReport) -> TierReport:
    if not report.works:
        return report
    weakness = probe.weakness(report.tier)
    return replace(report, ok=not weakness, reason=weakness)


def _read_own(path: Path) -> bytes:
    """Read a file that nobody else can have written."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(f"{path} is not only ours")
        return file.read(_MAX_BYTES)


def _report(values: dict[str, Any]) -> TierReport:
    return TierReport(
        str(values["tier"]), values["ok"] is True, values["works"] is True, str(values["reason"]),
        {str(key): str(value) for key, value in values["limits"].items()},
        tuple(map(str, values["unprotected"])), tuple(map(str, values["unlock"])),
    )  # fmt: skip


def forget(path: Path) -> None:
    """Forget all findings, one of which has turned out to be wrong; idempotent."""
    with contextlib.suppress(OSError):
        path.unlink()


def store(path: Path, facts: HostFacts, reports: Iterable[TierReport], image: Image | None = None) -> None:
    """Keep reports, with those of other tiers that still hold; where that cannot be, do without."""
    tiers = {**load(path, facts, image), **{report.tier: report for report in reports}}
    content = {
        "fingerprint": _fingerprint(facts, image),
        "tiers": {name: vars(report) for name, report in tiers.items()},
    }
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(content, file)
        temporary.replace(path)
