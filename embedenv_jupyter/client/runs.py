"""Which output belongs to which run.

Runs of this client are *claimed*: the answer to our shell command says which
number its run has. That answer and the run's own events may come in either
order (after a reconnect the log is replayed before commands are answered again),
so while a shell command waits for its number every new run is kept as a
candidate. Runs of other members are kept only for those who watch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.frames import (
    Exit,
    Happening,
    RunNumber,
    ServerFrame,
    TerminalData,
    TerminalEnd,
    TerminalNewline,
)
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.run import ExitStatus, Run

NewRun = Callable[[str, str | None], Run]


class Runs:
    """The runs of a room as far as somebody here follows them. ``new_run(command, user)`` makes one."""

    def __init__(self, new_run: NewRun) -> None:
        self._new_run = new_run
        self._followed: dict[RunNumber, list[Run]] = {}
        self._candidates: dict[RunNumber, Run] = {}
        self._awaiting = 0
        self._watchers: set[Mailbox[Run]] = set()
        self.foreground: RunNumber | None = None

    # Shell commands of this client

    def expect(self) -> None:
        """A shell command was sent; its run is not known yet."""
        self._awaiting += 1

    def expected(self) -> None:
        """One shell command fewer waits for its run."""
        self._awaiting -= 1
        if not self._awaiting:
            for number, run in self._candidates.items():
                self._forget(number, run)
            self._candidates.clear()

    def claim(self, number: RunNumber, command: str) -> Run:
        """The run ``number`` answers our command."""
        run = self._candidates.pop(number, None)
        if run is None:
            run = self._follow(number, self._new_run(command, None))
        if run.is_running:
            self.foreground = number
        return run

    # Watchers

    def watch(self) -> Mailbox[Run]:
        """Begin to collect the runs that start from now on."""
        box: Mailbox[Run] = Mailbox()
        self._watchers.add(box)
        return box

    def unwatch(self, box: Mailbox[Run]) -> None:
        self._watchers.discard(box)
        box.end()

    # What the room reports

    def receive(self, frame: ServerFrame) -> None:
        """Give a frame to the runs that it belongs to; frames of no followed run are dropped."""
        # Output first: there is a hundred times more of it than of anything else.
        match frame:
            case TerminalData(data=data):
                for run in self._of(frame.run):
                    run.output(data)
            case TerminalNewline():
                for run in self._of(frame.run):
                    run.output("\n")
            case Happening(event="run", run=number) if number is not None:
                self._started(number, frame)
            case TerminalEnd():
                if frame.run == self.foreground:
                    self.foreground = None
            case Exit(code=code, signal=signal):
                self._ended(frame.run, ExitStatus.from_wire(code, signal))

    def lost(self, gap: Gap) -> None:
        """A part of the log is gone; every run that was active may have lost output, or its end."""
        self.foreground = None
        for run in self._all():
            run.lost(gap)

    def failed(self, failure: Exception) -> None:
        """Nothing more will come of any run."""
        for run in list(self._all()):
            run.failed(failure)
        self._followed.clear()
        self.foreground = None
        for box in self._watchers:
            box.end()

    def _started(self, number: RunNumber, frame: Happening) -> None:
        self._end_the_lost(number)
        self.foreground = number
        command, user = str(frame.details.get("command", "")), frame.details.get("user")
        user = user if isinstance(user, str) else None
        if self._awaiting and not self._followed.get(number):
            self._candidates[number] = self._follow(number, self._new_run(command, user))
        for box in self._watchers:
            box.put(self._follow(number, self._new_run(command, user)))

    def _ended(self, number: RunNumber | None, status: ExitStatus) -> None:
        if number is None:
            return
        if number == self.foreground:
            self.foreground = None
        for run in self._followed.pop(number, ()):
            run.ended(status)

    def _end_the_lost(self, successor: RunNumber) -> None:
        """A room has one run at a time: one whose end may be in a gap has ended when another starts."""
        for number, runs in list(self._followed.items()):
            if number != successor and any(run.gaps for run in runs):
                self._ended(number, ExitStatus())

    def _follow(self, number: RunNumber, run: Run) -> Run:
        run.number = number
        self._followed.setdefault(number, []).append(run)
        return run

    def _forget(self, number: RunNumber, run: Run) -> None:
        run.discard()
        followers = self._followed.get(number, [])
        if run in followers:
            followers.remove(run)
        if not followers:
            self._followed.pop(number, None)

    def _of(self, number: RunNumber | None) -> Iterable[Run]:
        return self._followed.get(number, ()) if number is not None else ()

    def _all(self) -> Iterable[Run]:
        return (run for runs in self._followed.values() for run in runs)
