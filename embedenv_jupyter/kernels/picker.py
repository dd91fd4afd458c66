"""Shows every open room in Jupyter's kernel picker, by a folder of kernel specs of this server's own."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from embedenv_jupyter.client.address import ROOM_VARIABLE
from embedenv_jupyter.rooms.room import Room

log = logging.getLogger(__name__)

_ARGV: Final = ["python", "-m", "embedenv_jupyter.forwarder", "-f", "{connection_file}"]


def kernel_spec(display_name: str, env: dict[str, str]) -> dict[str, Any]:
    """Return a kernel spec that starts the forwarder, or in a server of ours carries messages without one."""
    return {
        "argv": _ARGV,
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "message",
        "env": env,
        "metadata": {"debugger": True, "kernel_provisioner": {"provisioner_name": "embedenv-forwarding"}},
    }


class KernelPicker:
    """Keeps one kernel spec for each open room in a folder, which Jupyter reads like any other.

    The specs hold no secret: the forwarder proves in another way who started it.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="embedenv-kernels-"))

    @property
    def folder(self) -> str:
        """What Jupyter's ``kernel_dirs`` must have."""
        return str(self._folder)

    def room_changed(self, room: Room) -> None:
        """Show a room that was opened or has another name; take one away that has ended."""
        place = self._folder / f"embedenv-room-{room.id}"
        if room.end_reason is not None:
            shutil.rmtree(place, ignore_errors=True)
            return
        spec = kernel_spec(f"Embedenv: {room.name or room.id}", {ROOM_VARIABLE: room.id})
        try:
            place.mkdir(exist_ok=True)
            (place / "kernel.json").write_text(json.dumps(spec, indent=1))
        except OSError as exc:
            log.warning("room %s does not appear in the kernel picker: %s", room.id, exc)

    def close(self) -> None:
        """Remove the folder; idempotent."""
        shutil.rmtree(self._folder, ignore_errors=True)
