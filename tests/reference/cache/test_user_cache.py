"""The platform's cache keeps texts and titles of one user together, and apart from all others."""

from __future__ import annotations

import pytest

from labkit.errors import Denied, Rejected
from labkit.reference import Platform
from labkit.services.endpoints import Lease
from labkit.witness import Witness
from tests.reference.stage import asynchronous, new_user

TTL_MS = 600_000


@asynchronous
async def test_whoever_renames_is_told_the_new_title(installed: Lease) -> None:
    """So is every other session; a deleted thread is told by none."""
    async with Platform(installed) as target, Platform(installed) as elsewhere:
        user = await new_user(target.data)
        thread = await target.data.create_thread(user, "0")
        async with target.cache.session(user) as here, elsewhere.cache.session(user) as there:
            for number in range(1, 6):
                writer = (target, elsewhere)[number % 2]
                await writer.data.rename_thread(user, thread, str(number))
                told = [await one.title(thread) for one in (here, there, here)]
                assert {one.title for one in told} == {str(number)}
                assert [one.is_hit for one in told] == [False, True, True]
            await elsewhere.data.delete_thread(user, thread)
            for session in (here, there):
                with pytest.raises(Denied, match="has no thread"):
                    await session.title(thread)


@asynchronous
async def test_forgetting_all_of_a_user_forgets_texts_and_titles(installed: Lease) -> None:
    """The witness finds no key of the user left, and those of another as before."""
    async with Platform(installed) as target, Witness(installed) as looking:
        users = [await new_user(target.data) for _ in range(2)]
        for user in users:
            thread = await target.data.create_thread(user, "mine")
            await target.cache.write(user, "profile", "x", ttl_ms=TTL_MS)
            async with target.cache.session(user) as session:
                await session.title(thread)
        assert await target.cache.invalidate_all(users[0]) == 2
        keys = await looking.keys()
        left = [sum(key.startswith(target.cache.prefix(user)) for key in keys) for user in users]
        assert left == [0, 2]
        async with target.cache.session(users[1]) as session:
            assert (await session.title(thread)).is_hit


@pytest.mark.parametrize("user", ["", "nul\0", "x" * 201])
@asynchronous
async def test_nobody_has_no_session(installed: Lease, user: str) -> None:
    """An id that no user can have is rejected, as everywhere in the platform."""
    async with Platform(installed) as target:
        with pytest.raises(Rejected, match="a user's id must be a text"):
            async with target.cache.session(user):
                pass
