"""The option ``--image``: what rooms stand on."""

from __future__ import annotations

import click

from embedenv_jupyter.sandbox.image import Image

image_option = click.option(
    "--image", metavar="NAME", help="What rooms stand on: an image, a tree, or one of an engine."
)


def resolved(name: str | None) -> Image | None:
    """Find what is meant by a name; ``None`` for the machine's own /usr."""
    if not name:
        return None
    from embedenv_jupyter.accounts import data_dir  # brings the database along, which nothing else here needs
    from embedenv_jupyter.images.store import ImageStore

    return ImageStore(data_dir()).resolve(name)
