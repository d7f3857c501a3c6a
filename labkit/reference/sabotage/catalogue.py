"""All sabotages of the reference platform, in the order of the areas."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from labkit.reference.sabotage import (
    agents,
    cache,
    configuration,
    contexts,
    data,
    notifications,
    routing,
    schema,
    titles,
)
from labkit.reference.sabotage.downstream import DOWNSTREAM
from labkit.sabotage import Sabotage

_OF_EACH_AREA: Final = (
    *agents.SABOTAGES,
    *notifications.SABOTAGES,
    *contexts.SABOTAGES,
    *data.SABOTAGES,
    *schema.SABOTAGES,
    *cache.SABOTAGES,
    *titles.SABOTAGES,
    *configuration.SABOTAGES,
    *routing.SABOTAGES,
)

SABOTAGES: Final[tuple[Sabotage, ...]] = tuple(
    replace(one, may=(*one.may, *DOWNSTREAM.get(one.name, ()))) for one in _OF_EACH_AREA
)
