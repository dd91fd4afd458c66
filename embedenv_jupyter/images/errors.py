"""What can go wrong with images.

ImageError
├── ImageBuildError     a tree could not be made; what was done stays, to be continued
├── UnknownImageError   there is no image of this name
└── ImageInUseError     rooms stand on the image
"""

from __future__ import annotations


class ImageError(Exception):
    """Base of what goes wrong with images; ``remedies`` are commands or words that would help."""

    def __init__(self, reason: str, remedies: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedies = remedies

    def __str__(self) -> str:
        return "\n  ".join((self.reason, *self.remedies))


class ImageBuildError(ImageError):
    """A tree could not be made; what was done already stays, and the next build continues it."""


class UnknownImageError(ImageError):
    """There is no image of this name; ``known`` are those that there are."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no image {name!r:.80}; there is {', '.join(known) or 'none'}.")
        self.name = name
        self.known = known


class ImageInUseError(ImageError):
    """Rooms stand on the image; ``users`` are the processes that have them."""

    def __init__(self, name: str, users: tuple[int, ...]) -> None:
        processes = ", ".join(map(str, users)) or "unknown"
        super().__init__(f"Rooms stand on the image {name!r}; it can be removed when they have ended. "
                         f"Processes that have them: {processes}.")  # fmt: skip
        self.name = name
        self.users = users
