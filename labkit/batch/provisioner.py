"""Kernels from a warm process, behind jupyter_client's provisioner; cold ones where that fails."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any, Final

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Unicode

from labkit.errors import NotWarm
from labkit.warm.client import ForkedProcess
from labkit.warm.requests import Request

NAME: Final = "labkit-warm"
"""The entry point of `jupyter_client.kernel_provisioners`."""

_KERNEL: Final = "labkit.batch.kernel_app"

_log: Final = logging.getLogger(__name__)


class WarmProvisioner(LocalProvisioner):
    """Takes kernels from the warm process that listens at `door`, and is told of their end."""

    door = Unicode().tag(config=True)
    forked: ForkedProcess | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; where that cannot be done, start the command, and log why."""
        try:
            self.forked = await self._fork(cmd, kwargs)
        except NotWarm as error:
            _log.warning("this kernel starts cold: %s", error)
            return await super().launch_kernel(cmd, **kwargs)
        self.pid = self.pgid = self.forked.pid
        self.cwd = kwargs["cwd"]
        return self.connection_info

    async def _fork(self, cmd: list[str], kwargs: dict[str, Any]) -> ForkedProcess:
        arguments = tuple(cmd[cmd.index("-f") :])
        request = Request(_KERNEL, arguments, kwargs["env"], str(kwargs["cwd"]))
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            standard = (nothing, kwargs["stdout"].fileno(), kwargs["stderr"].fileno())
            return await ForkedProcess.ask(Path(self.door), request, standard)
        finally:
            os.close(nothing)

    @property
    def has_process(self) -> bool:
        """Whether there is a process that `wait` has not seen the end of."""
        return self.forked is not None or super().has_process

    async def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return await super().poll() if self.forked is None else self.forked.returncode

    async def wait(self) -> int | None:
        """Its exit status, as soon as there is one."""
        if self.forked is None:
            return await super().wait()
        status = await self.forked.wait()
        await self._let_go()
        return status

    async def send_signal(self, signum: int) -> None:
        """Signal the kernel's process group, or the kernel while it has none yet."""
        if self.forked is None:
            await super().send_signal(signum)
        elif self.forked.returncode is None:
            self.forked.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """Kill the kernel's process group."""
        if self.forked is None:
            await super().kill(restart)
        else:
            await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel's process group to end."""
        if self.forked is None:
            await super().terminate(restart)
        else:
            await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of the kernel: what is left of it is killed."""
        await super().cleanup(restart)
        await self._let_go()

    async def _let_go(self) -> None:
        if self.forked is not None:
            await self.forked.close()
            self.forked = None
