"""Builds an image: a base by mmdebstrap(1), then the plan's steps inside it, then its record and its name.

What is done is noted after each step in a file beside the tree. A build that was
interrupted, by a failure, by Ctrl+C or by a signal, continues with the first step that
is not noted; each can be run again. Only a plan that has not changed is continued, and
only until the machine starts anew: packages are not forced onto the disk one by one,
which would take most of the time, so what a crash has left is not to be trusted. The
finished tree is, before its name means it. Nothing that rooms see changes until then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from embedenv_jupyter.images import sources
from embedenv_jupyter.images.errors import ImageBuildError
from embedenv_jupyter.images.inside import CommandError, Commands, require_space
from embedenv_jupyter.images.plan import BASE_PACKAGES, Plan, Step
from embedenv_jupyter.images.record import INSIDE, Record, describe, size_of
from embedenv_jupyter.images.store import ImageStore, remove_tree
from embedenv_jupyter.languages.language import TOOLCHAINS

_BASE, _AVAILABLE, _APT, _FINISH = "base", "available", "apt", "finish"

_OWN_FILES = {
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/hostname": "room\n",
    "etc/resolv.conf": "",
}

_CLEAN_UP = f"""
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/apt/sources.list /etc/apt/sources.list.d/*
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -rf /var/log/* /var/cache/debconf/*-old /var/cache/ldconfig/* /root/.[!.]* /tmp/* /tmp/.[!.]*
chmod -R a+rX,go-w {TOOLCHAINS}
"""

_WANT_APT = """
dpkg --configure -a
apt-get -q update
apt-cache dumpavail | sed -n 's/^Package: /PACKAGE /p'
"""


@dataclass
class Progress:
    """What has been done of an unfinished tree; written to its file after each step."""

    fingerprint: str
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    took_s: float = 0.0

    def write(self, path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(vars(self)))
        new.replace(path)


class Watcher:
    """What a build tells whoever waits for it. This one says nothing; the command line's shows it."""

    def planned(self, steps: int, done: int) -> None:
        """Hear how many steps there are and how many of them were done before."""

    def began(self, title: str) -> None:
        """Hear that a step begins."""

    def said(self, line: str) -> None:
        """Hear a line that a step printed."""

    def ended(self, title: str, failure: str = "") -> None:
        """Hear that a step has ended; a build goes on after the failure of one language."""


class Builder:
    """Builds one image. ``source_list`` and ``suite`` stand in for those of this machine."""

    def __init__(
        self, store: ImageStore, plan: Plan, watcher: Watcher,
        *, source_list: str | None = None, suite: str | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._plan = plan
        self._watcher = watcher
        self._suite = suite or sources.release_name()
        self._sources = source_list if source_list is not None else sources.apt_sources(self._suite)
        self._folder = store.unfinished(plan.name)
        self._root = self._folder / "root"

    def build(self) -> Record:
        """Build the image and let its name mean it.

        Raises:
            ImageBuildError: it cannot be built here, or a step that all languages need has failed.
        """
        require_means()
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in (self._store.folder, self._folder.parent, self._folder):
            folder.chmod(0o755)
        with self._only_builder():
            progress = self._begin()
            with (self._folder / "log").open("a") as log:
                return self._build(progress, log)

    @contextlib.contextmanager
    def _only_builder(self) -> Iterator[None]:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise ImageBuildError(f"Another process is building the image {self._plan.name!r}.") from None
        finally:
            os.close(fd)

    def _begin(self) -> Progress:
        """Return what was done by an earlier build with the same plan, or begin anew."""
        fingerprint = self._plan.fingerprint(self._sources + _boot())
        try:
            found = Progress(**json.loads((self._folder / "progress.json").read_text()))
            if found.fingerprint == fingerprint:
                return found
        except (OSError, ValueError, TypeError):
            pass
        for path in self._folder.iterdir():
            remove_tree(path)
        return Progress(fingerprint)

    def _build(self, progress: Progress, log: IO[str]) -> Record:
        commands = Commands(log, self._watcher.said)
        environment = sources.environment()
        steps: list[tuple[str, str, Callable[[], None]]] = [
            (_BASE, f"The base: {self._suite}", lambda: self._make_base(commands)),
            (_AVAILABLE, "What packages there are", lambda: self._look_for_packages(commands, progress, log)),
            (_APT, "Packages by apt", lambda: self._install_packages(commands, progress)),
        ]
        self._watcher.planned(len(steps) + len(self._plan.steps) + 1, len(progress.done))
        for id, title, work in steps:
            self._do(progress, id, title, work)
        for step in self._plan.steps:
            self._do_step(progress, step, commands, environment)
        self._do(progress, _FINISH, "Cleaning up", lambda: self._clean_up(commands))
        return self._hand_over(progress)

    def _do(self, progress: Progress, id: str, title: str, work: Callable[[], None]) -> None:
        if id in progress.done:
            return
        require_space(self._folder)
        self._watcher.began(title)
        began_s = time.monotonic()
        try:
            work()
        except ImageBuildError as exc:
            self._watcher.ended(title, exc.reason)
            raise
        progress.done.append(id)
        progress.took_s += time.monotonic() - began_s
        progress.write(self._folder / "progress.json")
        self._watcher.ended(title)

    def _do_step(
        self, progress: Progress, step: Step, commands: Commands, environment: Mapping[str, str]
    ) -> None:
        if step.id in progress.done or step.language in progress.failed:
            return
        work = self._lend_certificates
        failure = ""

        def run() -> None:
            nonlocal failure
            work()
            try:
                commands.inside(step.title, self._root, step.script, {**environment, **dict(step.env)})
            except CommandError as exc:
                if not step.language:
                    raise
                failure = f"{exc.title}: {exc.words[-1] if exc.words else exc.code}"
                (progress.failed if step.essential else progress.warnings)[step.language] = failure

        self._do(progress, step.id, step.title, run)
        if failure:
            self._watcher.ended(step.title, failure)

    def _make_base(self, commands: Commands) -> None:
        if self._root.exists():  # mmdebstrap does not continue
            remove_tree(self._root)
        listed = self._folder / "apt.sources"
        listed.write_text(self._sources)
        options = [f"--aptopt={option}" for option in sources.apt_options()]
        commands.on_host(
            "mmdebstrap", "mmdebstrap", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io",
            f"--include={','.join(BASE_PACKAGES)}", *options, self._suite, str(self._root), str(listed),
        )  # fmt: skip
        for path, text in _OWN_FILES.items():
            place = self._root / path
            if place.is_symlink():
                place.unlink()
            place.write_text(text)

    def _lend_certificates(self) -> None:
        """Let programs inside trust what the host trusts, while the tree is built."""
        found = sources.host_certificates()
        if found is not None:
            shutil.copyfile(found, self._root / sources.CERTIFICATES.lstrip("/"))
        (self._root / "tmp/embedenv-home").mkdir(mode=0o700, exist_ok=True)
        # pip and npm find their servers as the host does.
        resolver = Path("/etc/resolv.conf")
        if resolver.exists():
            (self._root / "etc/resolv.conf").write_text(resolver.read_text())

    def _look_for_packages(self, commands: Commands, progress: Progress, log: IO[str]) -> None:
        """Find out which languages can have all of their packages."""
        self._lend_certificates()
        available: set[str] = set()
        listening = Commands(log, lambda line: available.add(line.removeprefix("PACKAGE ")))
        listening.inside("What packages there are", self._root, _WANT_APT)
        for language, packages in self._plan.apt:
            if missing := [package for package in packages if package not in available]:
                progress.failed[language] = f"apt's sources do not have {', '.join(missing)}"

    def _install_packages(self, commands: Commands, progress: Progress) -> None:
        wanted = {
            package
            for language, packages in self._plan.apt
            if language not in progress.failed
            for package in packages
        }
        if wanted:
            self._lend_certificates()
            install = "dpkg --configure -a\napt-get install -qy --no-install-recommends -o Dpkg::Use-Pty=0 "
            commands.inside("Packages by apt", self._root, install + " ".join(sorted(wanted)))

    def _clean_up(self, commands: Commands) -> None:
        commands.inside("Cleaning up", self._root, _CLEAN_UP)
        for path, text in _OWN_FILES.items():
            (self._root / path).write_text(text)

    def _hand_over(self, progress: Progress) -> Record:
        """Make the tree a finished one, and let the image's name mean it."""
        self._watcher.began("The list of files")
        began_s = time.monotonic()
        id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        inside = self._root / INSIDE
        inside.parent.mkdir(exist_ok=True)
        languages = tuple(name for name in self._plan.languages if name not in progress.failed)
        inside.write_text(json.dumps({"id": id, "name": self._plan.name, "languages": languages}) + "\n")
        self._root.chmod(0o755)
        self._store.trees.mkdir(exist_ok=True)
        tree = self._store.trees / id
        with tree.with_name(f"{id}.files").open("w") as listed:
            listed.writelines(f"{line}\n" for line in describe(self._root))
        took_s = progress.took_s + time.monotonic() - began_s
        record = Record(
            id, self._plan.name, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", round(took_s, 1),
            size_of(self._root), languages, progress.failed, progress.warnings, self._suite,
        )  # fmt: skip
        tree.with_name(f"{id}.json").write_text(record.to_json())
        os.sync()
        self._root.rename(tree)
        self._store.put(self._plan.name, id)
        remove_tree(self._folder)
        self._watcher.ended("The list of files")
        return record


def _boot() -> str:
    """Return what is the same until the machine starts anew (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def require_means() -> None:
    """Make sure that images can be built here.

    Raises:
        ImageBuildError: they cannot; the remedies say how they could.
    """
    if os.geteuid() != 0:
        raise ImageBuildError(
            "Images are built by root: packages of the system give files to several users.",
            (
                "Build it as root: sudo embedenv image build …",
                "Rooms of other users stand on it by its path, $EMBEDENV_DATA_DIR/images/NAME.",
            ),
        )
    for program, package in (
        ("mmdebstrap", "mmdebstrap"), ("apt-get", "apt"), ("chroot", "coreutils"), ("unshare", "util-linux"),
        ("setpriv", "util-linux"),
    ):  # fmt: skip
        if shutil.which(program) is None:
            raise ImageBuildError(
                f"Images are built with {program}, which is not installed.", (f"apt-get install {package}",)
            )
