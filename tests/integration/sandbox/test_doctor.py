"""``embedenv doctor`` as root, as an ordinary user, and where no namespaces are to be had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedenv_jupyter.sandbox import landlock
from embedenv_jupyter.sandbox.tiers.by_name import ORDER
from embedenv_jupyter.sandbox.tiers.exec_keeper import PACKAGE_ROOT
from tests.integration.sandbox import container_like, engine_image

UID = 23456
TIMEOUT_S = 60
QUICK_S = 10.0
"""What a busy machine is allowed; an idle one takes less than one second."""

MAIN = "from embedenv_jupyter.cli import main; main(prog_name='embedenv')"
EngineOptions = Callable[[str], tuple[str, ...]]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that another user can be given, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="embedenv-test-"))
    yield path
    shutil.rmtree(path)


def run(home: Path, *arguments: str, uid: int | None = None, prefix: tuple[str, ...] = ()) -> Any:
    """Run the doctor; return what subprocess says of it."""
    if uid is not None:
        os.chown(home, uid, uid)
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "EMBEDENV_DATA_DIR": str(home), "COLUMNS": "100",
        "PYTHONPATH": str(PACKAGE_ROOT), "PYTHONDONTWRITEBYTECODE": "1", "container": "docker",
    }  # fmt: skip
    command = [*prefix, sys.executable, "-c", MAIN, "doctor", *arguments]
    as_user = {"user": uid, "group": uid, "extra_groups": []} if uid is not None and not prefix else {}
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=TIMEOUT_S, check=False, **as_user
    )  # type: ignore[call-overload]


def findings(done: Any) -> dict[str, Any]:
    """Check what holds for every report; return it."""
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["best"] else 1)
    assert report["best"] == next((tier["tier"] for tier in report["tiers"] if tier["ok"]), None)
    assert isinstance(report, dict)
    return report


def tier(report: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (tier for tier in report["tiers"] if tier["tier"] == name)
    assert isinstance(found, dict)
    return found


def container_prefix(uid: int) -> tuple[str, ...]:
    if os.geteuid() != 0:
        pytest.skip("only root can play a container")
    return sys.executable, container_like.__file__, str(uid)


@pytest.mark.parametrize("who", ["as we are", "as an ordinary user"])
def test_report_as_data(home: Path, who: str) -> None:
    uid = None
    if who == "as an ordinary user":
        if os.geteuid() != 0:
            pytest.skip("this run is an ordinary user's already")
        uid = UID
    began_s = time.monotonic()
    report = findings(run(home, "--json", uid=uid))
    assert time.monotonic() - began_s < QUICK_S
    assert [found["tier"] for found in report["tiers"]] == list(ORDER)
    assert report["facts"]["uid"] == (os.geteuid() if uid is None else uid)
    assert (home / "probe.json").exists()
    layers = report["layers"]
    if all(layers[name]["ok"] for name in ("user namespace", "mounts", "fresh /proc", "network namespace")):
        assert report["best"] == "ns", tier(report, "ns")["reason"]
    else:
        assert report["best"] is not None, [found["reason"] for found in report["tiers"]]


@pytest.mark.parametrize("uid", [0, UID])
def test_place_without_namespaces(home: Path, uid: int) -> None:
    report = findings(run(home, "--json", uid=uid, prefix=container_prefix(uid)))
    refused = "Operation not permitted"
    assert tier(report, "ns")["reason"].endswith(refused)
    assert "seccomp=unconfined" in tier(report, "ns")["unlock"][0]
    assert not tier(report, "bwrap")["ok"]
    for layer in ("user namespace", "mounts", "network namespace"):
        assert report["layers"][layer]["detail"].endswith(refused)
    for layer in ("cgroup v1", "cgroup v2"):
        assert not report["layers"][layer]["ok"]
    assert any("--memory" in remedy for remedy in report["better_limits"])
    if landlock.abi() >= 4:
        found = tier(report, "landlock")
        assert found["ok"]
        assert found["limits"]["network"] == "Landlock and seccomp"
        assert found["limits"]["pids"] == (
            "rlimit of the room's own user" if uid == 0 else "rlimit of the gateway's user"
        )
        assert found["limits"]["memory"] == "rlimit per process, watchdog for the sum"


def test_one_tier_is_looked_at_alone_and_its_failure_is_the_exit_code(home: Path) -> None:
    done = run(home, "--json", "--tier", "ns", uid=UID, prefix=container_prefix(UID))
    assert done.returncode == 1
    assert [found["tier"] for found in findings(done)["tiers"]] == ["ns"]


def test_table_says_it_in_words(home: Path) -> None:
    done = run(home, uid=UID, prefix=container_prefix(UID))
    assert "as user 23456, in a container (docker)" in done.stdout
    assert "Operation not permitted" in done.stdout
    assert "To unlock ns:\n  • docker run --security-opt seccomp=unconfined" in done.stdout
    if landlock.abi() >= 4:
        assert done.returncode == 0
        assert "Rooms use landlock. It does not protect against:" in done.stdout
    assert done.stderr == ""


def test_unknown_tier_is_refused(home: Path) -> None:
    done = run(home, "--tier", "chroot")
    assert done.returncode == 2
    assert "'chroot' is not one of" in done.stderr


@pytest.mark.parametrize("uid", [0, 1000])
def test_real_container_with_default_options(uid: int, engine_options: EngineOptions) -> None:
    engine_options("docker")
    folders = {sys.prefix, sys.base_prefix, str(PACKAGE_ROOT)}
    binds = [f"--mount=type=bind,source={path},target={path},readonly" for path in folders if path != "/usr"]
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--tmpfs", "/tmp:exec", "--user", str(uid), *binds,
         "--env", f"PYTHONPATH={PACKAGE_ROOT}", "--env", "HOME=/tmp", "--entrypoint", sys.executable,
         engine_image.NAME, "-c", MAIN, "doctor", "--json"],
        text=True, capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    report = findings(done)
    assert report["facts"]["container"] == "docker"
    assert report["layers"]["user namespace"]["detail"].endswith("Operation not permitted")
    assert "seccomp=unconfined" in tier(report, "ns")["unlock"][0]
    if report["layers"]["landlock"]["ok"] and landlock.abi() >= 4:
        assert report["best"] == "landlock", tier(report, "landlock")["reason"]
