"""Roles, keys and tokens."""

from __future__ import annotations

import itertools

import pytest

from embedenv_jupyter.errors import RoleError, UnknownKeyError
from embedenv_jupyter.rooms.members import MAX_AWAY, Keyring, Member, Members, Role


@pytest.mark.parametrize(("has", "needs"), list(itertools.product(Role, Role)))
def test_each_role_may_do_what_those_below_may(has: Role, needs: Role) -> None:
    member = Member("1", "ann", "#fff", has)
    if has >= needs:
        member.require(needs, "act")
        return
    with pytest.raises(RoleError, match=f"needs the role '{needs.word}'; yours is '{has.word}'"):
        member.require(needs, "act")


def test_a_key_opens_until_it_expires_or_is_revoked() -> None:
    keys = Keyring()
    key = keys.issue(Role.VIEW, expires_at=100.0)
    assert keys.redeem(key.key, now=99.9).role is Role.VIEW
    with pytest.raises(UnknownKeyError):
        keys.redeem(key.key, now=100.0)
    lasting = keys.issue(Role.EDIT)
    keys.revoke(lasting.key)
    with pytest.raises(UnknownKeyError):
        keys.redeem(lasting.key, now=0)


def test_a_token_brings_the_same_member_back_with_the_role_it_had() -> None:
    members = Members()
    owner = members.admit("host", "#000", Role.OWN)
    assert members.leave(owner)
    assert members.present == []
    assert members.admit("somebody else", "#111", Role.EDIT, owner.token) is owner
    assert owner.role is Role.OWN
    stranger = members.admit("eve", "#222", Role.EDIT, "not a token")
    assert stranger is not owner
    assert stranger.role is Role.EDIT


def test_of_many_who_left_the_newest_and_the_owners_are_remembered() -> None:
    members = Members()
    owner = members.admit("host", "#000", Role.OWN)
    members.leave(owner)
    gone = [members.admit(str(number), "#111", Role.EDIT) for number in range(MAX_AWAY + 5)]
    for member in gone:
        members.leave(member)
    known = [members.admit("", "", Role.VIEW, member.token) is member for member in gone]
    assert known == [False] * 6 + [True] * (MAX_AWAY - 1)
    assert members.admit("", "", Role.VIEW, owner.token) is owner


def test_secrets_stay_out_of_representations() -> None:
    keys = Keyring()
    key = keys.issue(Role.RUN)
    member = Members().admit("ann", "#fff", Role.RUN)
    assert key.key not in repr(key)
    assert member.token not in repr(member)
