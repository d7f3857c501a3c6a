"""The PostgreSQL half of a lease: a database, the role that owns it, and one for the platform.

The owner of a lease holds an advisory lock in the maintenance database, and the owning role carries
the marker. The lock is taken before the roles are committed, and the roles are there before the
database: at whatever moment the owner is killed, all that is left is marked, and its lock is free.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncpg import exceptions

from labkit.services.connect import POSTGRES_FAMILIES, PostgresConnection, translated
from labkit.services.markers import (
    KIND,
    NAME_PATTERN,
    Marker,
    name_of,
    platform_name_of,
    read_marker,
)
from labkit.services.scram import scram_verifier
from labkit.services.urls import PostgresUrl

_MARKED_ROLES: Final = """
    SELECT rolname, shobj_description(oid, 'pg_authid'), current_database()
    FROM pg_roles
    WHERE rolname ~ $1 AND pg_has_role(current_user, oid, 'MEMBER')
"""


@dataclass(frozen=True)
class PostgresLease:
    """How to log in to a leased database, as its owner and as the platform."""

    owner: PostgresUrl
    platform: PostgresUrl


async def make_postgres_lease(
    connection: PostgresConnection, url: PostgresUrl, lease_id: str, *, template_id: str | None
) -> PostgresLease:
    """Make the lease `lease_id` on the server at `url`, where `connection` is logged in.

    The connection marks the lease as alive: it must live as long as the lease. Where it fails
    half-way, `remove_postgres_leases` clears up. A template's database must be free of sessions:
    the server waits for that for five seconds. Raises `ServiceUnavailable` or `LeaseError`.
    """
    with translated(POSTGRES_FAMILIES, f"make a lease on PostgreSQL at {url.address}"):
        owner = _random_login(url, lease_id, name_of(lease_id))
        platform = _random_login(url, lease_id, platform_name_of(lease_id))
        await connection.execute("SELECT pg_advisory_lock($1)", lock_key(lease_id))
        await _make_roles(connection, lease_id, template_id, owner=owner, platform=platform)
        await _make_database(connection, lease_id, template_id)
    return PostgresLease(owner, platform)


def lock_key(lease_id: str) -> int:
    """The number of the lease's advisory lock: 64 bits, signed."""
    digest = hashlib.sha256(f"labkit lease {lease_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


async def _make_roles(
    connection: PostgresConnection,
    lease_id: str,
    template_id: str | None,
    *,
    owner: PostgresUrl,
    platform: PostgresUrl,
) -> None:
    held_in = await connection.fetchval("SELECT current_database()")
    marker = Marker(KIND, lease_id, held_in, time.time()).to_json()
    owner_parent = "" if template_id is None else name_of(template_id)
    platform_parent = "" if template_id is None else platform_name_of(template_id)
    async with connection.transaction():
        await _make_role(connection, owner, member_of=owner_parent)
        await _make_role(connection, platform, member_of=platform_parent)
        # Without it, a user who is no superuser could neither give the database to its owner nor
        # end its sessions.
        await connection.execute(f"GRANT {owner.user}, {platform.user} TO CURRENT_USER")
        # The witness logs in as the owner, and must see what the platform's sessions are doing.
        await connection.execute(f"GRANT {platform.user} TO {owner.user}")
        await connection.execute(f"COMMENT ON ROLE {owner.user} IS {_literal(marker)}")


async def _make_role(connection: PostgresConnection, login: PostgresUrl, *, member_of: str) -> None:
    # As members of the template's roles they own, and may do, what those own and may do in the
    # copy. Membership does not make a superuser, nor does it lift row-level security.
    verifier = scram_verifier(login.password or "")
    await connection.execute(
        f"CREATE ROLE {login.user} LOGIN PASSWORD {_literal(verifier)}"
        " NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        + (f" IN ROLE {member_of}" if member_of else "")
    )


async def _make_database(
    connection: PostgresConnection, lease_id: str, template_id: str | None
) -> None:
    name, platform = name_of(lease_id), platform_name_of(lease_id)
    template = "template0" if template_id is None else name_of(template_id)
    await connection.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE {template}")
    await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    await connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {platform}")


async def seize_lock(connection: PostgresConnection, lease_id: str, *, patience_s: float) -> bool:
    """Whether the lease's owner is gone; its lock is then held by `connection`.

    A server process goes on with its statement after its client was killed, and holds the lock
    until it is done: `patience_s` is how long to wait for that.
    """
    if patience_s <= 0:
        return bool(
            await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock_key(lease_id))
        )
    await connection.execute(f"SET lock_timeout = {max(1, round(patience_s * 1000))}")
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", lock_key(lease_id))
    except exceptions.LockNotAvailableError:
        return False
    finally:
        await connection.execute("SET lock_timeout = 0")
    return True


async def marked_postgres_leases(connection: PostgresConnection) -> list[str]:
    """The ids of the leases whose marker is held in this connection's database."""
    rows = await connection.fetch(_MARKED_ROLES, NAME_PATTERN)
    found = [
        read_marker(marker, lease_id=role.removeprefix("labkit_"), held_in=database)
        for role, marker, database in rows
    ]
    return sorted(marker.id for marker in found if marker is not None)


async def remove_postgres_leases(
    connection: PostgresConnection, lease_ids: Sequence[str]
) -> list[str]:
    """Remove what is left of these leases, whose locks `connection` holds; return their ids.

    Only what is marked is removed: an id whose marker is gone is left out. So is one whose roles
    still own something, in the copy of a template for one; the marker stays with them.
    """
    marked = set(await marked_postgres_leases(connection))
    removing = [lease_id for lease_id in lease_ids if lease_id in marked]
    for lease_id in removing:
        await _remove_database(connection, lease_id)
    return [lease_id for lease_id in removing if await _remove_roles(connection, lease_id)]


async def _remove_database(connection: PostgresConnection, lease_id: str) -> None:
    name = name_of(lease_id)
    roles = [name, platform_name_of(lease_id)]
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1)", roles
    )
    owned = await connection.fetchval(
        "SELECT true FROM pg_database WHERE datname = $1 AND pg_get_userbyid(datdba) = $1", name
    )
    if owned:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _remove_roles(connection: PostgresConnection, lease_id: str) -> bool:
    try:
        await connection.execute(
            f"DROP ROLE IF EXISTS {platform_name_of(lease_id)}, {name_of(lease_id)}"
        )
    except exceptions.DependentObjectsStillExistError:
        return False
    return True


def _random_login(url: PostgresUrl, lease_id: str, user: str) -> PostgresUrl:
    return url.login(user, secrets.token_urlsafe(24), name_of(lease_id))


def _literal(text: str) -> str:
    """The text as a literal of SQL, for statements that take no arguments."""
    return "'" + text.replace("'", "''") + "'"
