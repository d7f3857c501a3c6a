"""The way to PostgreSQL or Redis, led through a proxy: the same login, at another address.

::

    async with postgres_detour(lease.platform_url, random=lab.random) as detour:
        connection = await asyncpg.connect(detour.url.reveal())
        reply = detour.proxy.hold(Direction.DOWNSTREAM, when=b"COMMIT")

Gates read what flows, so it must not be encrypted: PostgreSQL is asked for TLS only where the URL
does, and then, as with `rediss://`, no pattern is found and a gate's verdict is unknown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from labkit.errors import UsageError
from labkit.faults.proxy import TcpProxy, tcp_proxy
from labkit.redaction import Secret
from labkit.services.urls import Host, PostgresUrl, RedisUrl

_POSTGRES_PORT: Final = 5432
_REDIS_PORT: Final = 6379


@dataclass(frozen=True)
class Detour:
    """A proxy, and the URL of the server behind it."""

    proxy: TcpProxy
    url: Secret


@asynccontextmanager
async def postgres_detour(url: Secret, *, random: Random) -> AsyncIterator[Detour]:
    """The PostgreSQL server of a URL through a proxy, for the block.

    Raises `UsageError` unless the URL names one host, by address or as the folder of a unix
    socket; see `tcp_proxy` for more.
    """
    parts = PostgresUrl.parse(url.reveal())
    if len(parts.hosts) != 1:
        raise UsageError(f"a detour needs one host, and the URL names {len(parts.hosts)}")
    host = parts.hosts[0]
    port = host.port or _POSTGRES_PORT
    path_or_name = f"{host.name}/.s.PGSQL.{port}" if host.is_socket else host.name
    async with tcp_proxy(path_or_name, None if host.is_socket else port, random=random) as proxy:
        there = replace(parts, hosts=(_address(proxy),), options=_without_tls(parts, host))
        yield Detour(proxy, there.secret)


@asynccontextmanager
async def redis_detour(url: Secret, *, random: Random) -> AsyncIterator[Detour]:
    """The Redis server of a URL through a proxy, for the block; see `tcp_proxy` for errors."""
    parts = RedisUrl.parse(url.reveal())
    port = None if parts.host.is_socket else parts.host.port or _REDIS_PORT
    async with tcp_proxy(parts.host.name, port, random=random) as proxy:
        yield Detour(proxy, replace(parts, host=_address(proxy)).secret)


def _address(proxy: TcpProxy) -> Host:
    return Host(proxy.host, proxy.port)


def _without_tls(parts: PostgresUrl, host: Host) -> tuple[tuple[str, str], ...]:
    """The options of a URL, with TLS off unless it is asked for; a unix socket has none."""
    modes = [value for name, value in parts.options if name == "sslmode"]
    if modes and not host.is_socket:
        return parts.options
    others = (option for option in parts.options if option[0] != "sslmode")
    return (*others, ("sslmode", "disable"))
