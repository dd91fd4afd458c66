"""Runs commands of a build: those of the host, and shell scripts inside the tree.

Each gets a mount and a pid namespace of its own, so that nothing stays mounted and
nothing runs on when it ends or we do, for whatever reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from embedenv_jupyter.images.errors import ImageBuildError
from embedenv_jupyter.images.sources import CERTIFICATES
from embedenv_jupyter.languages import installing
from embedenv_jupyter.sandbox.image import PACKAGE

RESERVE_BYTES = 1 << 30
"""What a build leaves free on the disk, whatever it does."""

ENVIRONMENT = {
    "PATH": installing.PATH,
    "HOME": "/tmp/embedenv-home",  # noqa: S108 - inside the tree; what caches programs keep there goes with it
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

_REMEMBERED_LINES = 15
_LOOK_EVERY_S = 1.0

_ALONE = ("setpriv", "--pdeathsig", "KILL", "--",
          "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
          "--")  # fmt: skip
"""Whatever becomes of us, the kernel ends what we have started and takes its mounts away."""

_ENTER = f"""
root=$1 package=$2; shift 2
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=64m tmpfs "$root/run"
mkdir -p "$root{PACKAGE}/embedenv_jupyter"
mount --bind -o ro "$package" "$root{PACKAGE}/embedenv_jupyter"
mount -t tmpfs -o mode=755,size=64k tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,size=256m tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cd /
exec chroot "$root" "$@"
"""

_AT_HOME = """cd "$HOME" 2>/dev/null || cd /tmp
"""
"""Not in /, where compilers take folders such as /sys for packages."""

Told = Callable[[str], None]


class CommandError(ImageBuildError):
    """A command of a build has failed; ``words`` are its last ones."""

    def __init__(self, title: str, code: int, words: Sequence[str]) -> None:
        super().__init__(f"{title} failed (exit code {code}). Its last words:", tuple(words))
        self.title = title
        self.code = code
        self.words = tuple(words)


class Commands:
    """Runs what a build needs; all that is printed goes to ``log``, and each line to ``told``."""

    def __init__(self, log: IO[str], told: Told = lambda line: None, nice: int = 10) -> None:
        self._log = log
        self._told = told
        self._nice = nice

    def on_host(self, title: str, *argv: str, env: Mapping[str, str] | None = None) -> None:
        """Run a program of the host to its end.

        Raises:
            CommandError: it failed, or could not be started.
            ImageBuildError: the disk is nearly full.
        """
        self._run(title, argv, {**os.environ, **(env or {})})

    def inside(
        self, title: str, root: Path, script: str, env: Mapping[str, str] | None = None,
        *, package: Path = Path(__file__).parents[1],
    ) -> None:  # fmt: skip
        """Run a shell script in a tree, as its root user; a line of it that fails ends it.

        Raises:
            CommandError: it failed.
            ImageBuildError: the disk is nearly full.
        """
        enter = ("sh", "-euc", _ENTER, "sh", str(root), str(package), "sh", "-ec", _AT_HOME + script)
        certificates = root / CERTIFICATES.lstrip("/")
        environment = {**ENVIRONMENT, **(env or {})}
        if not certificates.exists():
            environment = {name: value for name, value in environment.items() if value != CERTIFICATES}
        self._run(title, enter, environment)

    def _run(self, title: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._log.write(f"\n== {title}\n")
        self._log.flush()
        last: deque[str] = deque(maxlen=_REMEMBERED_LINES)
        command = [*_ALONE, "nice", "-n", str(self._nice), *argv]
        try:
            process = subprocess.Popen(
                command, env=dict(env), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as exc:
            raise CommandError(title, 127, [str(exc)]) from exc
        assert process.stdout is not None, "a pipe was asked for"
        looked_s = 0.0
        with process:
            try:
                for line in process.stdout:
                    self._log.write(line)
                    last.append(line.rstrip())
                    self._told(line.strip())
                    if time.monotonic() - looked_s > _LOOK_EVERY_S:
                        looked_s = time.monotonic()
                        require_space(Path(self._log.name).parent)
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.kill()
                self._log.flush()
        if code != 0:
            raise CommandError(title, code, list(last))


def require_space(folder: Path) -> None:
    """Make sure that the disk has room for more.

    Raises:
        ImageBuildError: it has not.
    """
    if shutil.disk_usage(folder).free < RESERVE_BYTES:
        raise ImageBuildError(
            f"Less than {RESERVE_BYTES >> 20} MiB are free on the disk of {folder}.",
            ("Free some, then build again: it continues where it stopped.",),
        )
