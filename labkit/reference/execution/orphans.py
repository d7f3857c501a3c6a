"""Who works on an execution, and how others see that its process is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Final

import asyncpg

from labkit.errors import ServiceUnavailable
from labkit.redaction import Secret
from labkit.reference.data.pool import FAILURES
from labkit.reference.data.transactions import UserTransaction

_KEY_BITS: Final = 62

_PATIENCE_S: Final = 10.0
"""How long to wait for the server to answer."""

_PAUSE_S: Final = 0.5
"""Between two tries to have a lost lock again."""

_log: Final = logging.getLogger(__name__)


class OwnerLock:
    """A key that is this process's own for as long as it lives, as an advisory lock.

    The lock hangs on a connection of its own, so the server frees it however the process ends,
    `kill -9` included. When only the connection is lost, the lock is taken again.
    """

    def __init__(self, url: Secret) -> None:
        self.key = secrets.randbits(_KEY_BITS)
        self._url = url
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take the lock; raises `ServiceUnavailable` when the server refuses."""
        try:
            connection = await self._take()
        except FAILURES as error:
            raise ServiceUnavailable(f"PostgreSQL refuses the owner's lock: {error}") from error
        self._keeping = asyncio.create_task(self._keep(connection), name="owner lock")

    async def close(self) -> None:
        """Give the lock back."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None

    async def _keep(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        while True:
            try:
                await _loss_of(connection)
            finally:
                await _end(connection)
            _log.warning("the connection that holds the owner's lock was lost; taking it again")
            connection = await self._take_again()

    async def _take_again(self) -> asyncpg.Connection[asyncpg.Record]:
        while True:
            await asyncio.sleep(_PAUSE_S)
            try:
                return await self._take()
            except FAILURES as error:
                _log.warning("the owner's lock cannot be had again yet: %s", error)

    async def _take(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await asyncpg.connect(
            self._url.reveal(), timeout=_PATIENCE_S, command_timeout=_PATIENCE_S
        )
        try:
            await connection.execute("select pg_advisory_lock($1)", self.key)
        except BaseException:
            connection.terminate()
            raise
        return connection


async def is_gone(transaction: UserTransaction, owner: int | None) -> bool:
    """Whether the process with this key has ended; nobody is always gone."""
    if owner is None:
        return True
    # Shared: others who ask for the same owner at this moment are not taken for it.
    [(is_free,)] = await transaction.fetch("select pg_try_advisory_xact_lock_shared($1)", owner)
    return bool(is_free)


async def _loss_of(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    if not connection.is_closed():
        await lost.wait()


async def _end(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    try:
        await connection.close(timeout=_PATIENCE_S)
    except FAILURES as error:
        _log.info("the connection of the owner's lock did not close: %s", error)
        connection.terminate()
