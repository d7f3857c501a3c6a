"""A watch follows what changes, takes it at once, and keeps what it has when it cannot read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from labkit.errors import InvalidSettings, ServiceUnavailable
from labkit.json_values import JsonValue
from labkit.reference.clock import SteadyClock
from labkit.reference.configuration.connecting import ServiceConnection
from labkit.reference.configuration.loading import Loaded
from labkit.reference.configuration.overrides import OverrideStore
from labkit.reference.configuration.watch import Watch, WatchLimits, Worker
from labkit.services.endpoints import Lease
from tests.reference.configuration.stage import load, store
from tests.reference.configuration.test_overrides import check
from tests.reference.stage import asynchronous, witness

CALLED_ALONE = WatchLimits(look_s=30.0, again_s=0.01)
LOOKING = WatchLimits(look_s=0.02, again_s=0.01)

_END = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1"


class Applied:
    """Keeps what was applied, and lets it be waited for."""

    def __init__(self) -> None:
        self.all: list[Loaded] = []
        self._news = asyncio.Event()

    def __call__(self, loaded: Loaded) -> None:
        """Keep it, and wake who waits."""
        self.all.append(loaded)
        self._news.set()

    async def until(self, holds: Callable[[Loaded], bool]) -> None:
        """Wait until what was applied last is so."""
        while not holds(self.all[-1]):
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def watching(
    lease: Lease,
    limits: WatchLimits = CALLED_ALONE,
    kind: type[Watch] = Watch,
) -> AsyncIterator[tuple[Watch, Applied]]:
    """A watch of a service on the lease, and what it has applied."""
    applied = Applied()

    def loaded(overrides: dict[str, JsonValue]) -> Loaded:
        return load(overrides, PLATFORM_DATABASE_URL=lease.platform_url.reveal())

    worker = Worker("backend", "test", 0)
    async with kind(worker, loaded, applied, SteadyClock(), limits) as watch:  # type: ignore[arg-type]
        yield watch, applied


async def update(own: OverrideStore, **changes: JsonValue) -> None:
    """Change settings."""
    await own.update("test", "ann", changes, check)


def level(loaded: Loaded) -> str:
    """The log level."""
    return loaded.settings.log_level


@asynchronous
async def test_it_begins_with_what_is_in_force(copied: Lease) -> None:
    """An update from before is there at once, and is no news."""
    async with store(copied) as own:
        await update(own, log_level="ERROR")
        async with watching(copied) as (watch, applied):
            assert level(watch.settings) == "ERROR"
            assert [level(one) for one in applied.all] == ["ERROR"]
            assert watch.notices == ()


@asynchronous
async def test_a_call_is_followed_and_noted(copied: Lease) -> None:
    """Once for each key that changed, with the time at which all of them were in force."""
    clock = SteadyClock()
    async with store(copied) as own, watching(copied) as (watch, applied):
        before = clock()
        await update(own, log_level="ERROR", beta_features=True)
        await applied.until(lambda loaded: level(loaded) == "ERROR")
        assert watch.settings.settings.beta_features
        assert {notice.key for notice in watch.notices} == {"log_level", "beta_features"}
        [at_ms] = {notice.at_ms for notice in watch.notices}
        assert before <= at_ms <= clock()


@asynchronous
async def test_nobody_sees_half_of_an_update(copied: Lease) -> None:
    """Whatever was applied is one moment of the database."""
    async with store(copied) as own, watching(copied, LOOKING) as (_, applied):
        for even in (True, False) * 5:
            await update(own, log_level="INFO" if even else "ERROR", beta_features=even)
        await update(own, log_level="DEBUG")
        await applied.until(lambda loaded: level(loaded) == "DEBUG")
    pairs = {(level(one), one.settings.beta_features) for one in applied.all[1:-1]}
    assert pairs <= {("INFO", True), ("ERROR", False)}


@asynchronous
async def test_a_change_of_another_environment_is_no_news(copied: Lease) -> None:
    """It is called, reads, and finds what it has."""
    async with store(copied) as own, watching(copied) as (watch, applied):
        await own.update("staging", "ann", {"log_level": "ERROR"}, check)
        await update(own, beta_features=True)
        await applied.until(lambda loaded: loaded.settings.beta_features)
        assert [notice.key for notice in watch.notices] == ["beta_features"]


class Deaf(Watch):
    """Nobody calls it."""

    async def listen(self, _connection: ServiceConnection) -> None:
        """Do not."""


@asynchronous
async def test_what_nobody_told_is_found_by_looking(copied: Lease) -> None:
    """A call that is lost delays an update, and loses none."""
    async with store(copied) as own, watching(copied, LOOKING, Deaf) as (_, applied):
        await update(own, log_level="ERROR")
        await applied.until(lambda loaded: level(loaded) == "ERROR")


@asynchronous
async def test_a_lost_connection_is_replaced_and_read_again(copied: Lease) -> None:
    """What was changed meanwhile is there."""
    async with (
        store(copied) as own,
        witness(copied) as owner,
        watching(copied) as (_, applied),
    ):
        assert await owner.fetchval(_END, "backend/test")
        await update(own, log_level="ERROR")
        await applied.until(lambda loaded: level(loaded) == "ERROR")


@asynchronous
async def test_what_cannot_be_taken_leaves_settings_as_they_are(
    copied: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged with its faults, and the next update that is right is followed."""
    told = asyncio.Event()

    def tell(text: str, error: InvalidSettings) -> None:
        assert text % error == (
            "settings stay as they are: 1 setting is wrong: log_level: should be 'DEBUG', 'INFO',"
            " 'WARNING' or 'ERROR', not 'LOUD' (from update)"
        )
        told.set()

    monkeypatch.setattr(logging.getLogger(Watch.__module__), "error", tell)
    wrong = """
        with made as (insert into setting_updates (environment) values ('test') returning id)
        insert into setting_values select id, 'log_level', '"LOUD"' from made
    """
    async with (
        store(copied) as own,
        witness(copied) as owner,
        watching(copied, LOOKING) as (watch, applied),
    ):
        await owner.execute(wrong)
        await told.wait()
        assert level(watch.settings) == "WARNING"
        assert watch.notices == ()
        await update(own, log_level="ERROR")
        await applied.until(lambda loaded: level(loaded) == "ERROR")
        assert [(one.before, one.after) for one in await own.history("test")] == [(None, "ERROR")]


@asynchronous
async def test_a_database_that_is_not_there_is_told_at_once() -> None:
    """Who enters a watch has settings, or an error."""

    def nowhere(_: object) -> Loaded:
        return load(PLATFORM_DATABASE_URL="postgresql://ann@127.0.0.1:1/platform")

    watch = Watch(Worker("backend", "test", 0), nowhere, Applied(), SteadyClock())
    with pytest.raises(ServiceUnavailable):
        await watch.__aenter__()
