"""The tiers by name, best first."""

from __future__ import annotations

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.tiers import Tier

ORDER = ("ns", "bwrap", "docker", "podman", "landlock")
"""In which order ``auto`` looks for a tier. ``unsafe`` is none of them."""

NAMES = (*ORDER, "unsafe")


def make(name: str, *, kernels: bool = True, image: Image | None = None) -> Tier:
    """Make the tier with this name; it starts nothing before it is asked for a sandbox.

    ``kernels=False`` is for a short life without kernels: nothing is warmed up for
    them. ``image`` is what rooms stand on; by default the host, or for containers a plain Python.

    Raises:
        ValueError: there is no such tier.
        SandboxUnavailableError: the tier cannot stand on that image.
    """
    # Imported one at a time: a gateway uses one tier, and each pulls in machinery of its own.
    match name:
        case "ns":
            from embedenv_jupyter.sandbox.tiers.ns import NsTier

            return NsTier(kernels=kernels, image=image)
        case "bwrap":
            from embedenv_jupyter.sandbox.tiers.bwrap import BwrapTier

            return BwrapTier(image=image)
        case "docker" | "podman":
            from embedenv_jupyter.sandbox.tiers.container import ContainerTier

            return ContainerTier.on(name, image)
        case "landlock" | "unsafe" if image is not None:
            raise SandboxUnavailableError(
                f"The tier {name} shows the host's own files; rooms on the image {image.name!r} need another."
            )
        case "landlock":
            from embedenv_jupyter.sandbox.tiers.landlock import LandlockTier

            return LandlockTier()
        case "unsafe":
            from embedenv_jupyter.sandbox.tiers.unsafe import UnsafeTier

            return UnsafeTier()
    raise ValueError(f"there is no tier {name!r}, only {', '.join(NAMES)}")
