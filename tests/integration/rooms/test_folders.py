"""Logs of gateways that were killed do not stay; those of living ones do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from embedenv_jupyter.rooms.folders import LogFolder, sweep

HOLDER = """
import sys
from pathlib import Path
from embedenv_jupyter.rooms.folders import LogFolder
folder = LogFolder(Path(sys.argv[1]))
(folder.path / "room").mkdir()
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_a_living_gateways_folder_stays_and_a_killed_ones_goes(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        path = Path(holder.stdout.readline().strip())
        sweep(tmp_path)
        assert (path / "room").is_dir()
        holder.kill()
        holder.wait(20)
    own = LogFolder(tmp_path)
    assert not path.exists()
    assert own.path.is_dir()
    own.release()
    assert list(tmp_path.iterdir()) == []


def test_two_gateways_of_one_process_have_a_folder_each(tmp_path: Path) -> None:
    first, second = LogFolder(tmp_path), LogFolder(tmp_path)
    assert first.path != second.path
    first.release()
    first.release()
    assert second.path.is_dir()
    second.release()
    assert list(tmp_path.iterdir()) == []
