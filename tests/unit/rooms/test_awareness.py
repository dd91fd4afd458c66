"""What clients show of themselves is theirs to change."""

from __future__ import annotations

from embedenv_jupyter.protocols.shared_documents import ClientState
from embedenv_jupyter.rooms.awareness import MAX_OWN, Shown


def state(client: int, clock: int, shown: bytes = b"{}") -> ClientState:
    return ClientState(client, clock, shown)


def test_only_who_brought_a_client_changes_it() -> None:
    shown = Shown()
    assert shown.take("ann", [state(1, 1), state(2, 1)]) == (state(1, 1), state(2, 1))
    assert shown.take("bob", [state(1, 2), state(2, 9, b"null"), state(3, 1)]) == (state(3, 1),)
    assert shown.all() == (state(1, 1), state(2, 1), state(3, 1))


def test_what_is_old_or_repeated_goes_no_farther() -> None:
    shown = Shown()
    shown.take("ann", [state(1, 5)])
    assert shown.take("ann", [state(1, 5), state(1, 4)]) == ()
    assert shown.take("ann", [state(1, 6, b'{"a":1}')]) == (state(1, 6, b'{"a":1}'),)


def test_who_says_goodbye_is_gone_and_who_is_cut_off_too() -> None:
    shown = Shown()
    shown.take("ann", [state(1, 1), state(2, 7)])
    assert shown.take("ann", [state(1, 2, b"null")]) == (state(1, 2, b"null"),)
    assert shown.leave("ann") == (state(2, 8, b"null"),)
    assert (shown.all(), shown.leave("ann")) == ((), ())
    assert shown.take("bob", [state(2, 9, b"null")]) == ()


def test_one_connection_has_few_clients() -> None:
    shown = Shown()
    assert len(shown.take("ann", [state(number, 1) for number in range(100)])) == MAX_OWN
    assert len(shown.all()) == MAX_OWN
