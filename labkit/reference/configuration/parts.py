"""What the configuration of a platform is made of; each part can be replaced."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from labkit.errors import TargetError
from labkit.reference.clock import Clock, SteadyClock
from labkit.reference.configuration.fleet import Fleet
from labkit.reference.configuration.loading import Loader
from labkit.reference.configuration.overrides import OverrideStore
from labkit.reference.configuration.watch import Watch


@dataclass(frozen=True)
class ConfigurationParts:
    """The classes, in the services' processes and beside them."""

    loader: type[Loader] = Loader
    overrides: type[OverrideStore] = OverrideStore
    watch: type[Watch] = Watch
    fleet: type[Fleet] = Fleet
    clock: type[Clock] = SteadyClock


PROCESSES: Final[Mapping[str, int]] = MappingProxyType({"backend": 2, "auth": 1, "analytics": 1})
"""How many processes each service has."""


def parts_named(name: str) -> ConfigurationParts:
    """What `package.module:Name` stands for; raises `TargetError` when these are no such parts."""
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TargetError(f"the parts {name!r} cannot be loaded: {error}") from error
    made = found() if isinstance(found, type) else found
    if not isinstance(made, ConfigurationParts):
        raise TargetError(f"{name!r} is no ConfigurationParts, but {type(made).__name__}")
    return made
