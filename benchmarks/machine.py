"""Where and on what the benchmarks run, without names of hosts or folders."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.results import Machine
from labkit.services.endpoints import Services

_PACKAGES: Final = (
    *("labkit", "papermill", "nbmake", "pytest", "pytest-xdist", "nbclient", "ipykernel"),
    *("jupyter-client", "matplotlib", "asyncpg", "redis", "websockets"),
)


def describe_machine(repository: Path, services: Services) -> Machine:
    """What it is like now; raises `CalledProcessError` where the folder is no clone."""
    servers = (services.postgres.version, services.redis.version)
    return Machine(
        date=datetime.now(UTC).date().isoformat(),
        commit=_git(repository, "rev-parse", "HEAD"),
        is_changed=bool(_git(repository, "status", "--porcelain")),
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
        versions=(
            *((name, importlib.metadata.version(name)) for name in _PACKAGES),
            *((server.product, server.version) for server in servers),
        ),
    )


def _git(repository: Path, *words: str) -> str:
    ran = subprocess.run(
        ["git", "-C", str(repository), *words],  # noqa: S607 - whichever git there is
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.stdout.strip()
