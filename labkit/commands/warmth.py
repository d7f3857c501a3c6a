"""What `labkit run` and `labkit prove` start first, while they are still imported themselves."""

from __future__ import annotations

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
