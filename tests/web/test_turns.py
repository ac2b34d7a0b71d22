"""New connections take turns: by stage, by address, and a little work in an iteration."""

import asyncio
import time

from spsd.web.connections.turns import TURN_S, Stage, Turns


async def all_turns(turns: Turns[str]) -> None:
    while len(turns):
        await asyncio.sleep(0)


async def test_the_furthest_stage_is_first() -> None:
    turns: Turns[str] = Turns()
    done: list[str] = []
    for number, stage in enumerate([Stage.OPEN, Stage.FIRST_FLIGHT, Stage.LATER_FLIGHT] * 2):
        name = f"{stage.name} {number}"
        turns.wait(name, "a", stage, lambda name=name: done.append(name))
    await all_turns(turns)
    assert done == [
        *("LATER_FLIGHT 5", "LATER_FLIGHT 2", "FIRST_FLIGHT 4", "FIRST_FLIGHT 1"),
        *("OPEN 3", "OPEN 0"),
    ]


async def test_the_newest_and_the_oldest_of_an_address_alternate() -> None:
    turns: Turns[int] = Turns()
    done: list[int] = []
    for number in range(6):
        turns.wait(number, "a", Stage.OPEN, lambda number=number: done.append(number))
    await all_turns(turns)
    assert done == [5, 0, 4, 1, 3, 2]


async def test_each_address_has_its_turn() -> None:
    turns: Turns[str] = Turns()
    done: list[str] = []
    for name in ("a1", "a2", "a3", "b1", "c1", "c2"):
        turns.wait(name, name[0], Stage.OPEN, lambda name=name: done.append(name))
    turns.wait("a4", "a", Stage.LATER_FLIGHT, lambda: done.append("a4"))
    turns.discard("c1", "c")
    turns.discard("none", "d")
    await all_turns(turns)
    assert done == ["a4", "b1", "c2", "a1", "a3", "a2"]


async def test_other_work_of_the_loop_is_done_between_turns() -> None:
    turns: Turns[int] = Turns()
    done: list[object] = []
    loop = asyncio.get_running_loop()

    def work() -> None:
        end = time.monotonic() + TURN_S
        while time.monotonic() < end:
            pass
        done.append("turn")
        loop.call_soon(done.append, "other")

    for number in range(5):
        turns.wait(number, "a", Stage.OPEN, work)
    async with asyncio.timeout(10):
        while len(done) < 10:
            await asyncio.sleep(0)
    assert done == ["turn", "other"] * 5
