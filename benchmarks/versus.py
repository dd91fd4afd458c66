"""Rows that set what we took beside what a rival took."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, field

from rich.table import Table

HEADINGS = ("", "room", "min", "got", "rival", "rival", "min", "got", "ratio", "goal")


@dataclass
class Row:
    """One measure of both sides, in the same unit."""

    name: str
    goal: float | None = None
    rival: str = "ipykernel"
    expected: int = 0
    """How many output messages or bytes should have come, 0 where none are counted."""
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    ours_got: list[int] = field(default_factory=list)
    theirs_got: list[int] = field(default_factory=list)

    def add(self, figure: float, got: int = 0, *, is_ours: bool) -> None:
        (self.ours if is_ours else self.theirs).append(figure)
        (self.ours_got if is_ours else self.theirs_got).append(got)

    def cells(self) -> list[str]:
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        ratio = ours / theirs
        verdict = "-"
        if self.goal is not None:
            verdict = f"≤ {self.goal:g} × {'met' if ratio <= self.goal else 'MISSED'}"
        return [
            self.name, f"{ours:,.1f}", f"{min(self.ours):,.1f}", self._got(self.ours_got),
            self.rival, f"{theirs:,.1f}", f"{min(self.theirs):,.1f}", self._got(self.theirs_got),
            f"{ratio:.2f} ×", verdict,
        ]  # fmt: skip

    def _got(self, got: list[int]) -> str:
        return f"{100 * min(got) / self.expected:.0f} %" if self.expected else "-"


def machine() -> str:
    """Say what this is measured on."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    loads = "/".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"load {loads}"
    )


def as_markdown(rows: list[Row]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row.cells()) + " |" for row in rows)])


def as_table(rows: list[Row]) -> Table:
    table = Table()
    for index, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if index in (0, 4, 9) else "right")
    for row in rows:
        table.add_row(*row.cells())
    return table
