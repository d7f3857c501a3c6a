"""Where and on what the benchmarks run, without names of hosts or folders."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.results import Machine
from labkit.errors import UsageError
from labkit.services.endpoints import Services


def describe_machine(repository: Path, services: Services, packages: Iterable[str]) -> Machine:
    """What it is like now, with the versions of these packages.

    Raises `UsageError` where one of them is missing, and `CalledProcessError` where the folder is
    no clone.
    """
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
            *((name, _version(name)) for name in packages),
            *((server.product, server.version) for server in servers),
        ),
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        text = f"{package} is not installed here; install requirements-benchmarks.txt first"
        raise UsageError(text) from error


def _git(repository: Path, *words: str) -> str:
    ran = subprocess.run(
        ["git", "-C", str(repository), *words],  # noqa: S607 - whichever git there is
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.stdout.strip()
