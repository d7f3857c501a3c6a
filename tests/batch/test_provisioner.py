"""Kernels of a warm process behave as others do, and others take their place where it is not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import tempfile
from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from labkit.batch.environments import environment_without_services
from labkit.batch.kernels import KernelPlace, kernel_manager
from labkit.batch.provisioner import NAME, WarmProvisioner
from tests.services.owners import eventually, is_running, kill, same_imports
from tests.warm.stage import warmed

BOUND_S: Final = 60.0


@contextlib.asynccontextmanager
async def kernel(door: Path) -> AsyncIterator[tuple[AsyncKernelManager, AsyncKernelClient]]:
    """A kernel that answers, started where a warm process should listen at `door`."""
    with tempfile.TemporaryDirectory(prefix="lk-") as name, tempfile.TemporaryFile() as log:
        folder = Path(name)
        place = KernelPlace(folder, environment_without_services(same_imports()), folder, door)
        manager = kernel_manager(place)
        where = {"env": dict(place.environment), "cwd": str(folder)}
        await manager.start_kernel(**where, stdout=log, stderr=log)
        client: AsyncKernelClient = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(BOUND_S)
            yield manager, client
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)


def provisioner(manager: AsyncKernelManager) -> WarmProvisioner:
    """What the kernel comes from."""
    assert isinstance(manager.provisioner, WarmProvisioner)
    return manager.provisioner


def forked(manager: AsyncKernelManager) -> bool:
    """Whether the kernel comes from a warm process."""
    return provisioner(manager).forked is not None


async def status(manager: AsyncKernelManager) -> int | None:
    """How the kernel ended, within a bounded time."""
    async with asyncio.timeout(BOUND_S):
        return await provisioner(manager).wait()


async def answered(client: AsyncKernelClient, source: str) -> str:
    """The status of a cell that was executed."""
    reply = await client.execute_interactive(source, timeout=BOUND_S, output_hook=lambda _: None)
    return str(reply["content"].get("ename", reply["content"]["status"]))


def test_the_provisioner_is_registered() -> None:
    """jupyter_client finds it by the name that kernels ask for."""
    [found] = entry_points(group="jupyter_client.kernel_provisioners", name=NAME)
    assert found.load() is WarmProvisioner


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os; os._exit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ],
)
def test_the_way_a_kernel_ended_is_told(source: str, expected: int) -> None:
    """As an exit status, and then there is no process any longer."""

    async def told() -> tuple[int | None, bool, bool]:
        async with warmed() as warm, kernel(warm.door) as (manager, client):
            assert forked(manager)
            assert await manager.is_alive()
            client.execute(source)
            return await status(manager), await manager.is_alive(), manager.has_kernel

    assert asyncio.run(told()) == (expected, False, False)


@pytest.mark.parametrize(
    "waiting",
    [
        "while True: pass",
        "import time; time.sleep(300)",
        "import asyncio; await asyncio.sleep(300)",
    ],
)
def test_a_kernel_that_is_interrupted_goes_on(waiting: str) -> None:
    """Whether it counts, sleeps or awaits: the cell is broken off, and the next one is executed."""

    async def interrupted() -> tuple[str, str]:
        async with warmed() as warm, kernel(warm.door) as (manager, client):
            assert forked(manager)
            began = Path(manager.ip).with_name("began")
            source = f"open({str(began)!r}, 'w').close()\n{waiting}"
            running = asyncio.create_task(answered(client, source))
            assert await asyncio.to_thread(eventually, began.exists)
            await manager.interrupt_kernel()
            client.kernel_info()  # an idle await is cut when the kernel's loop turns next
            return await running, await answered(client, "1")

    broken, after = asyncio.run(interrupted())
    assert broken in {"KeyboardInterrupt", "CancelledError"}
    assert after == "ok"


def test_a_kernel_can_be_restarted() -> None:
    """The new one is forked as well, knows nothing of the first, and the first is gone."""

    async def restarted() -> tuple[int | None, int | None, str]:
        async with warmed() as warm, kernel(warm.door) as (manager, client):
            first = provisioner(manager).pid
            await answered(client, "known = 1")
            await manager.restart_kernel(now=True)
            await client.wait_for_ready(BOUND_S)
            assert forked(manager)
            return first, provisioner(manager).pid, await answered(client, "known")

    first, second, known = asyncio.run(restarted())
    assert first is not None
    assert first != second
    assert known == "NameError"
    assert not is_running(first)


def test_a_kernel_is_told_dead_with_its_warm_process() -> None:
    """`kill -9` of that is the end of the kernel, with the status of it."""

    async def told() -> int | None:
        async with warmed() as warm, kernel(warm.door) as (manager, _):
            kill(warm.pid)
            return await status(manager)

    assert asyncio.run(told()) == -signal.SIGKILL


def test_without_a_warm_process_kernels_start_cold(
    socket_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody listens: the reason is logged, and the kernel answers all the same."""

    async def started() -> tuple[bool, str]:
        async with kernel(socket_folder / "door") as (manager, client):
            return forked(manager), await answered(client, "1")

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(started()) == (False, "ok")
    assert "this kernel starts cold: the warm process at" in caplog.text
    assert "No such file" in caplog.text


def test_a_warm_process_that_died_leaves_kernels_to_start_cold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its door is still there, and nobody behind it."""

    async def started() -> tuple[bool, str]:
        async with warmed() as warm:
            kill(warm.pid)
            assert eventually(lambda: not is_running(warm.pid))
            async with kernel(warm.door) as (manager, client):
                return forked(manager), await answered(client, "1")

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(started()) == (False, "ok")
    assert "refused" in caplog.text


def test_a_warm_process_that_refuses_leaves_kernels_to_start_cold(
    socket_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it says stands in the log."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"error": "the warm process has 2 threads, not one"}\n')
        writer.close()

    async def started() -> tuple[bool, str]:
        door = socket_folder / "door"
        async with (
            await asyncio.start_unix_server(refuse, door, limit=2**22),
            kernel(door) as (manager, client),
        ):
            return forked(manager), await answered(client, "1")

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(started()) == (False, "ok")
    assert "makes no process: the warm process has 2 threads, not one" in caplog.text
