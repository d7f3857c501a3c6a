"""The database itself keeps users apart, whatever SQL runs under the platform's role."""

import asyncpg
import pytest

from labkit.reference import Platform
from labkit.reference.data.store import Store
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous, new_user, opened, witness

ROWS = {
    "users": "select id from users",
    "threads": "select user_id from threads",
    "messages": "select user_id from messages",
    "executions": "select user_id from executions",
    "accounts": "select user_id from accounts",
}


async def furnished(data: Store) -> tuple[str, str]:
    """A user with a row in every table, and the id of its thread."""
    user = await new_user(data)
    thread = await data.create_thread(user, "private")
    await data.add_message(user, thread, "hello")
    await data.start_execution(user, thread)
    await data.open_account(user, "main", 10)
    return user, thread


@asynchronous
async def test_policies_hide_rows_from_hand_written_sql(installed: Lease) -> None:
    """Each of two users sees exactly its own row in every table."""
    async with opened(installed) as data:
        first, _ = await furnished(data)
        second, _ = await furnished(data)
        for user in (first, second):
            async with data.transaction(user) as transaction:
                for table, sql in ROWS.items():
                    assert await transaction.fetch(sql) == [(user,)], table


@asynchronous
async def test_platform_without_a_user_sees_and_writes_nothing(installed: Lease) -> None:
    """A connection that has bound a user before, but does not now, finds every table empty."""
    async with opened(installed) as data:
        user, _ = await furnished(data)
    platform = await asyncpg.connect(installed.platform_url.reveal())
    try:
        async with platform.transaction():
            await platform.execute("select set_config('labkit.acting_user', $1, true)", user)
            assert await platform.fetch(ROWS["threads"])
        for sql in ROWS.values():
            assert await platform.fetch(sql) == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await platform.execute("insert into users (id) values ('nobody')")
    finally:
        await platform.close()


# $1 is the other user, $2 its thread, $3 who writes.
ACROSS = {
    "message as the other": (
        "insert into messages (id, user_id, thread_id, text) values ($3, $1, $2, '')",
        "42501",
    ),
    "message into its thread": (
        "insert into messages (id, user_id, thread_id, text) values ($1, $3, $2, '')",
        "23503",
    ),
    "execution as the other": (
        "insert into executions (id, user_id, thread_id) values ($3, $1, $2)",
        "42501",
    ),
    "execution on its thread": (
        "insert into executions (id, user_id, thread_id) values ($1, $3, $2)",
        "23503",
    ),
    "thread handed over": (
        "update threads set user_id = $1 where user_id = $3 and id <> $2",
        "42501",
    ),
    "account handed over": (
        "update accounts set user_id = $1 where user_id = $3 and id <> $2",
        "42501",
    ),
    "somebody else registered": ("insert into users (id) values ($1 || $2 || $3)", "42501"),
}


@pytest.mark.parametrize(("statement", "state"), ACROSS.values(), ids=ACROSS)
@asynchronous
async def test_writing_across_users_is_refused(
    installed: Lease, statement: str, state: str
) -> None:
    """Rows for another, into another's thread or handed to another: refused by the database."""
    async with opened(installed) as data:
        other, thread = await furnished(data)
        user, _ = await furnished(data)
        with pytest.raises(asyncpg.PostgresError) as caught:
            async with data.transaction(user) as transaction:
                await transaction.execute(statement, other, thread, user)
        assert caught.value.sqlstate == state


@asynchronous
async def test_changing_another_users_rows_touches_none(installed: Lease) -> None:
    """Update and delete by known id find no row, and the owner of the tables sees it unchanged."""
    async with opened(installed) as data, witness(installed) as owner:
        _, thread = await furnished(data)
        user, _ = await furnished(data)
        async with data.transaction(user) as transaction:
            update = "update threads set title = 'stolen' where id = $1"
            assert await transaction.execute(update, thread) == 0
            assert await transaction.execute("delete from threads where id = $1", thread) == 0
        title = await owner.fetchval("select title from threads where id = $1", thread)
        assert title == "private"


@asynchronous
async def test_every_change_of_a_thread_counts(installed: Lease) -> None:
    """Its version goes up by one, whoever changes what, also one who would set it back."""
    async with opened(installed) as data, witness(installed) as owner:
        user, thread = await furnished(data)
        other = await data.create_thread(user, "other")
        await data.rename_thread(user, thread, "second")
        async with data.transaction(user) as transaction:
            update = "update threads set title = 'third', version = 1 where id = $1"
            await transaction.execute(update, thread)
        await owner.execute("update threads set title = 'fourth' where id = $1", thread)
        rows = await owner.fetch("select id, version from threads where user_id = $1", user)
    assert {row["id"]: row["version"] for row in rows} == {thread: 4, other: 1}


@asynchronous
async def test_platform_role_owns_nothing_and_passes_no_policy(installed: Lease) -> None:
    """The role under which the platform logs in is one that row-level security binds."""
    async with witness(installed) as owner:
        role = await owner.fetchrow(
            "select rolsuper, rolbypassrls, "
            "(select count(*) from pg_class where relowner = pg_roles.oid) "
            "from pg_roles where rolname = $1",
            installed.platform_role,
        )
        unprotected = await owner.fetch(
            "select relname from pg_class "
            "where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity"
        )
    assert role is not None
    assert tuple(role) == (False, False, 0)
    assert unprotected == []


@asynchronous
async def test_install_twice_keeps_what_is_there(installed: Lease) -> None:
    """A second install changes nothing and loses no row."""
    async with opened(installed) as data:
        user, thread = await furnished(data)
        await Platform.install(installed)
        assert [view.id for view in await data.threads(user)] == [thread]


@asynchronous
async def test_install_leaves_a_copy_of_an_installed_database_alone(copied: Lease) -> None:
    """In a copy the tables are another owner's; install finds them, and the platform works."""
    await Platform.install(copied)
    async with opened(copied) as data:
        user, thread = await furnished(data)
        assert [view.id for view in await data.threads(user)] == [thread]
