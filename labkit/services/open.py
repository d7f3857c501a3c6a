"""The services of a run: given, else held by `labkit services up`, else the run's own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.errors import LabError, LeaseError
from labkit.services.embedded import embedded_postgres, embedded_redis, embedded_services
from labkit.services.endpoints import Origin, Server, Services
from labkit.services.given import given_postgres, given_redis
from labkit.services.hosts import allowed_hosts
from labkit.services.keeper import keep
from labkit.services.leftovers import remove_postgres_leftovers, remove_redis_leftovers, will_of
from labkit.services.probe import Probe, probe_postgres, probe_redis
from labkit.services.supervisor import shared_services
from labkit.services.urls import PostgresUrl, RedisUrl


@dataclass(frozen=True)
class Standing:
    """Where each server of a run will come from, and its URL if it stands already."""

    postgres: PostgresUrl | None
    postgres_origin: Origin
    redis: RedisUrl | None
    redis_origin: Origin


def standing_servers(
    environment: Mapping[str, str], *, cache: Path, allow_hosts: Iterable[str] = ()
) -> Standing:
    """Which servers a run would use; none is asked, and none is started.

    Raises `SettingError` for a malformed URL and `HostRefused` for a host that is neither near nor
    allowed by name, in `allow_hosts` or `LABKIT_ALLOW_HOST`.
    """
    allowed = allowed_hosts(environment, allow_hosts)
    postgres = given_postgres(environment, allowed=allowed)
    redis = given_redis(environment, allowed=allowed)
    origins = [Origin.GIVEN if url else Origin.EMBEDDED for url in (postgres, redis)]
    shared = None if postgres and redis else shared_services(cache)
    if shared and not postgres:
        postgres, origins[0] = PostgresUrl.parse(shared.postgres.url.reveal()), Origin.SHARED
    if shared and not redis:
        redis, origins[1] = RedisUrl.parse(shared.redis.url.reveal()), Origin.SHARED
    return Standing(postgres, origins[0], redis, origins[1])


@asynccontextmanager
async def open_services(
    environment: Mapping[str, str], *, cache: Path, allow_hosts: Iterable[str] = ()
) -> AsyncIterator[Services]:
    """The services of a run, for as long as the block runs, each from the first place that has it.

    Servers that stand already are checked first, and freed of what dead owners left. While the
    block runs, a keeper stands by to remove this process's own leases from them if it is killed.
    Raises what `standing_servers` raises; `ServiceUnavailable` when a server does not answer or
    start; `LeaseError` when one is too old, or its user lacks a right.
    """
    standing = standing_servers(environment, cache=cache, allow_hosts=allow_hosts)
    async with AsyncExitStack() as stack:
        postgres = redis = None
        if standing.postgres:
            postgres = _usable(await probe_postgres(standing.postgres, standing.postgres_origin))
        if standing.redis:
            redis = _usable(await probe_redis(standing.redis, standing.redis_origin))
        if postgres or redis:
            await _clear(standing)
            will = will_of(standing.postgres, standing.redis)
            await stack.enter_async_context(keep(will=will))
        yield await _completed(stack, postgres, redis, environment, cache)


def _usable(probe: Probe) -> Server:
    if probe.faults:
        raise LeaseError(f"the server at {probe.address} cannot be used: {'; '.join(probe.faults)}")
    version = replace(probe.server.version, notes=probe.notes)
    return replace(probe.server, version=version)


async def _clear(standing: Standing) -> None:
    """Remove leftovers and log which; one that cannot be removed does not stop the run."""
    log = logging.getLogger(__name__)
    try:
        removed: tuple[str, ...] = ()
        if standing.postgres:
            removed += await remove_postgres_leftovers(standing.postgres)
        if standing.redis:
            removed += await remove_redis_leftovers(standing.redis)
    except LabError as error:
        log.warning("leftovers of other runs stay: %s", error)
        return
    for leftover in removed:
        log.info("removed %s", leftover)


async def _completed(
    stack: AsyncExitStack,
    postgres: Server | None,
    redis: Server | None,
    environment: Mapping[str, str],
    cache: Path,
) -> Services:
    """The servers with those that are missing started."""
    if postgres is None and redis is None:
        return await stack.enter_async_context(embedded_services(cache, environment=environment))
    if postgres is None:
        start = embedded_postgres(cache, environment=environment)
        postgres = await stack.enter_async_context(start)
    if redis is None:
        redis = await stack.enter_async_context(embedded_redis(environment=environment))
    return Services(postgres, redis)
