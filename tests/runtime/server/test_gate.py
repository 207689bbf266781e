"""Places, turns and limits; with no server and no model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from halfbyte.server.fault import Fault
from halfbyte.server.gate import Gate, Place

Entered = Callable[[str], Awaitable[None]]


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


async def soon() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_has_few_places_comes_before_who_has_many() -> None:
    async def work() -> None:
        gate, came = Gate(2, 10), []
        places: list[Place] = [await gate.enter("many"), await gate.enter("many")]

        async def enter(client: str, name: str) -> None:
            place = await gate.enter(client)
            came.append(name)
            places.append(place)

        for client, name in (("many", "m1"), ("many", "m2"), ("few", "f1"), ("few", "f2")):
            tasks.append(asyncio.ensure_future(enter(client, name)))
            await soon()
        assert gate.n_waiting == 4
        while places:
            places.pop(0).leave()
            await soon()
        assert came == ["f1", "m1", "f2", "m2"]
        assert gate.n_running == gate.n_waiting == 0
        await asyncio.gather(*tasks)

    tasks: list[asyncio.Future[None]] = []
    run(work)


def test_beyond_its_limit_it_says_when_to_come_again() -> None:
    async def work() -> None:
        gate = Gate(1, 1)
        place = await gate.enter("a")
        waiting = asyncio.ensure_future(gate.enter("b"))
        await soon()
        assert gate.is_full
        with pytest.raises(Fault) as caught:
            await gate.enter("c")
        assert caught.value.kind == "rate_limit"
        assert caught.value.retry_after is not None and caught.value.retry_after >= 1
        place.leave()
        place.leave()  # once is enough
        (await waiting).leave()
        assert gate.n_running == 0

    run(work)


def test_waiting_has_an_end() -> None:
    async def work() -> None:
        gate = Gate(1, 5)
        place = await gate.enter("a")
        with pytest.raises(Fault) as caught:
            await gate.enter("b", 0.01)
        assert caught.value.kind == "timeout" and gate.n_waiting == 0
        place.leave()
        assert gate.n_running == 0

    run(work)


def test_who_leaves_the_queue_takes_no_place() -> None:
    async def work() -> None:
        gate = Gate(1, 5)
        place = await gate.enter("a")
        waiting = [asyncio.ensure_future(gate.enter("b")) for _ in range(3)]
        await soon()
        waiting[0].cancel()
        place.leave()  # the turn comes to the first while it is cancelled
        await soon()
        waiting[1].cancel()
        await soon()
        assert gate.n_running == 1
        for one in waiting:
            one.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        for one in done:
            if isinstance(one, Place):
                one.leave()
        assert gate.n_running == gate.n_waiting == 0

    run(work)


def test_at_the_end_nobody_is_let_in() -> None:
    async def work() -> None:
        gate = Gate(1, 5)
        place = await gate.enter("a")
        waiting = asyncio.ensure_future(gate.enter("b"))
        await soon()
        gate.stop()
        for asked in (waiting, gate.enter("c")):
            with pytest.raises(Fault) as caught:
                await asked
            assert (caught.value.kind, caught.value.retry_after) == ("overloaded", 5)
        place.leave()
        assert gate.n_running == gate.n_waiting == 0

    run(work)


def test_nobody_fills_the_queue_alone() -> None:
    async def work() -> None:
        gate = Gate(1, 4)
        place = await gate.enter("many")
        many = [asyncio.ensure_future(gate.enter("many")) for _ in range(4)]
        await soon()
        assert gate.is_full
        few = [asyncio.ensure_future(gate.enter("few")) for _ in range(2)]
        await soon()
        assert gate.n_waiting == 4
        assert [one.done() for one in many] == [False, False, True, True]
        for one in many[2:]:
            with pytest.raises(Fault) as caught:
                await one
            assert caught.value.kind == "rate_limit" and caught.value.retry_after
        for client in ("few", "many"):  # neither has more than the other now
            with pytest.raises(Fault):
                await gate.enter(client)
        place.leave()
        for one in (many[0], few[0], many[1], few[1]):
            (await one).leave()
        assert gate.n_running == gate.n_waiting == 0

    run(work)


def test_one_client_has_no_more_places_than_it_may() -> None:
    async def work() -> None:
        gate = Gate(2, 5, 1)
        place = await gate.enter("a")
        waiting = asyncio.ensure_future(gate.enter("a"))
        await soon()
        other = await gate.enter("b")  # not behind the one who waits for its own
        assert (gate.n_running, gate.n_waiting) == (2, 1)
        other.leave()
        await soon()
        assert not waiting.done()
        place.leave()
        (await waiting).leave()
        assert gate.n_running == gate.n_waiting == 0

    run(work)


@pytest.mark.parametrize("limit_s", [None, 60.0])
@pytest.mark.parametrize("n_ticks", range(4))
def test_who_leaves_as_the_turn_comes_has_no_place(limit_s: float | None, n_ticks: int) -> None:
    async def work() -> None:
        gate = Gate(1, 1)
        place = await gate.enter("a")
        waiting = asyncio.ensure_future(gate.enter("b", limit_s))
        await soon()
        place.leave()
        for _ in range(n_ticks):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert gate.n_running == gate.n_waiting == 0

    run(work)
