"""Kernels for a batch: the running interpreter's own, spoken to over private sockets.

IPC sockets cannot collide as ports do, and nobody else can connect to them: they lie in a folder of
mode 0700. A kernel ends by itself when the process that started it is gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from labkit.batch import provisioner
from labkit.warm.programs import launcher

_COLD: Final = "labkit.batch.kernel_process"


@dataclass(frozen=True)
class KernelPlace:
    """Where and how a notebook's kernel is started."""

    folder: Path
    """A private folder, of mode 0700 and with a short path, for its sockets."""
    environment: Mapping[str, str]
    """The whole environment of its process."""
    working_folder: Path
    warm: Path | None = None
    """Where a warm process listens that makes the kernel; without, it starts cold."""


class _RunningInterpreter(KernelSpecManager):
    """Whatever a notebook calls its kernel, it is the interpreter that labkit is installed in."""

    def __init__(self, place: KernelPlace) -> None:
        super().__init__()
        self._place = place

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        module = launcher(_COLD, self._place.environment)
        argv = [sys.executable, *module, str(os.getpid()), "-f", "{connection_file}"]
        spec = KernelSpec(argv=argv, display_name=kernel_name, language="python")
        if self._place.warm is not None:
            door = {"door": str(self._place.warm)}
            chosen = {"provisioner_name": provisioner.NAME, "config": door}
            spec.metadata = {"kernel_provisioner": chosen}
        return spec


def kernel_manager(place: KernelPlace) -> AsyncKernelManager:
    """A manager for one kernel at the place, not yet started."""
    options: dict[str, Any] = {
        "transport": "ipc",
        "ip": str(place.folder / "k"),
        "connection_file": str(place.folder / "connection.json"),
        "kernel_spec_manager": _RunningInterpreter(place),
    }
    return AsyncKernelManager(**options)
