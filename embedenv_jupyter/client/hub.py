"""Where what the link reports meets what the program asks: state, subscribers, dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from embedenv_jupyter.client.dialect import Dialect
from embedenv_jupyter.client.events import Event, Gap, Missed, State, StateChange
from embedenv_jupyter.client.frames import ServerFrame
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.session import Pending

MAX_UNREAD_EVENTS = 1000


class Subscription(AsyncIterator[Event]):
    """One reader of a room's events; what it does not read in time is dropped and counted, oldest first."""

    def __init__(self, on_close: Callable[[Subscription], None]) -> None:
        self._box: Mailbox[Event] = Mailbox()
        self._missed = 0
        self._on_close = on_close

    def put(self, event: Event) -> None:
        if len(self._box) >= MAX_UNREAD_EVENTS:
            self._box.take_now()
            self._missed += 1
        self._box.put(event)

    def close(self) -> None:
        """Stop collecting; idempotent."""
        self._on_close(self)
        self._box.end()

    async def __anext__(self) -> Event:
        if self._missed:
            missed, self._missed = self._missed, 0
            return Missed(missed)
        event = await self._box.take()
        if event is None:
            raise StopAsyncIteration
        return event


class Hub:
    """The listener of a link. ``choose`` makes the dialect once the first welcome says which."""

    def __init__(self, choose: Callable[[], Dialect]) -> None:
        self.state = State.RECONNECTING
        self.failure: Exception | None = None
        self._choose = choose
        self._dialect: Dialect | None = None
        self._early: list[ServerFrame | Gap] = []
        self._subscriptions: set[Subscription] = set()

    @property
    def dialect(self) -> Dialect:
        assert self._dialect is not None, "started() comes first"
        return self._dialect

    def started(self) -> None:
        """The first connection is there."""
        self._dialect = self._choose()
        self.state = State.CONNECTED
        early, self._early = self._early, []
        for frame in early:
            self._dialect.received(frame)

    def subscribe(self) -> Subscription:
        """Begin to collect events from now on; a closed room gives an ended subscription."""
        subscription = Subscription(self._subscriptions.discard)
        if self.state is State.CLOSED:
            subscription.close()
        else:
            self._subscriptions.add(subscription)
        return subscription

    def publish(self, event: Event) -> None:
        for subscription in list(self._subscriptions):
            subscription.put(event)

    # The link's reports

    def received(self, frame: ServerFrame | Gap) -> None:
        if self._dialect is None:
            self._early.append(frame)
        else:
            self._dialect.received(frame)

    def written(self, pending: Pending) -> None:
        self.dialect.written(pending)

    def connected(self) -> None:
        self._turn(State.CONNECTED)

    def lost(self, reason: str, failed: list[str]) -> None:
        self._turn(State.RECONNECTING, reason)
        self.dialect.lost(failed, reason)

    def ended(self, failure: Exception) -> None:
        """Nothing more will come; idempotent, the first failure counts."""
        if self.state is State.CLOSED:
            return
        self.failure = failure
        if self._dialect is not None:
            self._dialect.closed(failure)
        self._turn(State.CLOSED, str(failure))
        for subscription in list(self._subscriptions):
            subscription.close()

    def _turn(self, state: State, reason: str = "") -> None:
        self.state = state
        self.publish(StateChange(state, reason))
