"""A Redis of a check's own, on which the target runs, and who may log in is the check's to say.

On a server that is given to the lab it may not make users, and cannot see what belongs to others.
Here it is the administrator: each context can have a login that the server keeps in its namespace.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from labkit.redaction import Secret
from labkit.services.connect import redis_session
from labkit.services.embedded import embedded_redis
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.redis_leases import bounded_user
from labkit.services.urls import RedisUrl
from labkit.targets.protocols import Target, TargetFactory
from labkit.witness import Witness

KeepSecret = Callable[[tuple[Secret, ...]], None]


class OwnRedis:
    """The server, a lease on it as its administrator, and logins that the server bounds."""

    def __init__(self, lease: Lease, factory: TargetFactory, keep_secret: KeepSecret) -> None:
        self._factory = factory
        self._keep_secret = keep_secret
        self._numbers = itertools.count(1)
        self.lease = lease

    async def login(self, prefix: str) -> Lease:
        """The lease by a login of its own, to which only names with this prefix are open.

        Its rights are those of any leased user, so that the server refuses everything else with
        `NOPERM`. Raises `LeaseError` for a prefix that no user can be bound to: one with a space.
        """
        url = RedisUrl.parse(self.lease.redis_url.reveal())
        name, password = f"bounded{next(self._numbers)}", secrets.token_urlsafe(24)
        async with redis_session(url, doing=f"make a login for {prefix!r:.120}") as redis:
            await redis.command(*bounded_user(name, password, prefix))
        bounded = replace(self.lease, redis_url=url.login(name, password).secret)
        self._keep_secret(secrets_of(bounded))
        return bounded

    def target(self, lease: Lease | None = None) -> Target:
        """The target on this server, or by one of its logins, to be entered with `async with`."""
        return self._factory(lease or self.lease)

    def witness(self) -> Witness:
        """A witness of this server, to be entered with `async with`."""
        return Witness(self.lease)


@contextlib.asynccontextmanager
async def own_redis(
    lease: Lease,
    factory: TargetFactory,
    environment: Mapping[str, str],
    *,
    keep_secret: KeepSecret,
) -> AsyncIterator[OwnRedis]:
    """A server for the length of the block; PostgreSQL is that of `lease`.

    `keep_secret` is told each URL. Raises `ServiceUnavailable` where no server can be started.
    """
    async with embedded_redis(environment=environment) as server:
        own = replace(lease, redis_url=server.url)
        keep_secret(secrets_of(own))
        yield OwnRedis(own, factory, keep_secret)
