"""Shows how far the build of an image is."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from embedenv_jupyter.images.building import Watcher

_MAX_LINE = 70


class ShownProgress(Watcher):
    """One bar for all steps with the last line that was printed; in a log, a line for each step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("[dim]{task.fields[line]}"),
            console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("Beginning", total=None, line="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def planned(self, steps: int, done: int) -> None:
        self._progress.update(self._task, total=steps, completed=done)
        if done:
            self._console.print(f"Continuing: {done} of {steps} steps are done.", highlight=False)

    def began(self, title: str) -> None:
        self._progress.update(self._task, description=escape(title), line="")
        if not self._console.is_terminal:
            self._console.print(f"{title} …", markup=False, highlight=False, soft_wrap=True)

    def said(self, line: str) -> None:
        self._progress.update(self._task, line=escape(line[:_MAX_LINE]))

    def ended(self, title: str, failure: str = "") -> None:
        if failure:
            self._console.print(f"{title}: {failure}", markup=False, highlight=False, soft_wrap=True)
        else:
            self._progress.advance(self._task)
