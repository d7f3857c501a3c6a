"""The Redis half of a lease: a user whose ACL allows the names of one prefix alone.

The owner of a lease is subscribed to a channel of the lease's own, for as long as it lives; the
subscription ends with its connection, however that ends, and anyone may ask for it. The markers
stand in one hash that no leased user may touch. Each is written after the subscription and before
the user is made, and removed last.

An ACL cannot hide names: SCAN and RANDOMKEY show those of others, and PUBSUB CHANNELS theirs.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from redis import exceptions

from labkit.services.connect import REDIS_FAMILIES, RedisConnection, translated
from labkit.services.markers import KIND, Marker, name_of, read_marker
from labkit.services.urls import RedisUrl

MARKERS: Final = "labkit-leases"
"""The hash that holds the markers, by the leases' ids."""

SHARED_USER: Final = (
    "this Redis server does not let the lab make users: the lease is kept apart by the prefix of"
    " its names alone, and nothing but the platform's own care keeps it there"
)
"""The note on a lease without an ACL of its own."""

VISIBLE_NAMES: Final = "an ACL of Redis bounds values, not names: SCAN shows those of others too"
"""The note on a lease with one."""

# Everything that works inside the prefix, and nothing that reaches beyond it. INFO is harmless,
# and clients ask for it; functions and the script cache are shared by all.
_RIGHTS: Final = (
    "+@all",
    "-@admin",
    "-@dangerous",
    "+info",
    "-function",
    "-script|flush",
    "-script|kill",
    "-script|debug",
)


_GLOB: Final = re.compile(r"[\\*?\[\]]")
_LITERALLY: Final = r"\\\g<0>"


@dataclass(frozen=True)
class RedisLease:
    """How to log in to a leased namespace, and what to know of it."""

    url: RedisUrl
    prefix: str
    notes: tuple[str, ...]


def prefix_of(lease_id: str) -> str:
    """What the names of the lease's keys and channels begin with; it holds no glob."""
    return f"labkit:{lease_id}:"


async def hold_redis_lease(connection: RedisConnection, lease_id: str) -> None:
    """Mark the lease as alive for as long as the connection lives; it can do nothing else then."""
    with translated(REDIS_FAMILIES, "subscribe to the channel of a lease"):
        await connection.command("SUBSCRIBE", _channel_of(lease_id))


async def make_redis_lease(connection: RedisConnection, url: RedisUrl, lease_id: str) -> RedisLease:
    """Make the lease `lease_id`, which must be held already, on the server at `url`.

    Where it fails half-way, `remove_redis_lease` clears up. Errors come through as redis-py's own.
    """
    marker = Marker(KIND, lease_id, str(url.database), time.time())
    await connection.command("HSET", MARKERS, lease_id, marker.to_json())
    password = secrets.token_urlsafe(24)
    try:
        await connection.command(*bounded_user(name_of(lease_id), password, prefix_of(lease_id)))
    except exceptions.ResponseError as error:
        if not is_forbidden(error):
            raise
        return RedisLease(url, prefix_of(lease_id), (SHARED_USER,))
    login = url.login(name_of(lease_id), password)
    return RedisLease(login, prefix_of(lease_id), (VISIBLE_NAMES,))


def bounded_user(name: str, password: str, prefix: str) -> tuple[str, ...]:
    """The command that makes a user for whom only names with this prefix exist.

    The prefix is meant letter by letter. The server refuses one with a space or a null character.
    """
    # The password's hash, so that no log shows it plain.
    digest = hashlib.sha256(password.encode()).hexdigest()
    names = f"{_GLOB.sub(_LITERALLY, prefix)}*"
    bounds = ("resetkeys", f"~{names}", "resetchannels", f"&{names}")
    return ("ACL", "SETUSER", name, "reset", "on", f"#{digest}", *bounds, *_RIGHTS)


def is_forbidden(error: exceptions.RedisError) -> bool:
    """Whether the server knows or permits no such command, rather than objects to its content."""
    unknown = ("unknown command", "unknown subcommand")
    return isinstance(error, exceptions.NoPermissionError) or str(error).startswith(unknown)


async def marked_redis_leases(connection: RedisConnection, database: int) -> list[str]:
    """The ids of the leases whose marker is held in this database."""
    flat = await connection.command("HGETALL", MARKERS)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    found = [read_marker(text, lease_id=key, held_in=str(database)) for key, text in pairs]
    return sorted(marker.id for marker in found if marker is not None)


async def is_held(connection: RedisConnection, lease_id: str) -> bool:
    """Whether the lease's owner lives."""
    _, subscribers = await connection.command("PUBSUB", "NUMSUB", _channel_of(lease_id))
    return bool(subscribers)


async def remove_redis_lease(connection: RedisConnection, lease_id: str, database: int) -> bool:
    """Remove the lease's user with its connections, its keys in every database, and its marker.

    Whether this call was the one that removed the marker: several may try at once. A lease without
    a marker is left as it is.
    """
    if not await connection.command("HEXISTS", MARKERS, lease_id):
        return False
    try:
        await connection.command("ACL", "DELUSER", name_of(lease_id))
    except exceptions.ResponseError as error:
        if not is_forbidden(error):
            raise
    await _remove_keys(connection, prefix_of(lease_id))
    await connection.command("SELECT", database)
    return bool(await connection.command("HDEL", MARKERS, lease_id))


async def _remove_keys(connection: RedisConnection, prefix: str) -> None:
    for database in await _used_databases(connection):
        await connection.command("SELECT", database)
        async for names in _scan(connection, f"{prefix}*"):
            # A Redis pattern matches bytes: what it gives begins with the prefix.
            await connection.command("UNLINK", *names)


async def _used_databases(connection: RedisConnection) -> list[int]:
    """The databases that hold anything: a user of ours may have gone to each of them."""
    text = await connection.command("INFO", "keyspace")
    lines = [line.partition(":")[0] for line in text.splitlines() if line.startswith("db")]
    return [int(line.removeprefix("db")) for line in lines]


async def _scan(connection: RedisConnection, pattern: str) -> AsyncIterator[list[str]]:
    cursor = "0"
    while True:
        cursor, names = await connection.command("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        if names:
            yield names
        if cursor == "0":
            return


def _channel_of(lease_id: str) -> str:
    # Outside the lease's own prefix, so that its user cannot keep it alive.
    return f"labkit-owner:{lease_id}"
