"""What the tests of the platform share: coroutines as tests, an open target, a witness."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec

import asyncpg

from labkit.ids import UserID
from labkit.reference import Platform
from labkit.reference.data.store import Store
from labkit.services.endpoints import Lease

_P = ParamSpec("_P")


def asynchronous(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """The coroutine as a test, for at most 60 s; what its event loop complains of fails it."""

    @functools.wraps(test)
    def run(*arguments: _P.args, **named: _P.kwargs) -> None:
        async def bounded() -> None:
            complaints: list[object] = []
            asyncio.get_running_loop().set_exception_handler(
                lambda _, what: complaints.append(what)
            )
            async with asyncio.timeout(60):
                await test(*arguments, **named)
            assert complaints == []

        asyncio.run(bounded())

    return run


@asynccontextmanager
async def opened(lease: Lease, platform: type[Platform] = Platform) -> AsyncIterator[Store]:
    """The data access of a platform that is open for the block."""
    async with platform(lease) as target:
        yield target.data


@asynccontextmanager
async def witness(lease: Lease) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the database's owner, whom no policy binds."""
    connection = await asyncpg.connect(lease.owner_url.reveal())
    try:
        yield connection
    finally:
        await connection.close()


async def new_user(data: Store) -> str:
    """A registered user of whom no other test knows."""
    user = UserID.new()
    await data.create_user(user)
    return user


async def new_accounts(data: Store, *balances: int) -> str:
    """A registered user with accounts `a`, `b` … of these balances."""
    user = await new_user(data)
    for name, balance in zip("abcdefgh", balances, strict=False):
        await data.open_account(user, name, balance)
    return user


async def doomed(data: Store, user: str) -> None:
    """A thread, a message and a user id that is taken, in one transaction."""
    async with data.transaction(user) as transaction:
        thread = await transaction.create_thread("lost")
        await transaction.add_message(thread, "lost")
        await transaction.create_user(user)


async def count(owner: asyncpg.Connection[asyncpg.Record], user: str) -> dict[str, int]:
    """How many rows the user has in each table."""
    row = await owner.fetchrow(
        "select (select count(*) from threads where user_id = $1) as threads,"
        " (select count(*) from messages where user_id = $1) as messages,"
        " (select count(*) from executions where user_id = $1) as executions",
        user,
    )
    assert row is not None
    return dict(row)
