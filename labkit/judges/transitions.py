"""The states of an execution, and which may follow which."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class ExecutionState(enum.StrEnum):
    """Where an execution is in its life."""

    CREATED = "created"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Whether no state may follow."""
        return not LEGAL[self]


LEGAL: Final[Mapping[ExecutionState, frozenset[ExecutionState]]] = MappingProxyType(
    {
        ExecutionState.CREATED: frozenset({ExecutionState.ACTIVE, ExecutionState.CANCELLED}),
        ExecutionState.ACTIVE: frozenset(
            {
                ExecutionState.SUSPENDED,
                ExecutionState.COMPLETED,
                ExecutionState.FAILED,
                ExecutionState.CANCELLED,
            }
        ),
        ExecutionState.SUSPENDED: frozenset(
            {ExecutionState.ACTIVE, ExecutionState.FAILED, ExecutionState.CANCELLED}
        ),
        ExecutionState.COMPLETED: frozenset(),
        ExecutionState.FAILED: frozenset(),
        ExecutionState.CANCELLED: frozenset(),
    }
)
"""The nine legal transitions; all others are illegal, the same state again too."""
