"""What a browser keeps instead of a join key."""

from __future__ import annotations

from embedenv_jupyter.rooms import passes as module
from embedenv_jupyter.rooms.members import Keyring, Members, Role, Visitor
from embedenv_jupyter.rooms.passes import Passes


def test_a_pass_is_good_as_long_as_its_key() -> None:
    keys = Keyring()
    passes, key = Passes(keys), keys.issue(Role.VIEW, expires_at=10.0)
    held = passes.issue(key, "Ann", "#ffffff")
    assert passes.find(held.secret, 9.9) is held and held.role is Role.VIEW
    assert passes.find("", 0) is None and passes.find(key.key, 0) is None
    assert passes.find(held.secret, 10.0) is None
    assert passes.find(held.secret, 0) is None, "void for good"


def test_a_revoked_key_voids_its_passes_and_no_others() -> None:
    keys = Keyring()
    passes = Passes(keys)
    one, other = keys.issue(Role.RUN), keys.issue(Role.RUN)
    held, kept = passes.issue(one, "Ann", "#ffffff"), passes.issue(other, "Bob", "#ffffff")
    keys.revoke(one.key)
    assert passes.find(held.secret, 0) is None and passes.find(kept.secret, 0) is kept


def test_a_pass_that_was_given_back_is_void() -> None:
    keys = Keyring()
    passes = Passes(keys)
    held = passes.issue(keys.issue(Role.RUN), "Ann", "#ffffff")
    passes.give_back(held)
    passes.give_back(held)
    assert passes.find(held.secret, 0) is None and len(passes) == 0


def test_passes_are_bounded_for_each_key() -> None:
    keys = Keyring()
    passes = Passes(keys)
    kept = passes.issue(keys.issue(Role.RUN), "Bob", "#ffffff")
    key = keys.issue(Role.VIEW)
    held = [passes.issue(key, "Ann", "#ffffff") for _ in range(module.MAX_PASSES)]
    assert passes.find(held[0].secret, 0) is held[0]
    passes.issue(key, "Ann", "#ffffff")
    assert passes.find(held[1].secret, 0) is None, "not used for longest"
    assert passes.find(held[0].secret, 0) is held[0]
    assert passes.find(kept.secret, 0) is kept, "the key of somebody else"
    assert len(passes) == module.MAX_PASSES + 1


def test_a_role_is_changed_for_one_pass() -> None:
    keys = Keyring()
    passes, key = Passes(keys), keys.issue(Role.VIEW)
    one, other = passes.issue(key, "Ann", "#ffffff"), passes.issue(key, "Bob", "#ffffff")
    passes.set_role(one.identity, Role.EDIT)
    assert (one.role, other.role) == (Role.EDIT, Role.VIEW)


def test_secrets_are_in_no_log() -> None:
    keys = Keyring()
    key = keys.issue(Role.VIEW)
    held = Passes(keys).issue(key, "Ann", "#ffffff")
    assert held.secret not in repr(held) and key.key not in repr(held)
    assert key.key not in repr(Visitor("Ann", "#ffffff", Role.VIEW, key.key, held.identity))


def test_who_comes_back_is_known_by_identity_or_else_by_token() -> None:
    members = Members()
    ann = members.admit("Ann", "#ffffff", Role.OWN)
    ann.identity = "user ann"
    guest = members.admit("Bob", "#ffffff", Role.VIEW)
    guest.key = "k"
    by_name = Visitor("Ann", "#ffffff", Role.OWN, identity="user ann")
    assert members.returning(by_name) is ann and members.returning(by_name, guest.token) is ann
    by_key = Visitor("Bob", "#ffffff", Role.VIEW, "k")
    assert members.returning(by_key, guest.token) is guest
    assert members.returning(by_key) is None
    assert members.returning(by_key, ann.token) is None, "a token makes nobody somebody else"
    assert members.returning(Visitor("Bob", "#ffffff", Role.VIEW, "other"), guest.token) is None


def test_expired_keys_are_found() -> None:
    keys = Keyring()
    keys.issue(Role.VIEW)
    old, new = keys.issue(Role.VIEW, expires_at=5.0), keys.issue(Role.VIEW, expires_at=6.0)
    assert keys.expired(4.9) == [] and keys.expired(5.0) == [old] and keys.expired(9) == [old, new]
