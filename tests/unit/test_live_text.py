"""Text on its way to those who follow: nothing is lost, nothing comes late, and nobody waits for it."""

import asyncio

import pytest

from navigator.work import LiveText


class Line:
    """Sends as fast as it is let."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bool]] = []
        self.free = asyncio.Event()
        self.more = asyncio.Event()
        self.listens = True

    async def until(self, piece: tuple[str, bool]) -> None:
        async with asyncio.timeout(20.0):
            while piece not in self.sent:
                self.more.clear()
                await self.more.wait()

    async def send(self, text: str, void: bool) -> bool:
        await self.free.wait()
        self.sent.append((text, void))
        self.more.set()
        return self.listens


async def test_what_is_said_while_a_piece_is_on_its_way_goes_with_the_next() -> None:
    line = Line()
    async with LiveText(line.send) as live:
        await live.say("one ")
        await asyncio.sleep(0)
        for word in ("two ", "three ", "four"):
            await live.say(word)
        line.free.set()
    assert line.sent == [("one ", False), ("two three four", False)]


async def test_an_action_that_starts_over_says_so_before_its_new_text() -> None:
    line = Line()
    async with LiveText(line.send) as live:
        await live.say("wrong")
        await asyncio.sleep(0)
        await live.say(" and never sent")
        await live.start_over()
        await live.say("right")
        line.free.set()
    assert line.sent == [("wrong", False), ("", True), ("right", False)]


async def test_a_cancelled_action_says_no_more() -> None:
    line = Line()

    async def act() -> None:
        async with LiveText(line.send) as live:
            await live.say("too late")
            await asyncio.Event().wait()

    action = asyncio.create_task(act())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    action.cancel()
    with pytest.raises(asyncio.CancelledError):
        await action
    line.free.set()
    await asyncio.sleep(0)
    assert line.sent == []


async def test_what_nobody_heard_is_told_whole_to_who_comes_later() -> None:
    line = Line()
    line.listens = False
    line.free.set()
    async with LiveText(line.send, pause=0.001) as live:
        await live.say("one ")
        await line.until(("one ", False))
        await live.say("two")
        line.listens = True
        await line.until(("one two", False))
    assert line.sent[-1] == ("one two", False)


async def test_an_action_that_nobody_follows_ends_without_waiting_for_anybody() -> None:
    line = Line()
    line.listens = False
    line.free.set()
    async with LiveText(line.send, pause=3_600.0) as live:
        await live.say("one ")
        await asyncio.sleep(0)
        await live.say("two")
    assert line.sent == [("one ", False)]
