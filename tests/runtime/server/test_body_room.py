"""Bodies under way have an end together, and one client leaves room for others."""

from __future__ import annotations

import contextlib

import pytest

from halfbyte.server.body_room import BodyRoom
from halfbyte.server.fault import Fault


def test_room_is_shared_and_given_back() -> None:
    room = BodyRoom(100)
    with room.of("a") as first, room.of("a") as second, room.of("b") as other:
        first(30)
        first(10)
        with pytest.raises(Fault) as caught:
            second(11)
        assert (caught.value.kind, caught.value.retry_after) == ("rate_limit", 1)
        second(10)
        other(50)
        with pytest.raises(Fault) as caught, room.of("c") as third:
            third(1)
        assert (caught.value.kind, caught.value.retry_after) == ("overloaded", 1)
        assert room.n == 100
    assert room.n == 0 and not room._held
    with contextlib.suppress(ValueError), room.of("a") as keep:
        keep(50)
        raise ValueError
    assert room.n == 0
