"""The ledger as CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from embedenv_jupyter.accounts.values import Entry

HEADER = ("id", "created", "kind", "pool", "delta", "balance", "refunds", "idempotency_key", "note")

# What makes a spreadsheet compute a cell instead of showing it (OWASP, "CSV Injection"),
# the full-width forms included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the header and one line for each entry, line ends included."""
    yield _line(HEADER)
    for entry in entries:
        yield _line(
            (
                entry.id,
                entry.created.isoformat(),
                entry.kind,
                entry.pool,
                entry.delta,
                entry.balance,
                "" if entry.refunds is None else entry.refunds,
                safe_cell(entry.idempotency_key),
                safe_cell(entry.note),
            )
        )


def safe_cell(text: str) -> str:
    """Return ``text`` so that a spreadsheet shows it: one that looks like a formula gets an apostrophe."""
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text


def _line(cells: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()
