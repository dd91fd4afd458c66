"""Who runs a cell is whoever sent it, and the first who sent a message is its sender."""

from __future__ import annotations

import pytest

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.kernels import authors, messages
from embedenv_jupyter.kernels.authors import Author, CellAuthors, Login, Senders
from embedenv_jupyter.rooms.members import Members, Role

ADA = Login("ada", "Ada", "#e11d48")
EVE = Login("eve", "Eve", "#000000")


def test_a_name_is_put_under_a_message_once_and_by_its_first_sender() -> None:
    senders = Senders()
    senders.watch("k")
    senders.sent("k", "m1", ADA)
    with pytest.raises(RemoteProtocolError, match="somebody else has the id 'm1'"):
        senders.sent("k", "m1", EVE)
    assert senders.take("other", "m1") is None
    assert senders.take("k", "m1") is ADA
    assert senders.take("k", "m1") is None


def test_an_id_that_is_sent_twice_has_a_sender_both_times() -> None:
    senders = Senders()
    senders.watch("k")
    senders.sent("k", "m1", EVE)
    senders.sent("k", "m1", EVE)
    assert [senders.take("k", "m1") for _ in range(3)] == [EVE, EVE, None]


def test_notes_are_bounded_and_none_goes_but_with_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authors, "MAX_WAITING", 2)
    senders = Senders()
    senders.watch("k")
    for number in range(2):
        senders.sent("k", f"m{number}", EVE)
    with pytest.raises(RemoteProtocolError, match="2 messages of yours wait"):
        senders.sent("k", "m2", EVE)
    senders.sent("k", "m2", ADA)
    assert [senders.take("k", f"m{number}") for number in range(3)] == [EVE, EVE, ADA]
    senders.sent("k", "m3", EVE)
    senders.forget("k")
    assert not senders.watches("k") and senders.take("k", "m3") is None


def test_a_user_of_the_server_is_the_member_that_they_are() -> None:
    members = Members()
    assert Author.behind(ADA, members) == Author("Ada", "#e11d48")
    member = members.admit("Ada L.", "#112233", Role.VIEW, None)
    assert Author.behind(Login("", "", ""), members).member == "", "nobody is logged in as nobody"
    member.login = "ada"
    assert Author.behind(ADA, members) == Author("Ada L.", "#112233", member.id, Role.VIEW)
    members.leave(member)
    assert Author.behind(ADA, members).member == "", "who has left is not here"


def test_the_last_run_of_a_cell_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authors, "MAX_CELLS", 2)
    cells = CellAuthors()
    for cell, name in (("a", "Ada"), ("b", "Ada"), ("", "Ada"), ("a", "Eve"), ("c", "Eve")):
        cells.ran(cell, "r", Author(name, "#000000"), 1.5)
    assert [(each["cell"], each["user"]) for each in cells.all()] == [("a", "Eve"), ("c", "Eve")]


@pytest.mark.parametrize(
    ("metadata", "cell"),
    [
        (b'{"cellId":"5f0c-Ab_1","deletedCells":[]}', "5f0c-Ab_1"),
        (b"{}", ""),
        (b'{"cellId":7}', ""),
        (b'{"cellId":"<b>"}', ""),
        (b'{"cellId":"' + b"a" * 65 + b'"}', ""),
        (b"[", ""),
    ],
)
def test_only_an_id_that_a_notebook_can_have_names_a_cell(metadata: bytes, cell: str) -> None:
    assert messages.cell_id((b"{}", b"{}", metadata, b"{}")) == cell
