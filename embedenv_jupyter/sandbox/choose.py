"""Which tier of isolation this gateway uses."""

from __future__ import annotations

import logging
import platform
from pathlib import Path

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import host_facts, probe, probe_cache
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.probe import TierReport
from embedenv_jupyter.sandbox.remembered import RememberedTier
from embedenv_jupyter.sandbox.tiers import Tier
from embedenv_jupyter.sandbox.tiers.by_name import NAMES, ORDER, make

log = logging.getLogger(__name__)


async def choose(
    tier: str = "auto", *, allow_unsafe: bool = False, image: Image | None = None, cache: Path | None = None
) -> Tier:
    """Return the tier with this name, or with ``auto`` the best that works here.

    Each candidate is used once, unless ``cache`` (by default a file of this boot
    and user) says what came of that; a tier that is taken for that reason is looked
    for anew when its first start fails. With ``allow_unsafe``, ``auto`` falls back to
    no isolation where nothing else works. ``image`` is what rooms are to stand on; tiers that
    cannot are not taken.

    Raises:
        SandboxUnavailableError: it does not work here, or it is ``unsafe`` and not
            allowed; the remedies say what would help.
    """
    if platform.system() != "Linux":
        raise SandboxUnavailableError(
            f"Rooms need Linux; this is {platform.system()}.",
            ("Run the server in a Linux machine or container, for example in WSL 2.",),
        )
    if tier == "unsafe":
        return _unsafe(image, allowed=allow_unsafe)
    if tier == "auto":
        return await _best(cache or probe_cache.default_path(), image, allow_unsafe=allow_unsafe)
    if tier not in NAMES:
        raise SandboxUnavailableError(f"There is no tier {tier!r}, only {', '.join(('auto', *NAMES))}.")
    report = (await probe.probe([tier], image)).tiers[0]
    if not report.works:
        raise SandboxUnavailableError(_refusal(report), report.unlock)
    if not report.ok:
        log.warning("the tier %s is used as asked for, though %s", tier, report.reason)
    return make(tier, image=image)


async def _best(cache: Path, image: Image | None, *, allow_unsafe: bool) -> Tier:
    known = probe_cache.load(cache, host_facts.look(), image)
    if any(report.ok for report in known.values()):
        best = next(name for name in ORDER if name not in known or known[name].ok)
        if best in known:

            async def look_again() -> Tier:
                probe_cache.forget(cache)
                return await _first_that_works(cache, image, allow_unsafe=allow_unsafe)

            return RememberedTier(make(best, image=image), look_again)
    return await _first_that_works(cache, image, allow_unsafe=allow_unsafe)


async def _first_that_works(cache: Path, image: Image | None, *, allow_unsafe: bool) -> Tier:
    facts = host_facts.look()
    for name in ORDER:
        report = await probe.try_tier(name, image)
        probe_cache.store(cache, facts, [report], image)
        if report.ok:
            return make(name, image=image)
        log.info("the tier %s does not work here: %s", name, report.reason)
    if allow_unsafe:
        return _unsafe(image, allowed=True)
    found = await probe.probe(image=image)
    reasons = " ".join(_refusal(report) for report in found.tiers)
    remedies = tuple(dict.fromkeys(remedy for report in found.tiers for remedy in report.unlock))
    raise SandboxUnavailableError(f"No tier of isolation works here. {reasons}", remedies)


def _unsafe(image: Image | None, *, allowed: bool) -> Tier:
    if not allowed:
        raise SandboxUnavailableError(
            "The tier 'unsafe' isolates nothing and is not allowed here.",
            ("Set allow_unsafe to run rooms without isolation.",),
        )
    log.warning("rooms run WITHOUT ISOLATION: their programs may do whatever this user may")
    return make("unsafe", image=image)


def _refusal(report: TierReport) -> str:
    return f"{report.tier}: {report.reason.rstrip('.')}."
