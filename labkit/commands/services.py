"""`labkit services up|status|down`: servers held between runs, for interactive work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from labkit.commands.console import console
from labkit.environment import IsolatedEnvironment
from labkit.reports.texts import duration, moment
from labkit.services.given import POSTGRES_URL, REDIS_URL
from labkit.services.places import default_cache
from labkit.services.supervisor import Holding, down, status, up

_IS_DOWN: Final = 3


def bring_up(*, idle_s: float) -> int:
    """Start the shared services unless they are up, and tell what they are; 0.

    Raises `ServiceUnavailable` when they do not start.
    """
    variables, cache = _here()
    raised = up(cache, environment=variables, idle_s=idle_s)
    _print("started" if raised.started else "already up", *_facts(raised.holding))
    _print("notebooks, papermill and labkit run use them by themselves; nothing has to be set")
    given = [name for name in (POSTGRES_URL, REDIS_URL) if variables.get(name)]
    if given:
        _print(f"but a server that is given comes first: unset {' and '.join(given)} to use these")
    return 0


def show_status() -> int:
    """Tell whether the shared services are up; 0 if they are, else 3."""
    _, cache = _here()
    holding = status(cache)
    if holding is None:
        _print("down: start them with labkit services up")
        return _IS_DOWN
    _print("up", *_facts(holding), f"last used {moment(holding.used_at)}")
    return 0


def bring_down() -> int:
    """End the shared services and wait until they are gone; 0, also when there were none.

    Raises `InfrastructureError` when they do not end.
    """
    _, cache = _here()
    _print("ended" if down(cache) else "there was nothing to end: they are not up")
    return 0


def _here() -> tuple[Mapping[str, str], Path]:
    variables = IsolatedEnvironment.of_process().as_mapping()
    return variables, default_cache(variables)


def _print(*facts: str) -> None:
    console().print(" · ".join(facts), soft_wrap=True)


def _facts(holding: Holding) -> tuple[str, ...]:
    servers = (holding.services.postgres, holding.services.redis)
    return (
        *(f"{one.version.product} {one.version.version} ({one.version.origin})" for one in servers),
        f"process {holding.pid}",
        f"until labkit services down or {_span(holding.idle_s)} without use",
    )


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else duration(seconds)
