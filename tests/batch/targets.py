"""Targets that cannot do what they are asked for, each in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar, NoReturn

from labkit.reference.platform import Platform
from labkit.services.endpoints import Lease
from labkit.targets.protocols import Capability


class Lacking(Platform):
    """Says that it has no data access, and why."""

    lacks: ClassVar[Mapping[Capability, str]] = {Capability.DATA: "it has no database yet"}


class Lying(Platform):
    """Says that it lacks nothing, and has no data access."""

    @property
    def data(self) -> NoReturn:
        """Not there."""
        raise NotImplementedError


class Uninstallable(Platform):
    """Cannot make its schema."""

    @classmethod
    async def install(cls, lease: Lease) -> None:
        """Raises."""
        raise ZeroDivisionError(lease.id)


class Endless(Platform):
    """Never gets its schema done."""

    @classmethod
    async def install(cls, lease: Lease) -> None:
        """Waits for nothing."""
        await asyncio.Event().wait()
        await super().install(lease)


class Cancelling(Platform):
    """Lets a cancellation out that nobody asked for."""

    @classmethod
    async def install(cls, lease: Lease) -> None:
        """Raises."""
        raise asyncio.CancelledError(lease.id)


class Leaving(Platform):
    """Takes itself for a program."""

    @classmethod
    async def install(cls, lease: Lease) -> None:
        """Raises."""
        raise SystemExit(lease.id)
