"""Updates are taken in whole, one at a time, and undone in whole; the history hides secrets."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from labkit.errors import InvalidSettings, Rejected, ServiceUnavailable
from labkit.json_values import JsonValue
from labkit.reference.configuration.loading import Loaded
from labkit.reference.configuration.overrides import CHANNEL, Overrides, OverrideStore
from labkit.reference.data.pool import Pool, PoolLimits
from labkit.services.endpoints import Lease
from tests.reference.configuration.stage import load, store
from tests.reference.stage import asynchronous, new_user, opened, witness

LOCK: Final = ("labkit settings", "test")


def deep(levels: int) -> JsonValue:
    """A list in a list, and so on."""
    value: JsonValue = []
    for _ in range(levels):
        value = [value]
    return value


class All:
    """The settings of one service, for all of them."""

    def __init__(self, loaded: Loaded) -> None:
        self.shown = loaded.shown
        self.secrets = loaded.secrets


def check(overrides: Overrides) -> All:
    """What settings are with these overrides."""
    return All(load(overrides))


async def changed(own: OverrideStore, *updates: dict[str, JsonValue]) -> Overrides:
    """What is in force after these updates."""
    for update in updates:
        await own.update("test", "ann", update, check)
    return await own.read("test")


@asynchronous
async def test_the_newest_value_of_a_key_is_in_force(copied: Lease) -> None:
    """In its environment alone."""
    async with store(copied) as own:
        assert await own.read("test") == {}
        first: dict[str, JsonValue] = {"log_level": "INFO", "beta_features": True}
        assert await changed(own, first, {"log_level": "ERROR"}) == {
            "log_level": "ERROR",
            "beta_features": True,
        }
        assert await own.read("staging") == {}


@asynchronous
async def test_an_invalid_update_changes_nothing(copied: Lease) -> None:
    """One bad value among good ones is enough; all that is bad is told, and nothing is noted."""
    async with store(copied) as own:
        with pytest.raises(InvalidSettings) as refusal:
            await changed(own, {"beta_features": True, "log_level": "LOUD", "queue_siz": 3})
        assert {fault.key for fault in refusal.value.faults} == {"log_level", "queue_siz"}
        assert await own.read("test") == {}
        assert await own.history("test") == []


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"database_url": "postgresql://host/db"}, "database_url: is fixed while services run"),
        ({"environment": "staging"}, "environment: is fixed while services run"),
        ({"api_secret": "half\0"}, "api_secret: holds the character NUL"),
        ({"api_secret": "half \ud800"}, "api_secret: a text holds half of a surrogate pair"),
        ({"request_timeout_ms": float("nan")}, "request_timeout_ms: nan is not a JSON number"),
        ({"request_timeout_ms": 10**5_000}, "request_timeout_ms: .*limit .4300 digits"),
        ({"log_level": deep(5_000)}, "log_level: is nested too deeply"),
        ({"public_url": f"http://{'h' * 16_384}"}, "public_url: is longer than 16,384 bytes"),
        ({"k" * 1_000: deep(5_000)}, "a name of 1,000 characters: is not known"),
        ({"log\nlevel": 1}, r"log\\nlevel: is not known"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    installed: Lease, update: dict[str, JsonValue], words: str
) -> None:
    """Once each, with the reason."""

    @asynchronous
    async def refused() -> None:
        async with store(installed) as own:
            with pytest.raises(InvalidSettings, match=words) as refusal:
                await changed(own, update)
            assert len(refusal.value.faults) == 1

    refused()


@asynchronous
async def test_an_update_is_made_by_somebody_and_changes_something(installed: Lease) -> None:
    """Otherwise it is none."""
    async with store(installed) as own:
        with pytest.raises(Rejected, match="changes at least one key"):
            await changed(own, {})
        with pytest.raises(Rejected, match="keys of an update are texts, and one is a int"):
            await changed(own, {5: 1})  # type: ignore[dict-item]
        nobodies: list[Any] = ["", "an\0n", "\ud800", "x" * 201, 5]
        for nobody in nobodies:
            with pytest.raises(Rejected, match="nobody who could change settings"):
                await own.update("test", nobody, {"log_level": "INFO"}, check)
            with pytest.raises(Rejected, match="nobody who could change settings"):
                await own.roll_back("test", nobody, check)


@asynchronous
async def test_a_change_that_waits_too_long_for_another_is_told(copied: Lease) -> None:
    """Somebody else's has not ended; nothing of it is kept."""
    own = Pool(copied.platform_url, PoolLimits(command_s=0.3))
    await own.open()
    try:
        async with witness(copied) as other, other.transaction():
            await other.execute("select pg_advisory_xact_lock(hashtext($1), hashtext($2))", *LOCK)
            with pytest.raises(ServiceUnavailable, match=r"not be had within 0\.3 s"):
                await changed(OverrideStore(own), {"log_level": "INFO"})
        assert await OverrideStore(own).read("test") == {}
    finally:
        await own.close()


