"""A compiled result is found by everything that went into it."""

from __future__ import annotations

import dataclasses

from embedenv_jupyter.engine.builds import key_of
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.languages.registry import Languages

C = Languages.shipped().named("c")
SOURCE = Source("int x;", {"a.h": b"1"})


def test_the_same_content_has_the_same_key() -> None:
    assert key_of(C, "gcc 1", SOURCE) == key_of(C, "gcc 1", Source("int x;", {"a.h": b"1"}))
    assert key_of(C, "gcc 1", SOURCE) == key_of(
        C, "gcc 1", Source("int x;", {"a.h": b"1"}, ("a",), {"B": "c"})
    )


def test_any_other_content_has_another_key() -> None:
    keys = [
        key_of(C, "gcc 1", SOURCE),
        key_of(C, "gcc 2", SOURCE),
        key_of(dataclasses.replace(C, compile="cc main.c"), "gcc 1", SOURCE),
        key_of(dataclasses.replace(C, env={"A": "1"}), "gcc 1", SOURCE),
        key_of(Languages.shipped().named("cpp"), "gcc 1", SOURCE),
        key_of(C, "gcc 1", Source("int x; ", {"a.h": b"1"})),
        key_of(C, "gcc 1", Source("int x;", {"a.h": b"2"})),
        key_of(C, "gcc 1", Source("int x;", {"b.h": b"1"})),
        key_of(C, "gcc 1", Source("int x;a.h", {"1": b""})),
        key_of(C, "gcc 1", Source("int x;")),
    ]
    assert len(set(keys)) == len(keys)
