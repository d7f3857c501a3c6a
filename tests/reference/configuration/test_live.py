"""Settings are loaded, changed and followed: the seam's promises, on real processes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Sequence

import pytest

from labkit.errors import InvalidSettings, Rejected, ServiceUnavailable
from labkit.json_values import JsonValue
from labkit.reference.configuration.live import LiveConfiguration
from labkit.services.endpoints import Lease
from labkit.services.urls import PostgresUrl
from labkit.targets.configuration import SettingView
from tests.reference.configuration.stage import SECRET, SERVICES, VARIABLES, live
from tests.reference.stage import asynchronous


def values(views: Sequence[SettingView]) -> dict[str, JsonValue]:
    """Values by key."""
    return {view.key: view.value for view in views}


async def seen(own: LiveConfiguration, service: str) -> list[dict[str, JsonValue]]:
    """What each process of a service works with."""
    return [values(views) for views in (await own.seen_by(service)).values()]


async def until_seen(
    own: LiveConfiguration, service: str, holds: Callable[[dict[str, JsonValue]], bool]
) -> None:
    """Wait until it holds for each process of a service."""
    while True:
        if all(map(holds, await seen(own, service))):
            return
        await asyncio.sleep(0.01)


@asynchronous
async def test_an_update_reaches_every_process_of_every_service(copied: Lease) -> None:
    """With notices that name its keys, and a secret of which each proves that it has it."""
    async with live(copied) as own:
        pids = {name: list(await own.seen_by(name)) for name in SERVICES}
        assert [len(some) for some in pids.values()] == [2, 1, 1]
        changes: dict[str, JsonValue] = {
            "log_level": "ERROR",
            "api_secret": "the next secret of all",
        }
        await own.update("ann", changes)
        for name in SERVICES:
            await until_seen(own, name, lambda one: one["log_level"] == "ERROR")
            for notices in (await own.notices(name)).values():
                assert {notice.key for notice in notices} == {"log_level", "api_secret"}
            right = hmac.new(b"the next secret of all", b"challenge", hashlib.sha256).hexdigest()
            proofs = await own.proofs(name, "api_secret", "challenge")
            assert proofs == dict.fromkeys(pids[name], right)


@asynchronous
async def test_an_update_of_one_services_own_setting_stays_with_it(copied: Lease) -> None:
    """Others neither have the key nor note it."""
    async with live(copied) as own:
        assert "queue_size" not in (await seen(own, "auth"))[0]
        await own.update("ann", {"queue_size": 7})
        await until_seen(own, "backend", lambda one: one["queue_size"] == 7)
        assert list((await own.notices("auth")).values()) == [[]]


@asynchronous
async def test_an_update_must_be_valid_for_every_service(copied: Lease) -> None:
    """Faults of several services are told at once, shared ones once."""
    async with live(copied) as own:
        with pytest.raises(InvalidSettings) as refusal:
            await own.update(
                "ann", {"queue_size": 0, "sample_rate": 2, "log_level": "LOUD", "x": SECRET}
            )
        keys = sorted(fault.key for fault in refusal.value.faults)
        assert keys == ["log_level", "queue_size", "sample_rate", "x"]
        assert SECRET not in str(refusal.value)
        assert await own.history() == []


@asynchronous
async def test_what_was_updated_is_an_override_where_it_runs(copied: Lease) -> None:
    """Loading shows it as that, in the environment of the services alone; undone, it is gone."""
    async with live(copied, "staging") as own:
        await own.update("ann", {"beta_features": True})
        for name, expected in (("staging", (True, "override")), ("test", (False, "default"))):
            views = {view.key: view for view in await own.load("auth", name, VARIABLES)}
            found = views["beta_features"]
            assert (found.value, found.source) == expected
        await own.roll_back("bob")
        assert values(await own.load("auth", "staging", VARIABLES))["beta_features"] is False
        with pytest.raises(Rejected, match="no update of 'staging'"):
            await own.roll_back("bob")


@asynchronous
async def test_a_service_that_was_down_starts_with_what_is_in_force(copied: Lease) -> None:
    """Nobody tells it; it reads."""
    async with live(copied) as own:
        await own.start("analytics")
        await own.stop("analytics")
        await own.update("ann", {"log_level": "ERROR"})
        assert await own.seen_by("analytics") == {}
        await own.start("analytics")
        [found] = await seen(own, "analytics")
        assert found["log_level"] == "ERROR"


@asynchronous
async def test_an_update_of_an_earlier_platform_is_still_in_force(copied: Lease) -> None:
    """The database keeps it, not a process."""
    async with live(copied) as own:
        await own.update("ann", {"log_level": "ERROR"})
    async with live(copied) as own:
        [found] = await seen(own, "auth")
        assert found["log_level"] == "ERROR"


@asynchronous
async def test_what_is_no_service_or_secret_is_refused(installed: Lease) -> None:
    """The names that there are, are told; no process is started."""
    async with live(installed) as own:
        with pytest.raises(Rejected, match="'billing' is no service of the platform: backend"):
            await own.seen_by("billing")
        with pytest.raises(Rejected, match="'log_level' is no secret of the service 'auth'"):
            await own.proofs("auth", "log_level", "x")
        with pytest.raises(Rejected, match="'x' is no secret"):
            await own.proofs("auth", "x", "x")
        for challenge in ("x" * 4_097, "\ud800"):
            with pytest.raises(Rejected, match="a challenge "):
                await own.proofs("auth", "api_secret", challenge)


@asynchronous
async def test_loading_and_connecting_raise_alike(installed: Lease) -> None:
    """What is wrong is told before anything is connected; a server that is not there, after."""
    async with live(installed) as own:
        with pytest.raises(InvalidSettings):
            await own.load("auth", "test", {})
        for name in ("a\0", "\ud800"):
            with pytest.raises(InvalidSettings, match="environment: must be one of"):
                await own.load("auth", name, VARIABLES)
        with pytest.raises(InvalidSettings):
            async with own.connected("auth", "test", {}):
                pass
        variables = {**VARIABLES, own.variable("database_url"): "postgresql://a@127.0.0.1:1/b"}
        with pytest.raises(ServiceUnavailable):
            async with own.connected("auth", "test", variables):
                pass
        assert own.file("staging").read_text().endswith("0.25\n")


@asynchronous
async def test_neither_history_nor_views_show_a_secret_in_a_url(copied: Lease) -> None:
    """The one that is in force, wherever an update puts it, and the database's password."""
    async with live(copied) as own:
        password = PostgresUrl.parse(copied.platform_url.reveal()).password
        assert password
        new = SECRET.replace(" ", "-")
        for secret in (new, password):
            await own.update("ann", {"api_secret": new, "public_url": f"http://x.{secret}.h"})
            await until_seen(own, "auth", lambda one: one["public_url"] == "http://x.***.h")
            with pytest.raises(InvalidSettings) as refusal:
                await own.update("ann", {"log_level": secret, secret: 1})
            shown = f"{await own.history()} {await own.seen_by('auth')} {refusal.value}"
            assert secret not in shown
            await own.roll_back("ann")
