"""A context is a frozen value of one user's, and good for nothing once its session is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

from labkit.errors import Denied, Rejected
from labkit.ids import UserID
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.cache.texts import UserTexts
from labkit.reference.contexts.session_contexts import SessionContext, SessionContexts, Work
from labkit.reference.contexts.sessions import Sessions
from labkit.reference.data.history import History
from labkit.reference.data.store import Store
from labkit.reference.execution.executions import Executions
from labkit.services.endpoints import Lease
from labkit.targets.pipeline import ExecutionState
from labkit.witness import Witness
from tests.reference.stage import asynchronous, new_user, opened, witness

TTL_MS = 600_000


@dataclass
class Suspending:
    """Runs each message to where a run is suspended, by the states of executions alone."""

    executions: Executions

    async def submit(self, user: str, thread: str, _text: str) -> str:
        """A suspended run on the thread."""
        run = await self.executions.create(user, thread)
        await self.executions.move(user, run, ExecutionState.ACTIVE)
        await self.executions.move(user, run, ExecutionState.SUSPENDED)
        return run

    async def go_on(self, user: str, run: str) -> None:
        """Make it active again."""
        await self.executions.move(user, run, ExecutionState.ACTIVE)


@dataclass(frozen=True)
class Stage:
    """The platform's contexts, and what they stand on."""

    data: Store
    contexts: SessionContexts


@asynccontextmanager
async def stage(lease: Lease) -> AsyncIterator[Stage]:
    """Contexts on the lease."""
    async with opened(lease) as data, aclosing(redis_client(lease.redis_url)) as redis:
        cache = UserTexts(redis, KeySpace(lease.redis_prefix))
        runner = Suspending(Executions(data))
        yield Stage(data, SessionContexts(Work(Sessions(data), cache, History(data), runner)))


@asynchronous
async def test_a_context_does_its_users_work(installed: Lease) -> None:
    """Threads, messages, cached texts and runs are there for the user, as they were made."""
    async with stage(installed) as on:
        user = await new_user(on.data)
        async with on.contexts.open(user) as context:
            assert context.user == user
            thread = await context.create_thread("work")
            message = await context.write(thread, "hello")
            await context.remember("profile", "Ann", ttl_ms=TTL_MS)
            run = await context.submit(thread, "go")
            assert [(one.id, one.title) for one in await context.threads()] == [(thread, "work")]
            messages = await context.messages(thread)
            assert [(one.id, one.text) for one in messages] == [(message, "hello")]
            assert await context.recall("profile") == "Ann"
            assert await context.recall("other") is None
            assert [(one.run, one.state) for one in await context.runs()] == [
                (run, ExecutionState.SUSPENDED)
            ]
            await context.resume(run)
            assert [one.state for one in await context.runs()] == [ExecutionState.ACTIVE]
            with pytest.raises(Rejected):
                await context.resume(run)


@asynchronous
async def test_each_context_is_new(installed: Lease) -> None:
    """Two of one user differ in id and session, and each ends by itself."""
    async with stage(installed) as on:
        user = await new_user(on.data)
        async with on.contexts.open(user) as outer:
            async with on.contexts.open(user) as inner:
                assert len({outer.id, inner.id, outer.session, inner.session}) == 4
                assert await outer.is_active()
                assert await inner.is_active()
            assert await outer.is_active()
            assert not await inner.is_active()


@pytest.mark.parametrize("name", ["id", "user", "session", "_work", "else"])
@asynchronous
async def test_a_context_cannot_be_changed(installed: Lease, name: str) -> None:
    """No field can be assigned to, none deleted, and none added."""
    async with stage(installed) as on, on.contexts.open(await new_user(on.data)) as context:
        before = (context.id, context.user, context.session)
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(context, name, "another")
        with pytest.raises((FrozenInstanceError, TypeError)):
            delattr(context, name)
        assert (context.id, context.user, context.session) == before
        assert not hasattr(context, "__dict__")


Operation = Callable[[SessionContext, str, str], Awaitable[Any]]

OPERATIONS: dict[str, Operation] = {
    "create_thread": lambda context, _thread, _run: context.create_thread("intruder"),
    "threads": lambda context, _thread, _run: context.threads(),
    "messages": lambda context, thread, _run: context.messages(thread),
    "write": lambda context, thread, _run: context.write(thread, "intruder"),
    "remember": lambda context, _thread, _run: context.remember("k", "intruder", ttl_ms=TTL_MS),
    "recall": lambda context, _thread, _run: context.recall("k"),
    "submit": lambda context, thread, _run: context.submit(thread, "intruder"),
    "runs": lambda context, _thread, _run: context.runs(),
    "resume": lambda context, _thread, run: context.resume(run),
}

ON_ANOTHERS = ("messages", "write", "submit", "resume")


def test_all_operations_are_tried() -> None:
    """Whatever a context can do, but for saying whether it is active."""
    public = {name for name in vars(SessionContext) if not name.startswith("_")}
    assert public - {"id", "user", "session", "is_active"} == set(OPERATIONS)


STORED = (
    "select * from threads where user_id = $1 order by position",
    "select * from messages where user_id = $1 order by position",
    "select * from executions where user_id = $1 order by position",
    "select * from execution_states where user_id = $1 order by position",
)


async def stored(lease: Lease, user: str) -> tuple[object, ...]:
    """All that the user has in the database, but for sessions, and in Redis."""
    async with witness(lease) as owner, Witness(lease) as eyes:
        rows = [await owner.fetch(sql, user) for sql in STORED]
        prefix = KeySpace(lease.redis_prefix).of_user(user)
        return (*rows, sorted(key for key in await eyes.keys() if key.startswith(prefix)))


