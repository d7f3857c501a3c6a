"""The platform's tables in a leased database, made by the database's owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Final

import asyncpg

from labkit.services.endpoints import Lease

_FOUND: Final = "select to_regclass('executions') is not null"
"""Whether the schema is there; it is made in one transaction, so one table stands for all."""

_GRANT: Final = """
    select format('grant select, insert, update, delete
                   on all tables in schema public to %I', $1::text)
"""
"""The rights of the platform's role, as a statement that the server itself has quoted."""


class Schema:
    """Tables, policies and rights of the platform."""

    async def install(self, lease: Lease) -> None:
        """Make everything at once, or nothing where it is already there.

        A database cloned from one that has the schema counts as installed: the lease's roles are
        members of those that made it.
        """
        async with self._owner(lease) as owner:
            if not await owner.fetchval(_FOUND):
                await owner.execute(files(__package__).joinpath("schema.sql").read_text("utf-8"))
                await owner.execute(await owner.fetchval(_GRANT, lease.platform_role))

    @asynccontextmanager
    async def _owner(self, lease: Lease) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """One transaction of the database's owner, alone among all that install."""
        owner = await asyncpg.connect(lease.owner_url.reveal(), timeout=10, command_timeout=30)
        try:
            async with owner.transaction():
                await owner.execute("select pg_advisory_xact_lock(hashtext('labkit schema'))")
                yield owner
        finally:
            await owner.close(timeout=5)
