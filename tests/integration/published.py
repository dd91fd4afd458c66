"""The samples of the published pages, with nothing changed but the host and the keys."""

from __future__ import annotations

from pathlib import Path

PUBLISHED = Path(__file__).parents[1] / "golden" / "published"
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def sample(name: str, **replacements: str) -> str:
    """Return a sample with its placeholders replaced; each must be in it."""
    text = (PUBLISHED / name).read_text()
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    return text