@pytest.mark.parametrize("how", ["ended", "revoked", "expired"])
@asynchronous
async def test_without_its_session_a_context_does_nothing(installed: Lease, how: str) -> None:
    """Every operation is refused in the same words, and nothing changes."""
    async with stage(installed) as on:
        user = await new_user(on.data)
        async with on.contexts.open(user) as living:
            thread = await living.create_thread("before")
            run = await living.submit(thread, "before")
            lifetime_ms = 1 if how == "expired" else None
            async with on.contexts.open(user, lifetime_ms=lifetime_ms) as context:
                if how == "revoked":
                    await on.contexts.revoke(user, context.session)
                if how != "ended":
                    await over(context)
            before = await stored(installed, user)
            for operation in OPERATIONS.values():
                with pytest.raises(Denied, match="that is still alive"):
                    await operation(context, thread, run)
            assert await stored(installed, user) == before
            assert await living.is_active()


async def over(context: SessionContext) -> None:
    """Wait until the context is no longer active."""
    give_up_at = time.monotonic() + 15
    while await context.is_active():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("name", ON_ANOTHERS)
@asynchronous
async def test_what_is_anothers_is_refused(installed: Lease, name: str) -> None:
    """In the same words as what does not exist, and it stays as it was."""
    async with stage(installed) as on:
        owner, intruder = await new_user(on.data), await new_user(on.data)
        async with on.contexts.open(owner) as theirs, on.contexts.open(intruder) as context:
            thread = await theirs.create_thread("private")
            run = await theirs.submit(thread, "private")
            before = await stored(installed, owner)
            words = []
            for asked in ((thread, run), ("none", "nothing")):
                with pytest.raises(Denied) as refused:
                    await OPERATIONS[name](context, *asked)
                text = str(refused.value)
                words.append(text.replace(asked[0], "…").replace(asked[1], "…"))
            assert words[0] == words[1]
            assert await stored(installed, owner) == before
            assert await context.threads() == []
            assert await context.runs() == []
            assert await context.recall("k") is None


@asynchronous
async def test_a_context_for_nobody_is_refused(installed: Lease) -> None:
    """A user must be registered; no session is left of the attempt."""
    nobody = UserID.new()
    async with stage(installed) as on, witness(installed) as owner:
        with pytest.raises(Denied, match="is not registered"):
            await on.contexts.open(nobody).__aenter__()
        assert await owner.fetch("select from sessions where user_id = $1", nobody) == []


async def body_that(how: str, contexts: SessionContexts, user: str, inside: asyncio.Event) -> None:
    """Open a context, and leave it in this way."""
    async with contexts.open(user):
        inside.set()
        match how:
            case "raises":
                raise RuntimeError("the body's own")
            case "is cancelled":
                await asyncio.Event().wait()


@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled"])
@asynchronous
async def test_the_session_ends_however_the_body_does(installed: Lease, how: str) -> None:
    """The body's own error comes through, and its session has an end in the database."""
    async with stage(installed) as on, witness(installed) as owner:
        user, inside = await new_user(on.data), asyncio.Event()
        task = asyncio.create_task(body_that(how, on.contexts, user, inside))
        await inside.wait()
        if how == "is cancelled":
            task.cancel()
        await asyncio.wait([task])
        match how:
            case "returns":
                await task
            case "raises":
                with pytest.raises(RuntimeError, match="the body's own"):
                    await task
            case "is cancelled":
                assert task.cancelled()
        ends = await owner.fetch("select ended_at from sessions where user_id = $1", user)
        assert [row["ended_at"] is not None for row in ends] == [True]


@pytest.mark.parametrize("how", ["returned", "was cancelled"])
@asynchronous
async def test_cancelling_its_end_does_not_keep_a_session_open(installed: Lease, how: str) -> None:
    """Its end waits for a lock; who is impatient meanwhile waits for it, too, and is cancelled."""
    async with stage(installed) as on, witness(installed) as owner:
        user, inside, leave = await new_user(on.data), asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(body_until(leave, on.contexts, user, inside))
        await inside.wait()
        async with owner.transaction():
            await owner.execute("select from sessions where user_id = $1 for update", user)
            leave.set() if how == "returned" else task.cancel()
            await someone_waits(installed)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            assert not task.done()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await owner.fetchval("select ended_at from sessions where user_id = $1", user)


async def body_until(
    leave: asyncio.Event, contexts: SessionContexts, user: str, inside: asyncio.Event
) -> None:
    """Open a context until the event."""
    async with contexts.open(user):
        inside.set()
        await leave.wait()


async def someone_waits(lease: Lease) -> None:
    """Wait until a statement waits for a lock in the leased database."""
    sql = """
        select count(*) from pg_locks join pg_stat_activity using (pid)
        where not granted and datname = current_database()
    """
    give_up_at = time.monotonic() + 15
    async with witness(lease) as owner:
        while not await owner.fetchval(sql):
            assert time.monotonic() < give_up_at
            await asyncio.sleep(0.005)


@asynchronous
async def test_another_cannot_revoke_a_session(installed: Lease) -> None:
    """Only the user whose it is can, and another learns nothing of it."""
    async with stage(installed) as on:
        user, other = await new_user(on.data), await new_user(on.data)
        async with on.contexts.open(user) as context:
            with pytest.raises(Denied, match=f"user '{other}' has no session"):
                await on.contexts.revoke(other, context.session)
            assert await context.is_active()
