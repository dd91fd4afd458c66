"""Whether the languages of an image work: a program in each, in a room that stands on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, Limits, SandboxSpec
from embedenv_jupyter.sandbox.streams import ByteSource
from embedenv_jupyter.sandbox.tiers import Tier

GREETING = "Hello, World!"
"""What the program of each language says, see the head of languages.toml."""

TIMEOUT_S = 120.0
"""For one language, compiler included, on a busy machine."""

LIMITS = Limits(memory_bytes=None, pids=512, cpu_cores=None, tmp_bytes=512 * MIB)
"""The programs are ours, and what is asked is whether they work at all."""

_FOLDER = "hello"
_MAX_OUTPUT_BYTES = 64 << 10


@dataclass(frozen=True)
class Hello:
    """How the first program of a language went; ``failure`` is empty if it did what it should."""

    language: str
    failure: str
    took_s: float


async def say_hello(tier: Tier, languages: Sequence[Language]) -> AsyncIterator[Hello]:
    """Run the first program of each language, each in a room of its own, one after another."""
    for language in languages:
        began_s = time.monotonic()
        failure = await _failure(tier, language)
        yield Hello(language.id, failure, time.monotonic() - began_s)


async def _failure(tier: Tier, language: Language) -> str:
    try:
        async with deadline(TIMEOUT_S):
            sandbox = await tier.start(SandboxSpec(id=f"hello-{language.id}", limits=LIMITS))
            try:
                return await _greets(sandbox, language)
            finally:
                await sandbox.aclose("verified")
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:g} s"
    except (SandboxError, OSError) as exc:
        return str(exc)


async def _greets(sandbox: Sandbox, language: Language) -> str:
    """Compile and run the program; return what went wrong."""
    await sandbox.files.write(f"{_FOLDER}/{language.source}", language.samples.hello.encode())
    printed = ""
    for what, line in (("the compiler", language.compile), ("the program", language.run)):
        if not line:
            continue
        process = await sandbox.spawn(["sh", "-c", line], cwd=_FOLDER, env=language.env)
        printed, complaints = await _outcome(process)
        status = process.status
        if status is None or status.code != 0:
            words = (complaints or printed).strip().splitlines()
            return f"{what} ended with {status}: {words[-1][:200] if words else 'without a word'}"
    return "" if GREETING in printed else f"the program printed {printed[:200]!r}"


async def _outcome(process: Process) -> tuple[str, str]:
    assert process.stdin is not None, "spawned on pipes"
    process.stdin.close()
    try:
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(_text(stream)) for stream in (process.stdout, process.stderr)]
        await process.wait()
        return readers[0].result(), readers[1].result()
    finally:
        process.close()


async def _text(stream: ByteSource | None) -> str:
    """Read a stream to its end and keep the beginning."""
    kept = b""
    with suppress(OSError):
        while stream is not None and (data := await stream.read()):
            kept += data[: _MAX_OUTPUT_BYTES - len(kept)]
    return kept.decode(errors="replace")
