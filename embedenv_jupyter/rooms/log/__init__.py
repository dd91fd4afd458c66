"""The ordered log of a room: append on one side, any number of readers on the other.

From the bottom up: ``records`` (what readers get) · ``window`` (memory) ·
``milestones`` (what gaps weigh) · ``blocks`` (the format on disk, pure) · ``disk``
(files, in threads) · ``segments`` (where things are on disk) · ``history`` (where
each number is) · ``watcher`` · ``spill`` (bounds and back-pressure) · ``log`` (the face).
"""

from __future__ import annotations

from embedenv_jupyter.rooms.log.disk import replay
from embedenv_jupyter.rooms.log.log import Log
from embedenv_jupyter.rooms.log.records import Gap, Record
from embedenv_jupyter.rooms.log.watcher import Watcher

__all__ = ["Gap", "Log", "Record", "Watcher", "replay"]
