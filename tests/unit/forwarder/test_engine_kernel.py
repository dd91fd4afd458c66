"""The kernel without a process: whatever fails, there is a reply, and nothing shows the key."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from embedenv_jupyter.forwarder.engine_client import EngineClient
from embedenv_jupyter.forwarder.engine_kernel import EngineKernel
from embedenv_jupyter.protocols.engine.client import Answer

KEY = "sk-unit-93b1"


class Recorder(EngineKernel):
    """Keeps what it would publish."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.published: list[tuple[str, dict[str, Any]]] = []

    def _publish(self, kind: str, content: dict[str, Any]) -> None:
        self.published.append((kind, content))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setenv("EMBEDENV_URL", "wss://gateway.example/ws")
    monkeypatch.setenv("EMBEDENV_API_KEY", KEY)
    monkeypatch.delenv("EMBEDENV_LANGUAGE", raising=False)
    return Recorder(log=logging.getLogger("test"))


async def test_a_fault_of_our_own_is_a_reply_and_a_log_line_without_the_key(
    kernel: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_client: EngineClient, _language: str, _code: str) -> Answer:
        raise RuntimeError(f"a bug that quotes {KEY}")

    monkeypatch.setattr(EngineClient, "execute", fail)
    reply = await kernel.do_execute("1", silent=False)
    assert reply["status"] == "error" and reply["ename"] == "RuntimeError"
    assert "The kernel itself failed" in reply["evalue"]
    assert "a bug that quotes •••" in caplog.text
    assert KEY not in caplog.text + repr(reply) + repr(kernel.published)


async def test_long_output_is_cut_into_messages(kernel: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "0123456789" * 20_000

    async def answer(_client: EngineClient, _language: str, _code: str) -> Answer:
        return Answer(text, "", 0, 1)

    monkeypatch.setattr(EngineClient, "execute", answer)
    assert (await kernel.do_execute("1", silent=False))["status"] == "ok"
    pieces = [content["text"] for kind, content in kernel.published if kind == "stream"]
    assert "".join(pieces) == text and len(pieces) == 4
    assert kernel.finish_metadata({}, {}, {})["embedenv"] == {
        "language": "python", "exit_code": 0, "execution_time_ms": 1,
    }  # fmt: skip


def test_a_language_that_we_do_not_know_describes_itself(
    kernel: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.language = "befunge"
    assert kernel.language_info["file_extension"] == ".txt"
    assert kernel.banner == "Embedenv: befunge on gateway.example"
    monkeypatch.delenv("EMBEDENV_URL")
    assert kernel.banner.endswith("on nowhere: EMBEDENV_URL is not set")
