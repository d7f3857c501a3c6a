"""What the rest of the lab knows of servers and leases: plain values, no connection.

URLs hold passwords, so they are `Secret` and print masked; `.reveal()` gives the text to a driver.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from labkit.records import ServiceVersion
from labkit.redaction import Secret, secrets_in


class Origin(enum.StrEnum):
    """Where a server came from, in the order in which the lab looks."""

    GIVEN = "given"
    """Its URL stands in the environment."""
    SHARED = "shared"
    """`labkit services up` holds it."""
    EMBEDDED = "embedded"
    """The run started it for itself."""


@dataclass(frozen=True)
class Server:
    """A server with the rights to make leases on it."""

    url: Secret
    version: ServiceVersion


@dataclass(frozen=True)
class Services:
    """The two servers that a run stands on."""

    postgres: Server
    redis: Server


@dataclass(frozen=True)
class Lease:
    """The private database and Redis namespace of one notebook run.

    `owner_url` logs in as the role that owns the database: the witness and the platform's schema
    use it. `platform_url` logs in as a role that owns nothing and is no superuser: the platform
    itself uses it, and row-level security binds it. `redis_url` logs in as a user whose ACL allows
    keys and channels that start with `redis_prefix` alone; where the server forbids `ACL SETUSER`
    it is the given user, and `notes` says so.
    """

    id: str
    """Lower-case letters and digits; also the database's and the roles' name after `labkit_`."""
    database: str
    owner_role: str
    platform_role: str
    owner_url: Secret
    platform_url: Secret
    redis_url: Secret
    redis_prefix: str
    """`labkit:<id>:`"""
    services: tuple[ServiceVersion, ...]
    notes: tuple[str, ...] = ()


def secrets_of(lease: Lease) -> tuple[Secret, ...]:
    """What must never be shown of a lease: its URLs, and the passwords in them."""
    urls = (lease.owner_url, lease.platform_url, lease.redis_url)
    named = {f"url {number}": url.reveal() for number, url in enumerate(urls)}
    return (*urls, *secrets_in(named))
