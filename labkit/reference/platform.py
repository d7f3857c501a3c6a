"""The reference platform as a target: assembled from parts, each of which can be replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import ClassVar, Final, Self

from labkit.reference.pool import Pool
from labkit.reference.schema import Schema
from labkit.reference.store import Store
from labkit.reference.transactions import UserTransaction
from labkit.services.endpoints import Lease
from labkit.targets.protocols import Capability, Tables

_NOTHING: Final[Mapping[Capability, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Parts:
    """What a platform is made of; another one is made by replacing a part with a subclass."""

    schema: type[Schema] = Schema
    pool: type[Pool] = Pool
    transactions: type[UserTransaction] = UserTransaction
    store: type[Store] = Store


@dataclass(frozen=True)
class Assembly:
    """The parts, put together for one lease."""

    pool: Pool
    store: Store


def assemble(lease: Lease, parts: Parts) -> Assembly:
    """Put the parts together; nothing is opened yet."""
    pool = parts.pool(lease.platform_url)
    return Assembly(pool, parts.store(pool, Random(lease.id), parts.transactions))


class Platform:
    """The reference platform on one lease: inside `async with` it is open."""

    name: ClassVar[str] = "reference"
    lacks: ClassVar[Mapping[Capability, str]] = _NOTHING
    tables: ClassVar[Tables] = Tables(
        users="users",
        threads="threads",
        messages="messages",
        executions="executions",
        accounts="accounts",
    )
    parts: ClassVar[Parts] = Parts()

    def __init__(self, lease: Lease) -> None:
        self._assembly = assemble(lease, self.parts)

    @classmethod
    async def install(cls, lease: Lease) -> None:
        """Make the platform's schema in the leased database, as its owner; harmless twice."""
        await cls.parts.schema().install(lease)

    @property
    def data(self) -> Store:
        """Area 4: transactions, threads, messages, executions and accounts."""
        return self._assembly.store

    async def __aenter__(self) -> Self:
        await self._assembly.pool.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._assembly.pool.close()
