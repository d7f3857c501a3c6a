"""Titles come from the cache where it has them, and from the database alone without Redis."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import pytest

from labkit.errors import Denied, LabError
from labkit.faults.detours import redis_detour
from labkit.faults.proxy import TcpProxy
from labkit.reference import Platform
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.cache.titles import Titles
from labkit.reference.data.store import Store
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, new_user


@dataclass(frozen=True)
class Shelf:
    """A platform's titles and its data, and the way to its Redis."""

    data: Store
    titles: Titles
    proxy: TcpProxy


@asynccontextmanager
async def shelf(lease: Lease) -> AsyncIterator[Shelf]:
    """An open platform, whose Redis can be taken away."""
    async with (
        redis_detour(lease.redis_url, random=Random(1)) as detour,
        Platform(replace(lease, redis_url=detour.url)) as target,
    ):
        yield Shelf(target.data, target.cache._titles, detour.proxy)


async def read(on: Shelf, user: str, thread: str) -> tuple[str, bool]:
    """A title, and whether it was a hit."""
    reading = await on.titles.read(user, thread)
    return reading.value.title, reading.is_hit


@asynchronous
async def test_a_title_is_read_from_the_database_once(installed: Lease) -> None:
    """Then from the cache, until it is changed; its version is higher then."""
    async with shelf(installed) as on:
        user = await new_user(on.data)
        thread = await on.data.create_thread(user, "old")
        assert [await read(on, user, thread) for _ in range(2)] == [("old", False), ("old", True)]
        before = (await on.titles.read(user, thread)).value.version
        await on.data.rename_thread(user, thread, "new")
        assert [await read(on, user, thread) for _ in range(2)] == [("new", False), ("new", True)]
        assert (await on.titles.read(user, thread)).value.version == before + 1


@asynchronous
async def test_titles_of_others_are_denied(installed: Lease) -> None:
    """Whether or not the owner has it in the cache, in the same words as one that never was."""
    async with shelf(installed) as on:
        owner, user = await new_user(on.data), await new_user(on.data)
        thread = await on.data.create_thread(owner, "private")
        for _ in range(2):
            with pytest.raises(Denied, match=f"user '{user}' has no thread '{thread}'"):
                await on.titles.read(user, thread)
            await on.titles.read(owner, thread)
        with pytest.raises(Denied, match="has no thread 'never'"):
            await on.titles.read(user, "never")
        for impossible in ("nul\0", "half \ud800"):
            with pytest.raises(LabError):
                await on.titles.read(user, impossible)


@asynchronous
async def test_a_title_below_what_is_asked_for_is_thrown_away(installed: Lease) -> None:
    """It comes from the database, and the next reader fills the cache anew."""
    async with shelf(installed) as on:
        user = await new_user(on.data)
        thread = await on.data.create_thread(user, "kept")
        version = (await on.titles.read(user, thread)).value.version
        assert (await on.titles.read(user, thread, at_least=version)).is_hit
        assert not (await on.titles.read(user, thread, at_least=version + 1)).is_hit
        assert [await read(on, user, thread) for _ in range(2)] == [("kept", False), ("kept", True)]


@asynchronous
async def test_without_redis_titles_are_read_nevertheless(
    installed: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """Each outage is logged once, and so is its end; then the cache works as before."""
    caplog.set_level(logging.INFO, logger="labkit.reference.cache")
    async with shelf(installed) as on:
        user = await new_user(on.data)
        thread = await on.data.create_thread(user, "mine")
        for _ in range(2):
            await read(on, user, thread)
            await on.proxy.down()
            assert [await read(on, user, thread) for _ in range(3)] == [("mine", False)] * 3
            await on.proxy.up()
            assert await read(on, user, thread) == ("mine", True)
    told = [record.levelname for record in caplog.records]
    assert told == ["WARNING", "INFO"] * 2


@pytest.mark.parametrize(
    "kept",
    [
        {"title": b"\xff\xfe", "version": b"1"},
        {"title": b"no version"},
        {"title": b"malformed", "version": b"abc"},
        {"title": b"malformed", "version": b""},
    ],
)
@asynchronous
async def test_what_is_kept_and_is_no_title_is_passed_by(
    installed: Lease, kept: dict[str, bytes]
) -> None:
    """The database has it; what somebody else put there is gone with the next change."""
    async with shelf(installed) as on, aclosing(redis_client(installed.redis_url)) as redis:
        user = await new_user(on.data)
        thread = await on.data.create_thread(user, "mine")
        key = KeySpace(installed.redis_prefix).named(user, Kind.TITLES, thread)
        await redis.hset(key, mapping=kept)  # type: ignore[arg-type]
        assert [await read(on, user, thread) for _ in range(2)] == [("mine", False)] * 2
        await on.data.rename_thread(user, thread, "new")
        assert [await read(on, user, thread) for _ in range(2)] == [("new", False), ("new", True)]


@asynchronous
async def test_all_titles_of_a_user_are_forgotten(installed: Lease) -> None:
    """And nobody else's."""
    async with shelf(installed) as on:
        users = [await new_user(on.data) for _ in range(2)]
        threads = [await on.data.create_thread(user, "mine") for user in users]
        for user, thread in zip(users, threads, strict=True):
            await read(on, user, thread)
        assert await on.titles.forget_all(users[0]) == 1
        assert await read(on, users[0], threads[0]) == ("mine", False)
        assert await read(on, users[1], threads[1]) == ("mine", True)
