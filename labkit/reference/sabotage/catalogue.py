"""All sabotages of the reference platform, in the order of the areas."""

from __future__ import annotations

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
from labkit.sabotage import Sabotage

SABOTAGES: Final[tuple[Sabotage, ...]] = (
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
