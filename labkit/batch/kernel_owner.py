"""From no kernel to one that is ready, and to none again, in as little time as it takes.

nbclient waits for fixed times where there is something to wait for: here a kernel is ready when it
has answered *and* what it publishes is heard, and its end is told by its provisioner.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from queue import Empty
from typing import Any, Final

import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from papermill.clientwrap import PapermillNotebookClient

from labkit.batch.kernels import KernelPlace, kernel_manager
from labkit.batch.stopwatch import Stopwatch
from labkit.errors import KernelUnavailable
from labkit.journal import Phase

_READY_S: Final = 60.0
_END_S: Final = 5.0
"""How long a kernel may take to end when it is asked to, in seconds; then it is killed."""
_RECONNECT_MS: Final = 5
"""How often a socket looks whether the kernel has opened its own; by default each 100 ms."""
_HEARD_S: Final = 0.05
"""How soon after its answer a kernel's state is heard, if what it publishes comes in already."""


class KernelOwner(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """An nbclient whose kernel is of a place of ours."""

    km: AsyncKernelManager | None
    kc: AsyncKernelClient | None

    @contextlib.asynccontextmanager
    async def kernel_at(self, place: KernelPlace, watch: Stopwatch) -> AsyncIterator[None]:
        """A kernel that is ready, for the block; afterwards nothing of it is left.

        Raises `KernelUnavailable` when it does not come so far.
        """
        self.km = manager = kernel_manager(place)
        group: int | None = None
        try:
            with watch.during(Phase.KERNEL):
                await self._start(place)
            group = getattr(manager.provisioner, "pgid", None)
            yield
        finally:
            await self.before_its_end()
            with watch.during(Phase.END):
                await self._async_cleanup_kernel()
                _kill_group(group)

    async def before_its_end(self) -> None:
        """What is still to be awaited while there is a kernel."""

    async def _start(self, place: KernelPlace) -> None:
        try:
            # What is written past ipykernel would reach the console with its secrets.
            with (place.folder / "kernel.log").open("wb") as log:
                await self.async_start_new_kernel(
                    env=dict(place.environment),
                    cwd=str(place.working_folder),
                    stdout=log,
                    stderr=log,
                )
            await self.async_start_new_kernel_client()
        except (OSError, RuntimeError, TimeoutError) as error:
            text = f"the kernel did not start ({error}); run labkit doctor to see what is missing"
            raise KernelUnavailable(text) from error

    async def async_start_new_kernel_client(self) -> AsyncKernelClient:
        """Connect to the kernel and wait until it is ready; the client.

        Raises `RuntimeError` when it dies meanwhile, and `TimeoutError` when it takes too long.
        """
        if self.km is None:
            raise AssertionError("the kernel is started first")
        client: AsyncKernelClient = self.km.client()
        client.context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self.kc = client
        client.start_channels()
        async with asyncio.timeout(_READY_S):
            while not await self._answers(client):
                continue
        client.allow_stdin = False
        return client

    async def _answers(self, client: AsyncKernelClient) -> bool:
        """Whether it answers, and is heard to say that it has nothing more to do."""
        asked = client.kernel_info()
        while not await _came(client.get_shell_msg, asked, wait_s=1.0):
            if self.km is None or not await self.km.is_alive():
                raise RuntimeError("it died before it was ready")
        return await _came(client.get_iopub_msg, asked, "idle", wait_s=_HEARD_S)

    async def _async_cleanup_kernel(self) -> None:
        """Ask the kernel to end, and leave nothing of it, its sockets and its files."""
        manager, client = self.km, self.kc
        self.km = self.kc = None
        if manager is None:
            return
        try:
            if await manager.is_alive():
                await _shut_down(manager)
        finally:
            await manager.cleanup_resources()
            if client is not None:
                client.stop_channels()


async def _came(get: Any, asked: str, state: str | None = None, *, wait_s: float) -> bool:
    """Whether a message came in time that answers what was asked, and tells this state."""
    try:
        async with asyncio.timeout(wait_s):
            while True:
                message = await get(timeout=wait_s)
                is_answer = message["parent_header"].get("msg_id") == asked
                if is_answer and state in {None, message["content"].get("execution_state")}:
                    return True
    except (TimeoutError, Empty):
        return False


async def _shut_down(manager: AsyncKernelManager) -> None:
    await manager.request_shutdown()
    if manager.provisioner is None:
        raise AssertionError("it lives")
    try:
        async with asyncio.timeout(_END_S):
            await manager.provisioner.wait()
    except TimeoutError:
        await manager.shutdown_kernel(now=True)


def _kill_group(group: int | None) -> None:
    """End what the notebook left behind in its kernel's process group."""
    if group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
