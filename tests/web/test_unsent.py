"""What the bodies of responses hold, and how they are written."""

from spsd.web.connections.unsent import UnsentBodies


def test_each_body_counts_once_and_only_while_it_is_sent() -> None:
    bodies = UnsentBodies(most_bytes=10)
    one, other = b"1234567", b"abcd"
    with bodies.sending(one), bodies.sending(one):
        assert not bodies.are_too_many
        with bodies.sending(other):
            assert bodies.are_too_many
        assert not bodies.are_too_many
    with bodies.sending(other), bodies.sending(other):
        assert not bodies.are_too_many
