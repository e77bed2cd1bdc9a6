"""An event loop whose time is virtual and whose processes can be frozen and killed at any await; the same seed runs the same way."""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

from typing_extensions import TypeVarTuple, Unpack, override

STEPS_MAX = 60_000
"""Callbacks in one life of a world; one that needs more goes round in a circle."""


CLOSE_TRIES = 10


class Process:
    """A process of the system: everything that was started in it, and by what was started in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_frozen = False
        self.parked: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = copy_context()
        self.context.run(PROCESS.set, self)

    def start(self, coroutine: Coroutine[Any, Any, Any], loop: "VirtualLoop") -> "asyncio.Task[Any]":
        """Runs a coroutine in this process."""
        return loop.create_task(coroutine, context=self.context.copy())


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)

_OUTSIDE = Context()
"""What belongs to no process."""


_Args = TypeVarTuple("_Args")


class StuckError(Exception):
    """Nothing is left that could ever happen, or far too much happens."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready, one callback after the other; when nothing is, time goes on to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self._sleeps = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.failure: BaseException | None = None
        self._tasks_of_world: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make)
        self.set_exception_handler(self._failed)

    @override
    def time(self) -> float:
        return self.now

    @override
    def get_debug(self) -> bool:
        return False

    @override
    def call_soon(
        self, callback: Callable[[Unpack[_Args]], object], *args: *_Args, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined] # asyncio's own
        return handle

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined] # asyncio's own
        while not ready:
            self._next_instant()
        handle = ready.popleft()
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None:
            if not process.is_alive:
                return
            if process.is_frozen:
                process.parked.append(handle)
                return
        self.steps += 1
        if self.steps > STEPS_MAX:
            self.failure = self.failure or StuckError(f"more than {STEPS_MAX} steps")
            self.stop()
            return
        handle._run()

    def _next_instant(self) -> None:
        """Time goes on to whatever is due next."""
        scheduled, sleepers = self._scheduled, self._sleepers  # type: ignore[attr-defined] # asyncio's own
        if sleepers and (not scheduled or sleepers[0][0] <= scheduled[0]._when):
            when, _, future = heapq.heappop(sleepers)
            if not future.done():
                self.now = when
                future.set_result(None)
        elif scheduled:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self.now = max(self.now, timer._when)
                self._ready.append(timer)  # type: ignore[attr-defined] # asyncio's own
        else:
            raise StuckError("nothing is left that could happen")

    async def sleep(self, seconds: float) -> None:
        """As `asyncio.sleep`, at a third of its cost: most of what a life does is to wait."""
        self._sleeps += 1
        future = self.create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, self._sleeps, future))
        await future

    def outside(self, seconds: float, callback: Any, *arguments: Any) -> None:
        """Calls something that no process can hold up."""
        self.call_later(seconds, callback, *arguments, context=_OUTSIDE)

    def start_outside(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Runs a coroutine that belongs to no process."""
        return self.create_task(coroutine, context=_OUTSIDE.copy())

    def freeze(self, process: Process) -> None:
        """Nothing of this process runs, as after SIGSTOP."""
        process.is_frozen = True

    def thaw(self, process: Process) -> None:
        """It goes on where it was; to itself no time has passed."""
        process.is_frozen = False
        parked, process.parked = process.parked, []
        self._ready.extend(parked)  # type: ignore[attr-defined] # asyncio's own

    def kill(self, process: Process) -> None:
        """Ends a process as `kill -9` does: nothing of it is told, no cleaning up reaches a server. Call it from outside."""
        process.is_alive = False
        process.parked.clear()
        tasks, process.tasks = process.tasks, []
        _close(tasks)

    def end(self) -> None:
        """Ends what is left of the world."""
        tasks, self._tasks_of_world = self._tasks_of_world, []
        _close(tasks)
        self._ready.clear()  # type: ignore[attr-defined] # asyncio's own
        self._sleepers.clear()
        self._scheduled.clear()  # type: ignore[attr-defined] # asyncio's own
        self.close()

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        """Those of killed processes end with them."""

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """Nothing may come of when Python collects them."""

    def _make(self, loop: Any, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        task._log_destroy_pending = False  # type: ignore[attr-defined] # killed processes leave theirs unfinished
        context = options.get("context")
        process = context.get(PROCESS) if context is not None else PROCESS.get()
        (process.tasks if process is not None else self._tasks_of_world).append(task)
        return task

    def _failed(self, loop: Any, context: dict[str, Any]) -> None:
        self.failure = self.failure or context.get("exception") or StuckError(context["message"])
        self.stop()


def _close(tasks: list["asyncio.Task[Any]"]) -> None:
    """Drops coroutines where they stand."""
    for task in tasks:
        if not task.done():
            coroutine = task.get_coro()
            # Python 3.11 does not close a generator that is running inside, and says so by an error; code that takes it for
            # one of its servers waits to try again, and is closed there.
            for _ in range(CLOSE_TRIES if coroutine is not None else 0):
                try:
                    coroutine.close()
                    break
                except RuntimeError:
                    continue
