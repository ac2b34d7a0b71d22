"""TODO."""

from spsd.accounts.model import Role, Session


def test_only_an_admin_writes():
    assert Session("ann", Role.ADMIN, 1).may_write() is True
    assert Session("ann", Role.VIEWER, 1).may_write() is False


def test_the_names_of_roles_are_stored():
    assert [role.value for role in Role] == ["admin", "viewer"]


def test_a_cookie_is_sent_again_only_when_the_limit_moves():
    assert Session("ann", Role.ADMIN, 1).touched is False