@asynchronous
async def test_a_secret_that_was_in_force_is_no_part_of_a_refusal(copied: Lease) -> None:
    """Also where the same update replaces it, and where it is the key."""
    secret = "a new one of its length"
    updates: list[dict[str, JsonValue]] = [
        {"log_level": secret},
        {"log_level": secret, "api_secret": "the one after the next"},
        {secret: 1, "api_secret": "the one after the next"},
        {secret: deep(5_000)},
    ]
    async with store(copied) as own:
        await changed(own, {"api_secret": secret})
        for update in updates:
            with pytest.raises(InvalidSettings) as refusal:
                await own.update("test", "ann", update, check)
            assert secret not in str(refusal.value)
            assert "***" in str(refusal.value)


@asynchronous
async def test_undoing_goes_back_update_by_update(copied: Lease) -> None:
    """Each restores all keys of one update; when none is left it is refused."""
    async with store(copied) as own:
        both: dict[str, JsonValue] = {"log_level": "ERROR", "beta_features": True}
        await changed(own, {"log_level": "INFO"}, both)
        await own.roll_back("test", "bob", check)
        assert await own.read("test") == {"log_level": "INFO"}
        await own.roll_back("test", "bob", check)
        assert await own.read("test") == {}
        with pytest.raises(Rejected, match="no update of 'test' is left"):
            await own.roll_back("test", "bob", check)


@asynchronous
async def test_the_history_tells_who_changed_what(copied: Lease) -> None:
    """Updates and what undid them, oldest first, from the value that was in force to the new."""
    async with store(copied) as own:
        await changed(own, {"log_level": "INFO"}, {"api_secret": "a new one of its length"})
        await own.roll_back("test", "bob", check)
        await own.roll_back("test", "eve", check)
        history = await own.history("test")
    assert [(one.who, one.key, one.before, one.after) for one in history] == [
        ("ann", "log_level", "WARNING", "INFO"),
        ("ann", "api_secret", "***", "***"),
        ("bob", "api_secret", "***", "***"),
        ("eve", "log_level", "INFO", "WARNING"),
    ]
    times = [one.when_ms for one in history]
    assert times == sorted(times)


@asynchronous
async def test_updates_at_once_are_both_noted_from_what_they_found(copied: Lease) -> None:
    """They take turns: the second begins with what the first has left."""
    async with store(copied) as own:
        levels = ("DEBUG", "INFO", "ERROR")
        await asyncio.gather(*(changed(own, {"log_level": level}) for level in levels))
        history = await own.history("test")
        assert await own.read("test") == {"log_level": history[-1].after}
    assert [one.before for one in history] == ["WARNING", *(one.after for one in history[:-1])]
    assert {one.after for one in history} == set(levels)


@asynchronous
async def test_who_listens_is_told_where_and_nothing_else(copied: Lease) -> None:
    """Once for each update that was taken, when it can be read."""
    told: asyncio.Queue[str] = asyncio.Queue()
    async with store(copied) as own, witness(copied) as owner:
        await owner.add_listener(CHANNEL, lambda *event: told.put_nowait(event[-1]))
        await changed(own, {"api_secret": "a new one of its length"})
        assert await told.get() == "test"
        with pytest.raises(InvalidSettings):
            await changed(own, {"log_level": "LOUD"})
        await own.roll_back("test", "ann", check)
        assert await told.get() == "test"
        assert told.empty()


@asynchronous
async def test_what_acts_for_a_user_sees_no_settings(copied: Lease) -> None:
    """Hand-written SQL finds neither values nor history."""
    looks = [f"table {name}" for name in ("setting_updates", "setting_values", "setting_history")]
    async with store(copied) as own, opened(copied) as data:
        await changed(own, {"api_secret": "a new one of its length"})
        async with data.transaction(await new_user(data)) as transaction:
            for look in looks:
                assert await transaction.fetch(look) == []


@asynchronous
async def test_a_secret_leaves_the_tables_with_its_update(copied: Lease) -> None:
    """The values hold it as long as it is in force; the history never does."""
    async with store(copied) as own, witness(copied) as owner:
        await changed(own, {"api_secret": "a new one of its length"})
        values = await owner.fetch("select value from setting_values")
        assert [json.loads(row["value"]) for row in values] == ["a new one of its length"]
        await own.roll_back("test", "ann", check)
        assert await owner.fetchval("select count(*) from setting_values") == 0
        history = await owner.fetch("select * from setting_history")
        assert "a new one of its length" not in str([tuple(row) for row in history])
