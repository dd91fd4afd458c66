"""Whatever is cut, wherever: each message arrives once, in order, in both directions.

The machine has a server with a log and a client. What is on its way is a list of
frames in each direction; a cut throws away the end of each list.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.protocols.kernels import Ack, ClientSession, Gap, Hello, Message, ServerReceiver


def message(text: object) -> Message:
    return Message("shell", (str(text).encode(), b"{}", b"{}", b"{}"))


def text_of(message: Message) -> str:
    return message.parts[0].decode()


class OneClient(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.client, self.receiver = ClientSession(), ServerReceiver()
        self.sent: list[str] = []
        self.taken: list[str] = []
        self.log: dict[int, str] = {}
        """What the server has for this client; the numbers between are for others."""
        self.newest = 0
        self.forgotten = 0
        self.heard: list[str] = []
        self.lost: set[int] = set()
        self.sending: int = 0
        """The number up to which this connection was sent the log."""
        self.up: list[bytes] = []
        self.down: list[bytes | str] = []
        self.is_connected = False
        self.is_greeted = False
        """Whether the client has heard the hello; before it sends nothing."""

    # What each side has to say.

    @rule()
    def client_says(self) -> None:
        self.sent.append(f"up {len(self.sent)}")
        frame = self.client.send(message(self.sent[-1]))
        if self.is_greeted:
            self.up.append(frame)

    @rule(for_others=st.integers(0, 3))
    def kernel_says(self, for_others: int) -> None:
        self.newest += 1 + for_others
        self.log[self.newest] = f"down {self.newest}"

    @rule(keep=st.integers(0, 5))
    def server_forgets(self, keep: int) -> None:
        """The log drops its oldest."""
        self.forgotten = max(self.forgotten, self.newest - keep)

    # What is on its way arrives, or does not.

    @precondition(lambda self: not self.is_connected)
    @rule()
    def connect(self) -> None:
        self.is_connected = True
        self.sending = self.client.last
        self.down = [protocol.encode_notice(Hello(self.newest, self.receiver.received))]

    @precondition(lambda self: self.is_connected)
    @rule()
    def server_sends(self) -> None:
        self.server_acknowledges()
        if self.sending < self.forgotten:
            self.down.append(protocol.encode_notice(Gap(self.sending + 1, self.forgotten)))
            self.sending = self.forgotten
        for number, text in self.log.items():
            if number > self.sending:
                self.down.append(protocol.encode_numbered(number, message(text)))
        self.sending = self.newest

    @precondition(lambda self: self.is_connected)
    @rule(count=st.integers(1, 5))
    def client_hears(self, count: int) -> None:
        for frame in self.down[:count]:
            self.client_takes(frame)
        del self.down[:count]

    def client_takes(self, frame: bytes | str) -> None:
        if isinstance(frame, bytes):
            heard = self.client.receive(frame)
            if heard is not None:
                self.heard.append(text_of(heard))
            return
        match protocol.decode_notice(frame):
            case Hello() as hello:
                self.up, self.is_greeted = list(self.client.reconnected(hello)), True
            case Ack(received):
                self.client.acknowledged(received)
            case Gap() as gap:
                before = self.client.last
                assert self.client.missed(gap) == max(0, gap.last - max(before, gap.first - 1))
                self.lost.update(range(before + 1, gap.last + 1))

    @precondition(lambda self: self.is_connected)
    @rule(count=st.integers(1, 5), is_answered=st.booleans())
    def server_hears(self, count: int, is_answered: bool = True) -> None:
        for frame in self.up[:count]:
            number, taken = protocol.decode_numbered(frame)
            if self.receiver.receive(number):
                self.taken.append(text_of(taken))
            if self.receiver.done(number, len(frame), is_answered=is_answered):
                self.server_acknowledges()
        del self.up[:count]

    def server_acknowledges(self) -> None:
        if (ack := self.receiver.acknowledgement()) is not None:
            self.down.append(protocol.encode_notice(ack))

    @precondition(lambda self: self.is_connected)
    @rule(arriving_up=st.integers(0, 5), arriving_down=st.integers(0, 5))
    def cut(self, arriving_up: int, arriving_down: int) -> None:
        """Some of what was on its way arrives, the rest never."""
        self.server_hears(arriving_up)
        self.client_hears(arriving_down)
        self.is_connected = self.is_greeted = False
        self.up, self.down = [], []

    # What must hold.

    @invariant()
    def the_server_has_the_beginning_of_what_the_client_sent(self) -> None:
        assert self.taken == self.sent[: len(self.taken)]

    @invariant()
    def the_client_has_everything_once_and_in_order_but_what_it_was_told_is_lost(self) -> None:
        expected = [text for n, text in self.log.items() if n <= self.client.last and n not in self.lost]
        assert self.heard == expected

    @invariant()
    def the_client_keeps_what_the_server_may_not_have(self) -> None:
        assert len(self.client._kept) >= len(self.sent) - self.receiver.received
        assert self.client._kept_bytes == sum(len(frame) for _, frame in self.client._kept)

    def teardown(self) -> None:
        """Without further cuts everything arrives."""
        if not self.is_connected:
            self.connect()
        self.server_sends()
        while self.up or self.down:
            self.client_hears(len(self.down) or 1)
            self.server_hears(len(self.up) or 1, is_answered=False)
        assert self.taken == self.sent
        assert len(self.client._kept) == 0
        assert self.client.last == max(self.newest if self.log else 0, 0)


TestOneClient = OneClient.TestCase
TestOneClient.settings = settings(deadline=None)


def test_a_number_that_was_left_out_is_the_clients_fault() -> None:
    receiver = ServerReceiver()
    assert [receiver.receive(number) for number in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    with pytest.raises(RemoteProtocolError, match="the message after 3 has the number 4, not 5") as caught:
        receiver.receive(5)
    assert caught.value.code is CloseCode.POLICY_VIOLATION
    assert receiver.receive(4), "a fault changes nothing"


def test_a_number_zero_is_an_old_one() -> None:
    assert not ServerReceiver().receive(0)


def test_a_server_that_has_forgotten_what_it_acknowledged_is_found_out() -> None:
    client = ClientSession()
    client.send(message(1))
    client.acknowledged(1)
    with pytest.raises(RemoteProtocolError, match="forgotten this session"):
        list(client.reconnected(Hello(n=5, received=0)))


def test_a_client_is_full_until_it_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_UNACKNOWLEDGED_BYTES", 300)
    client = ClientSession()
    frames = []
    while not client.is_full:
        frames.append(client.send(message("x" * 50)))
    assert sum(map(len, frames)) >= 300 > sum(map(len, frames[:-1]))
    client.acknowledged(1)
    assert not client.is_full
    client.acknowledged(len(frames))
    assert list(client.reconnected(Hello(0, len(frames)))) == []


def test_messages_for_others_leave_holes_that_are_no_losses() -> None:
    client = ClientSession()
    heard = [client.receive(protocol.encode_numbered(n, message(n))) for n in (3, 9, 9, 4)]
    assert [text_of(m) if m else None for m in heard] == ["3", "9", None, None]
    assert client.missed(Gap(1, 5)) == 0
    assert client.missed(Gap(8, 12)) == 3
    assert client.last == 12
