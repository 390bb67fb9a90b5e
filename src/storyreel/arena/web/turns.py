"""Calls of the store, one after another on a thread of their own, and those that wait together in one transaction.

Its transactions exclude one another anyway; threads that wait for their turn inside it would only take the processor
from each other and from the pages. While the disk is waited for, calls gather; then one wait serves them all.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from storyreel.arena.store import Store

MOST_TOGETHER = 64
Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Call:
    """What is asked for, and then what came of it."""

    function: Callable[[], Any]
    durable: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def carry_out(self) -> None:
        try:
            self.result = self.function()
        except Exception as error:
            self.error = error

    def answer(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Turns:
    """`await turns(function, ...)` calls the function on the store's thread; what it changed is on the disk then.

    `await turns.lightly(function, ...)` is for functions of which every call of the store is one that need not be
    durable at once. An error undoes its own call alone; StoreUnavailable comes to all that shared the transaction.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "storyreel-store")
        self._waiting: deque[_Call] = deque()

    async def __call__(
        self, function: Callable[Given, Result], /, *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        return await self._queue(partial(function, *arguments, **named), durable=True)

    async def lightly(
        self, function: Callable[Given, Result], /, *arguments: Given.args, **named: Given.kwargs
    ) -> Result:
        return await self._queue(partial(function, *arguments, **named), durable=False)

    def _queue(self, function: Callable[[], Any], *, durable: bool) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        call = _Call(function, durable, loop, loop.create_future())
        self._waiting.append(call)
        # Once for each call: it finds nothing where the call went with those before it.
        self._thread.submit(self._carry_out)
        return call.future

    def _carry_out(self) -> None:
        calls: list[_Call] = []
        with suppress(IndexError):
            while len(calls) < MOST_TOGETHER:
                calls.append(self._waiting.popleft())
        if not calls:
            return
        try:
            with self._store.together(durable=any(call.durable for call in calls)):
                for call in calls:
                    call.carry_out()
        except Exception as error:
            for call in calls:
                call.error = copy(error)
        by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Call]] = defaultdict(list)
        for call in calls:
            by_loop[call.loop].append(call)
        for loop, own in by_loop.items():
            # RuntimeError: the loop is closed, so nobody waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_answer, own)


def _answer(calls: list[_Call]) -> None:
    for call in calls:
        call.answer()
