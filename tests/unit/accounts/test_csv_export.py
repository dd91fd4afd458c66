from __future__ import annotations

import csv
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.accounts.csv_export import HEADER, csv_lines, safe_cell
from embedenv_jupyter.accounts.values import Entry, Kind, Pool


def entry(**changes: object) -> Entry:
    values: dict[str, object] = {
        "id": 7,
        "account_id": 1,
        "created": datetime(2030, 5, 6, 12, 0, tzinfo=UTC),
        "kind": Kind.SHELL,
        "pool": Pool.LIVE,
        "delta": -5,
        "balance": 95,
        "idempotency_key": "k",
        "refunds": None,
        "note": "git clone",
    }
    return Entry(**(values | changes))  # type: ignore[arg-type]


def test_one_line_for_each_entry() -> None:
    assert list(csv_lines([entry(), entry(id=8, kind=Kind.REFUND, delta=5, refunds=7, note='a "b", c')])) == [
        ",".join(HEADER) + "\r\n",
        "7,2030-05-06T12:00:00+00:00,shell,live,-5,95,,k,git clone\r\n",
        '8,2030-05-06T12:00:00+00:00,refund,live,5,95,7,k,"a ""b"", c"\r\n',
    ]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", '=HYPERLINK("x")']
)
def test_formulas_are_shown_and_not_computed(text: str) -> None:
    assert safe_cell(text) == "'" + text


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_no_cell_of_text_begins_like_a_formula(key: str, note: str) -> None:
    lines = list(csv_lines([entry(idempotency_key=key, note=note)]))
    (row,) = csv.reader([lines[1]])
    for cell in row[-2:]:
        assert cell.lstrip(" ")[:1] not in {"=", "+", "-", "@", "\t", "\r"} or not cell
