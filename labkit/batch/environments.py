"""The environments of what a run starts: of the services' they have a lease, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from labkit.services import handover
from labkit.services.given import POSTGRES_URL, REDIS_URL

_NOT_FOR_KERNELS: Final = frozenset({POSTGRES_URL, REDIS_URL})
"""A kernel is given its lease and nothing beyond it."""

_QUIET: Final[Mapping[str, str]] = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
"""Without it the debugger warns on stderr about every frozen module."""


def kernel_environment(base: Mapping[str, str], handover_file: Path | None) -> dict[str, str]:
    """The environment for a kernel: the base, with its lease's file in place of services' URLs.

    Without a lease the kernel takes one itself, and is left the URLs.
    """
    if handover_file is None:
        return {**_QUIET, **base}
    return {**environment_without_services(base), handover.VARIABLE: str(handover_file)}


def environment_without_services(base: Mapping[str, str]) -> dict[str, str]:
    """The environment for what needs neither a lease nor services."""
    kept = {name: value for name, value in base.items() if name not in _NOT_FOR_KERNELS}
    return {**_QUIET, **kept}
