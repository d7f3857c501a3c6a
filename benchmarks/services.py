"""How long servers and leases take: the first time on a machine, afterwards, and each time."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.results import Series
from labkit.services.embedded import embedded_services
from labkit.services.endpoints import Services
from labkit.services.leases import LeaseHolder
from labkit.targets.loading import load_target

COLD: Final = "both servers until they answer, the first time on a machine"
WARM: Final = "both servers until they answer, afterwards"
LEASE: Final = "a lease, its database empty"
COPY: Final = "a lease, its database a copy with the reference platform's schema"
BACK: Final = "that lease given back"

_TARGET: Final = "labkit.reference:Platform"


class _Clock:
    """Collects how long blocks took, by their names."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self._seconds[name].append(time.perf_counter() - began_s)

    def series(self) -> tuple[Series, ...]:
        return tuple(Series(name, tuple(seconds)) for name, seconds in self._seconds.items())


async def time_services(*, times: int, environment: Mapping[str, str]) -> tuple[Series, ...]:
    """Start servers with an empty cache and with a filled one, and take leases, so many times."""
    clock = _Clock()
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="labkit-benchmark-") as cache:
            for name in (COLD, WARM):
                async with AsyncExitStack() as stack:
                    starting = embedded_services(Path(cache), environment=environment)
                    with clock.timing(name):
                        services = await stack.enter_async_context(starting)
                    if name == WARM:
                        await _time_leases(clock, services)
    return clock.series()


async def _time_leases(clock: _Clock, services: Services) -> None:
    async with LeaseHolder(services) as holder:
        template = await holder.take()
        await load_target(_TARGET).install(template)
        with clock.timing(LEASE):
            await holder.take()
        with clock.timing(COPY):
            copy = await holder.take(template=template)
        with clock.timing(BACK):
            await holder.give_back(copy)
