"""Tickets: good once, for a minute."""

from __future__ import annotations

import pytest

from embedenv_jupyter.accounts.tickets import LIFE_S, MAX_TICKETS, Tickets, is_ticket
from embedenv_jupyter.errors import AuthenticationError


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tickets(clock: Clock) -> Tickets:
    return Tickets(clock)


def test_a_ticket_lets_in_once(tickets: Tickets) -> None:
    ticket = tickets.issue()
    assert is_ticket(ticket)
    tickets.redeem(ticket)
    with pytest.raises(AuthenticationError):
        tickets.redeem(ticket)


@pytest.mark.parametrize(("after_s", "is_good"), [(LIFE_S - 0.1, True), (LIFE_S, False)])
def test_a_ticket_is_good_for_its_life(tickets: Tickets, clock: Clock, after_s: float, is_good: bool) -> None:
    ticket = tickets.issue()
    clock.now_s += after_s
    if is_good:
        tickets.redeem(ticket)
    else:
        with pytest.raises(AuthenticationError):
            tickets.redeem(ticket)


@pytest.mark.parametrize("text", ["", "tk_", "tk_" + "x" * 43, "\ud800", "ticket"])
def test_what_is_no_ticket_lets_nobody_in(tickets: Tickets, text: str) -> None:
    tickets.issue()
    with pytest.raises(AuthenticationError):
        tickets.redeem(text)


def test_of_too_many_the_oldest_is_void(tickets: Tickets) -> None:
    first, second, *others = [tickets.issue() for _ in range(MAX_TICKETS + 1)]
    with pytest.raises(AuthenticationError):
        tickets.redeem(first)
    tickets.redeem(second)
    tickets.redeem(others[-1])


def test_what_has_expired_takes_no_place(tickets: Tickets, clock: Clock) -> None:
    for _ in range(MAX_TICKETS):
        tickets.issue()
    clock.now_s += LIFE_S
    fresh = [tickets.issue() for _ in range(MAX_TICKETS)]
    for ticket in fresh:
        tickets.redeem(ticket)
