"""What cells cost: a run of Python, or their dearest shell line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.accounts import cost_of
from embedenv_jupyter.rooms.cells import MAX_SHELL_CHARS, cell_command

FREE = ["", "  \n\t\n"]
STANDARD = [
    "1 + 1", "!ls", "!echo pip install numpy", "x = !git status", "# !pip install numpy", "%time f()",
    "pip = 3", "print('!pip install x')", "x != pip", "%pip list", "%%bash\nls", "%%bash", "import pip",
    "a = b % pip\ninstall = 1", "!true # pip install x",
]  # fmt: skip
HEAVY = [
    "!pip install numpy", "1\n  !pip install numpy", "!!pip install numpy", "x = !pip install numpy",
    "%pip install numpy", "pip install numpy", "%sx pip install numpy", "lines = %sx pip install numpy",
    "%system wget http://localhost", "!cd x && git clone y", '!echo "\n!pip install numpy', "a.b = !wget x",
    "!pip \\\n install numpy", "%%bash\nls\npip install numpy", "%%sh\nwget x", "%%script bash\nwget x",
    "\n%%bash -e\npip install numpy", "%%!\npip install x", "for i in range(3):\n    !curl localhost",
    "!" + "ls;" * MAX_SHELL_CHARS,
]  # fmt: skip


@pytest.mark.parametrize("code", FREE)
def test_a_cell_without_code_is_free(code: str) -> None:
    assert cost_of(cell_command(code)) == 0


@pytest.mark.parametrize("code", STANDARD)
def test_a_cell_costs_one_run(code: str) -> None:
    assert cost_of(cell_command(code)) == 1


@pytest.mark.parametrize("code", HEAVY)
def test_a_cell_that_installs_or_downloads_is_heavy(code: str) -> None:
    assert cost_of(cell_command(code)) == 5


@pytest.mark.parametrize("text", [" ", "a ", "a = ", "!\n", "%", "\t", "x=", "pip ", "!!", "\\\n"])
def test_a_long_cell_is_read_in_no_time(text: str) -> None:
    began = time.process_time()
    cell_command(text * (1 << 20))
    assert time.process_time() - began < 5


@given(st.text(alphabet="!%=\\ \n'\"abpip install#;$(`{") | st.text())
def test_any_cell_has_a_price(code: str) -> None:
    assert cost_of(cell_command(code)) in ((1, 5) if code.strip() else (0,))
