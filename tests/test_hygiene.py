"""A watch knows what was started under it and is still there, and nothing else."""

import asyncio
import contextlib
import contextvars
import gc
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from labkit.hygiene import Watch, unwatched, watching


async def fail() -> None:
    """End with an error that somebody has to read."""
    raise OSError("unread")


async def wait() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, int]]:
    """A server that keeps its connections open; gives its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield host, port


def test_reads_the_errors_that_nobody_read() -> None:
    """A dead task counts while its exception is unread, also when a variable holds it."""

    async def main() -> None:
        watch = Watch()
        with watching(watch):
            dead = asyncio.create_task(fail(), name="writer")
            read = asyncio.create_task(fail())
            await asyncio.wait([dead, read])
            assert isinstance(read.exception(), OSError)
            (told,) = await watch.background_errors()
            assert told == "task writer (fail): OSError('unread')"
            assert await watch.background_errors() == ()

    asyncio.run(main())


def test_hears_what_the_loop_has_nobody_to_tell_of() -> None:
    """A callback that raises counts under its own watch alone, and the loop's handler hears it."""

    def fall() -> None:
        raise ArithmeticError("in a callback")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard: list[str] = []
        loop.set_exception_handler(lambda _loop, context: heard.append(str(context["exception"])))
        watch = Watch()
        loop.call_soon(fall)
        with watching(watch):
            with unwatched():
                loop.call_soon(fall)
            assert await watch.background_errors() == ()
            loop.call_soon(fall)
            (told,) = await watch.background_errors()
            assert told.endswith("ArithmeticError('in a callback')")
        assert heard == ["in a callback"] * 3

    asyncio.run(main())


def test_an_older_task_is_not_the_checks_whenever_it_is_collected() -> None:
    """A task of before, whose unread error the loop tells late, belongs to nobody here."""

    async def main() -> None:
        heard: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: heard.append(context["exception"]))
        older = asyncio.create_task(fail())
        await asyncio.wait([older])
        watch = Watch()
        with watching(watch):
            del older
            gc.collect()
            assert await watch.background_errors() == ()
        assert len(heard) == 1

    asyncio.run(main())


def test_ends_the_tasks_that_still_run() -> None:
    """What still runs is told, cancelled and waited for; an error of its end is not told later."""

    async def fall_when_cancelled() -> None:
        try:
            await wait()
        finally:
            raise ArithmeticError("at the end")

    async def main() -> None:
        heard: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: heard.append(context))
        watch = Watch()
        with watching(watch):
            tasks = [
                asyncio.create_task(wait(), name="poller"),
                asyncio.create_task(fall_when_cancelled(), name="faller"),
            ]
            await asyncio.sleep(0)
            told = await watch.end_tasks()
        assert told[0] == "task poller (wait)"
        assert told[1].startswith("task faller (")
        assert all(task.done() for task in tasks)
        tasks.clear()
        gc.collect()
        assert heard == []

    asyncio.run(main())


def test_knows_the_tasks_of_its_own_context() -> None:
    """Tasks of other contexts and of the platform are left alone; grandchildren are not."""

    async def start(name: str) -> None:
        tasks.append(asyncio.create_task(wait(), name=name))

    async def main() -> None:
        elsewhere = contextvars.copy_context()
        watch = Watch()
        with watching(watch):
            await asyncio.create_task(start("grandchild"))
            with unwatched():
                await start("platform")
                await asyncio.create_task(start("platform's child"))
            tasks.append(asyncio.create_task(wait(), name="other", context=elsewhere))
            assert await watch.end_tasks() == ("task grandchild (wait)",)
        assert [task.get_name() for task in tasks if not task.done()] == [
            "platform",
            "platform's child",
            "other",
        ]

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(main())


def test_finds_connections_however_they_were_made() -> None:
    """Streams, plain sockets and sockets of threads count while they are open; all are shut."""

    async def main() -> None:
        watch = Watch()
        async with listening() as address:
            with watching(watch):
                _, stream = await asyncio.open_connection(*address)
                plain = socket.create_connection(address)
                threaded = await asyncio.to_thread(socket.create_connection, address)
                told = await watch.end_connections()
            assert told == (str(address),) * 3
            assert plain.recv(1) == threaded.recv(1) == b""
            plain.close()
            threaded.close()
            stream.close()
            await stream.wait_closed()

    asyncio.run(main())


def test_closed_connections_are_fine() -> None:
    """A connection may close a little after it was told to; the platform's may stay open."""

    async def main() -> None:
        watch = Watch()
        async with listening() as address:
            with watching(watch):
                _, closed = await asyncio.open_connection(*address)
                closed.close()
                with unwatched():
                    _, kept = await asyncio.open_connection(*address)
                with contextlib.suppress(ConnectionError):
                    await asyncio.open_connection("127.0.0.1", 1)
                late = socket.create_connection(address)
                asyncio.get_running_loop().call_later(0.05, late.close)
                assert await watch.end_connections() == ()
            assert not kept.is_closing()
            kept.close()
            await kept.wait_closed()

    asyncio.run(main())


def test_leaves_the_loop_as_it_was() -> None:
    """The loop's own task factory goes on to make the tasks, and stands again afterwards."""
    made: list[str] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        handler: Callable[..., object] = lambda _loop, _context: None  # noqa: E731
        loop.set_exception_handler(handler)
        watch = Watch()
        with contextlib.suppress(KeyError), watching(watch):
            task = asyncio.create_task(wait(), name="own")
            assert watch.owns(task)
            assert task.get_name() == "own"
            await watch.end_tasks()
            raise KeyError
        assert made == ["wait"]
        assert loop.get_task_factory() is factory
        assert loop.get_exception_handler() is handler
        assert not watch.owns(task)

    asyncio.run(main())
