"""The target once more on the same lease, its ways to PostgreSQL and Redis led through proxies.

What it sends and is sent can be held, delayed and cut there, apart from all other targets on the
lease: two that are open this way are two actors, whose turns can be interleaved at will.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

from labkit.faults.detours import postgres_detour, redis_detour
from labkit.faults.proxy import TcpProxy
from labkit.faults.turnstile import ServerName, Turnstile
from labkit.services.endpoints import Lease
from labkit.targets.protocols import Target


@dataclass(frozen=True)
class Detours:
    """Ways of one's own to both servers of a lease."""

    lease: Lease
    """The lease by these ways: `platform_url` and `redis_url` lead to the proxies."""
    postgres: TcpProxy
    redis: TcpProxy

    def turnstile(self) -> Turnstile:
        """A turnstile on both ways, to be armed by entering it; one at a time."""
        return Turnstile({ServerName.POSTGRES: self.postgres, ServerName.REDIS: self.redis})


@dataclass(frozen=True)
class Detoured(Detours):
    """A target whose ways these are, with the parts of the seam."""

    target: Target


@asynccontextmanager
async def detours(lease: Lease, *, random: Random) -> AsyncIterator[Detours]:
    """Ways to the lease's servers for the block; see `tcp_proxy` for `random` and errors.

    The owner's URL stays as it is, so that schema and witness do not come by the proxies.
    """
    async with (
        postgres_detour(lease.platform_url, random=random) as postgres,
        redis_detour(lease.redis_url, random=random) as redis,
    ):
        led = replace(lease, platform_url=postgres.url, redis_url=redis.url)
        yield Detours(led, postgres.proxy, redis.proxy)
