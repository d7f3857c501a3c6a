"""How `labkit run` and `labkit prove` begin: what they start first, and how they are imported."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.batch.environments import environment_without_services
from labkit.environment import IsolatedEnvironment
from labkit.project import nearest_project
from labkit.warm.owner import WarmProcess, warming_up


@contextmanager
def warmth(*, cold: bool) -> Iterator[WarmProcess | None]:
    """A process for kernels to be forked from, as long as the block runs; none if `cold`."""
    if cold:
        yield None
        return
    here = Path.cwd()
    project = nearest_project(here)
    variables = IsolatedEnvironment.of_process().as_mapping()
    with warming_up(
        environment=environment_without_services(variables),
        working_folder=project.root if project else here,
    ) as warm:
        yield warm


@contextmanager
def importing_much() -> Iterator[None]:
    """Import without garbage collections, which what was imported is spared afterwards too.

    It stays as long as the process. To look through all of it takes a twentieth of a second, by
    which whatever notebook begins just then would be held up.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
