"""What a check leaves behind: tasks and connections that it started and did not end.

A context variable marks what runs for a check. Tasks are noticed by the loop's task factory and
connections by Python's audit event for `socket.connect`, so that neither depends on how they were
made. What the lab and the platform open for longer than a check runs under `unwatched()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import sys
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final

_watch: Final[ContextVar[Watch | None]] = ContextVar("labkit_watch", default=None)

_GRACE_S: Final = 1.0
"""How long what is on its way to its end is waited for."""

_LOOKS: Final = 100
"""How often it is looked at in that time, where nothing tells of the end."""


class Watch:
    """Notices the tasks and connections that run under it, and the loop's unhandled errors."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []
        self._sockets: list[weakref.ref[socket.socket]] = []
        self._errors: list[str] = []

    def owns(self, task: asyncio.Task[Any]) -> bool:
        """Whether the task was started under this watch."""
        return task in self._tasks

    def note_task(self, task: asyncio.Task[Any]) -> None:
        """Remember a task that has been started."""
        self._tasks.append(task)

    def note_socket(self, opened: socket.socket) -> None:
        """Remember a socket that is being connected."""
        self._sockets.append(weakref.ref(opened))

    def note_error(self, context: dict[str, Any]) -> None:
        """Remember an error that the loop has nobody to tell of, if it arose under this watch."""
        if self._concerns(context):
            error = context.get("exception")
            self._errors.append(f"{context.get('message', 'an error in the loop')}: {error!r}")

    def _concerns(self, context: dict[str, Any]) -> bool:
        source = context.get("task") or context.get("future")
        if isinstance(source, asyncio.Task):
            return self.owns(source)
        # Up to Python 3.11 the handler is not called in the failed callback's own context.
        marks = getattr(context.get("handle"), "_context", None)
        return (_watch.get() if marks is None else marks.get(_watch)) is self

    async def background_errors(self) -> tuple[str, ...]:
        """What failed behind the check's back: errors that nobody read, which this reads.

        Gives the loop one turn first, so that callbacks that are due have run.
        """
        await asyncio.sleep(0)
        unread = [task for task in self._tasks if task.done() and _is_unread(task)]
        told = [f"task {_name(task)}: {task.exception()!r}" for task in unread]
        return (*told, *self._errors)

    async def end_tasks(self) -> tuple[str, ...]:
        """The tasks that still run, by name; each is cancelled and given a second to end."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel("left over by a check")
        if running:
            await asyncio.wait(running, timeout=_GRACE_S)
        for task in running:
            _read(task)
        return tuple(f"task {_name(task)}" for task in running)

    async def end_connections(self) -> tuple[str, ...]:
        """The connections that are still open, by address; each is shut down.

        A transport closes its socket a little after it was told to, and tells nobody: so what is
        open is looked at again for up to a second.
        """
        for _ in range(_LOOKS):
            if not self._open_sockets():
                break
            await asyncio.sleep(_GRACE_S / _LOOKS)
        left = self._open_sockets()
        told = tuple(_address(opened) for opened in left)
        for opened in left:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        return told

    def _open_sockets(self) -> list[socket.socket]:
        known = (reference() for reference in self._sockets)
        return [opened for opened in known if opened is not None and opened.fileno() != -1]

    def forget(self) -> None:
        """Let go of everything, so that the frames of ended tasks do not outlive the check."""
        self._tasks.clear()
        self._sockets.clear()


def _is_unread(task: asyncio.Task[Any]) -> bool:
    # asyncio's own mark for "exception set and never retrieved"; it has no public name.
    return bool(task._log_traceback)  # noqa: SLF001


def _read(task: asyncio.Task[Any]) -> None:
    """Read the exception of a task that has ended, so that the loop does not tell of it later."""
    if task.done() and not task.cancelled():
        task.exception()


def _name(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return f"{task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"


def _address(opened: socket.socket) -> str:
    try:
        return str(opened.getpeername() or "a private socket")
    except OSError:
        return "a peer that is gone"


@contextlib.contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Let `watch` notice what is started inside the block, on the running loop."""
    _hear_connects()
    loop = asyncio.get_running_loop()
    factory, handler = loop.get_task_factory(), loop.get_exception_handler()
    mark = _watch.set(watch)
    loop.set_task_factory(functools.partial(_start, watch, factory or _plain_task))
    loop.set_exception_handler(functools.partial(_tell, watch, handler))
    try:
        yield
    finally:
        loop.set_exception_handler(handler)
        loop.set_task_factory(factory)
        _watch.reset(mark)
        watch.forget()


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Run the block for the lab or the platform: what it starts is not the check's."""
    mark = _watch.set(None)
    try:
        yield
    finally:
        _watch.reset(mark)


def _plain_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **options)


def _start(
    watch: Watch,
    factory: Callable[..., Any],
    loop: asyncio.AbstractEventLoop,
    coroutine: Any,
    **options: Any,
) -> Any:
    """Make a task as the loop would, and note it when it runs under the watch."""
    task = factory(loop, coroutine, **options)
    context = options.get("context")
    if (_watch.get() if context is None else context.get(_watch)) is watch:
        watch.note_task(task)
    return task


def _tell(
    watch: Watch,
    handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None,
    loop: asyncio.AbstractEventLoop,
    context: dict[str, Any],
) -> None:
    """Tell an error as the loop would, and note it when it arose under the watch."""
    watch.note_error(context)
    if handler is None:
        loop.default_exception_handler(context)
    else:
        handler(loop, context)


def _note_connect(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        watch, opened = _watch.get(), arguments[0]
        if watch is not None and isinstance(opened, socket.socket):
            watch.note_socket(opened)


@functools.cache
def _hear_connects() -> None:
    # An audit hook stays for the life of the process, so there is one, and it acts by context.
    sys.addaudithook(_note_connect)
