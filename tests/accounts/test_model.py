"""The rules of roles and sessions, and the stored names of the roles."""

from spsd.accounts.model import Role, Session


def test_only_an_admin_writes():
    assert Session("ann", Role.ADMIN, 1).may_write() is True
    assert Session("ann", Role.VIEWER, 1).may_write() is False


def test_roles_have_their_stored_names():
    assert [role.value for role in Role] == ["admin", "viewer"]


def test_a_session_is_not_touched_by_default():
    assert Session("ann", Role.ADMIN, 1).touched is False
