"""One small image, built once for all tests: interrupted in the middle, and continued."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from embedenv_jupyter.images.store import ImageStore
from tests.lacking import lacking

NAME = "small"
LANGUAGES = ("lua", "perl", "bash")
MAIN = "from embedenv_jupyter.cli import main; main(prog_name='embedenv')"
INTERRUPT_AT = "Python for kernels"
BUILD_TIMEOUT_S = 400
"""What a busy machine with a slow mirror is allowed; an idle one takes a minute."""


@dataclass(frozen=True)
class Built:
    """The image and what its two builds said."""

    data_dir: Path
    first_words: str
    second_words: str
    left_running: list[str]
    left_mounted: list[str]

    @property
    def store(self) -> ImageStore:
        return ImageStore(self.data_dir)


def embedenv(data_dir: Path, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run our command line."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], env=environment(data_dir), capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip


def environment(data_dir: Path) -> dict[str, str]:
    return {**os.environ, "EMBEDENV_DATA_DIR": str(data_dir), "COLUMNS": "120"}


def build_command(*languages: str) -> list[str]:
    return ["image", "build", "--name", NAME, *languages]


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    """Build the image; its folder is one that other users can reach, unlike pytest's own."""
    if os.geteuid() != 0:
        pytest.skip("images are built by root")
    if shutil.which("mmdebstrap") is None:
        lacking("mmdebstrap", "mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="embedenv-images-") as folder:
        data_dir = Path(folder)
        data_dir.chmod(0o755)
        first_words = _interrupted(data_dir)
        left_running, left_mounted = running_in(data_dir), _mounted_in(data_dir)
        done = embedenv(data_dir, *build_command(*LANGUAGES), timeout_s=BUILD_TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        yield Built(data_dir, first_words, done.stdout + done.stderr, left_running, left_mounted)


def _interrupted(data_dir: Path) -> str:
    """Build until a step in the middle has begun, then be killed as by the end of the machine."""
    words = ""
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *build_command(*LANGUAGES)], env=environment(data_dir),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as building:  # fmt: skip
        assert building.stderr is not None
        for line in building.stderr:
            words += line
            if INTERRUPT_AT in line:
                building.send_signal(signal.SIGKILL)
                break
        words += building.stderr.read()
    assert INTERRUPT_AT in words, words
    return words


def running_in(data_dir: Path) -> list[str]:
    """Return what still runs in trees below the folder, once the kernel has had time to end it."""
    found = [process for process in psutil.process_iter() if _root_of(process).startswith(str(data_dir))]
    _, alive = psutil.wait_procs(found, timeout=10)
    return [str(process) for process in alive]


def _root_of(process: psutil.Process) -> str:
    try:
        return os.readlink(f"/proc/{process.pid}/root")
    except OSError:
        return ""


def _mounted_in(data_dir: Path) -> list[str]:
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in mounts if str(data_dir) in line]
