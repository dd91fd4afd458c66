"""A hundred thousand frames that nobody should send: each is answered, nothing breaks, nothing is kept."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.integration.conftest import Served
from tests.integration.snippets.conftest import Dial, EnginePeer

FRAMES: Final = 100_000
SOCKETS: Final = 4
BATCH: Final = 100
"""How many frames are on their way until a ping after them is answered."""

WARM_UP: Final = FRAMES // 4
GROWTH_BYTES: Final = 24 << 20
"""How much more memory the gateway may have than after its warm-up: 0.3 KB for each frame."""

CPU_S: Final = 60.0
"""What client and gateway may need together."""

SEED: Final = 20_260

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "engine_stream.json").read_text(encoding="utf-8")
)
KNOWN: Final = [entry["frame"] for entry in GOLDEN["client"]]
FIELDS: Final = sorted({name for frame in KNOWN for name in frame})
ODD: Final[list[Any]] = [
    None, True, False, 0, -1, 2**31, 2**53, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 1e-308, "", " ",
    "\0", "r1", "é" * 65, "\ud800", "\udc00\ud800", "\U0010ffff", "../x", "a\n", "x" * 5000, [], [[]], {},
    {"": {}}, {"base64": "%"}, ["\0"], {"rows": 0}, {"pids": 10**30}, {"__proto__": 1}, "INT", "SIGKILL", 65,
]  # fmt: skip
"""Values that some decoder, somewhere, has stumbled over."""

RAW: Final = [
    "", " ", "null", "NaN", "Infinity", "-", "1e999", "01", "'a'", "{'action':'ping'}", "\ufeff{}", "{}{}",
    "[1,]",
    '{"action":"ping",}', '{"action":"ping","action":"eof"}', '{"action":"ping","id":"\\ud800"}', '"\\u00"',
    '{"action":"ping","id":"\\udc00\\ud800"}', '{"action":"\\u0070ing"}', "[" * 3000, '{"a":' * 3000,
    '{"action":"ping","x":' + "[" * 900 + "]" * 900 + "}", '{"action":"stdin","id":"r","data":"\x00"}',
]  # fmt: skip


class Fuzz:
    """Makes frames, by a seed. No key among them is anybody's, so none of them can run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._ways: list[Callable[[], str]] = [
            self._changed, self._changed, self._near, self._cut, self._json, self._raw, self._huge,
        ]  # fmt: skip

    def frame(self) -> str:
        return self._random.choice(self._ways)()

    def _written(self, frame: dict[str, Any]) -> str:
        if self._random.random() < 0.9:  # each key is looked up in the database
            frame.pop("api_key", None)
        return json.dumps(frame)

    def _changed(self) -> str:
        """A golden frame with one to three of its fields changed, left out or added."""
        frame = dict(self._random.choice(KNOWN))
        for _ in range(self._random.randint(1, 3)):
            name = self._random.choice([*frame, *FIELDS] if frame else FIELDS)
            if self._random.random() < 0.3:
                frame.pop(name, None)
            else:
                frame[name] = self._value()
        return self._written(frame)

    def _near(self) -> str:
        """A golden frame as it stands, for runs and sessions that are not there."""
        return self._written(dict(self._random.choice(KNOWN)))

    def _cut(self) -> str:
        """A golden frame that ends too early, or has some characters replaced."""
        text = self._written(dict(self._random.choice(KNOWN)))
        if self._random.random() < 0.5:
            return text[: self._random.randrange(len(text))]
        place = self._random.randrange(len(text))
        return text[:place] + self._random.choice('"\\{}[]:,0é\u2028') + text[place + 1 :]

    def _json(self) -> str:
        return json.dumps(self._value(depth=4))

    def _raw(self) -> str:
        return self._random.choice(RAW)

    def _huge(self) -> str:
        """A frame with a number or a text that is far too long."""
        long = self._random.choice(["9" * 4000, '"' + "a" * 70_000 + '"', "1" + "0" * 400 + ".5"])
        frame = '{"action":"%s","id":"r","rows":%s,"data":%s,"after":%s}'
        action = self._random.choice(["resize", "stdin", "resume", "signal"])
        return frame % (action, long, long, long) if self._random.random() < 0.1 else f'{{"n":{long[:200]}}}'

    def _value(self, depth: int = 2) -> Any:
        if depth == 0 or self._random.random() < 0.7:
            return self._random.choice(ODD)
        if self._random.random() < 0.5:
            return [self._value(depth - 1) for _ in range(self._random.randrange(4))]
        return {self._random.choice(FIELDS): self._value(depth - 1) for _ in range(self._random.randrange(4))}


def masked(text: str) -> bytes:
    """Write a text frame as clients do, with a mask that changes nothing (RFC 6455, section 5.2)."""
    data = text.encode()
    size = len(data)
    if size < 126:
        head = bytes([0x81, 0x80 | size])
    elif size < 1 << 16:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + size.to_bytes(8, "big")
    return head + bytes(4) + data


async def send_all(peer: EnginePeer, fuzz: Fuzz, count: int) -> set[str]:
    """Send frames, reading what comes back; return the names of the errors."""
    names: set[str] = set()
    for first in range(0, count, BATCH):
        mark = f"mark-{first}"
        peer.socket.transport.write(b"".join(masked(fuzz.frame()) for _ in range(BATCH)))
        await peer.send("ping", id=mark)
        while (frame := await peer.receive()) != {"type": "pong", "id": mark}:
            assert frame["type"] in ("error", "pong"), frame
            names.add(str(frame.get("error", "")))
    return names


@pytest.mark.parametrize("embedenv_config", [{"runs_per_minute": 0}])
@pytest.mark.timeout(180)
async def test_frames_that_nobody_should_send(
    served: Served, dial_engine: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    peers = [await dial_engine() for _ in range(SOCKETS)]
    fuzzes = [Fuzz(SEED + number) for number in range(SOCKETS)]
    process, began_s = psutil.Process(), time.process_time()
    seen: set[str] = set()
    sizes: list[int] = []
    for count in (WARM_UP, FRAMES - WARM_UP):
        for names in await asyncio.gather(
            *(send_all(peer, fuzz, count // SOCKETS) for peer, fuzz in zip(peers, fuzzes, strict=True))
        ):
            seen.update(names)
        sizes.append(process.memory_info().rss)
    took_s = time.process_time() - began_s
    assert {"bad_frame", "bad_request", "unauthorized", "busy", "unknown_session"} <= seen
    assert "internal" not in seen
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(served.gateway.rooms) == 0
    assert sizes[1] - sizes[0] < GROWTH_BYTES
    assert took_s < CPU_S
    for peer in peers:  # each lives on, and is served
        assert (await peer.ask("echo alive", "bash"))["stdout"] == "alive\n"
