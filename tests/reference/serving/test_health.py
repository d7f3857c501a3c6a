"""How a server process says it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.data.pool import Pool, PoolLimits
from labkit.reference.events.relay import Relay
from labkit.reference.events.streams import Streams
from labkit.reference.serving.health import Health
from labkit.services.endpoints import Lease
from tests.reference.stage import asynchronous
from tests.reference.works import until


@dataclass
class Bench:
    """Something that works on so many runs."""

    running: int


@asynchronous
async def test_a_process_whose_parts_answer_is_well(installed: Lease) -> None:
    """It tells how much it has to do, and whether it leads."""
    redis = redis_client(installed.redis_url)
    pool = Pool(installed.platform_url)
    await pool.open()
    streams = Streams(redis, KeySpace(installed.redis_prefix))
    async with Relay(installed.platform_url, streams) as relay:
        health = Health(pool, streams, relay, Bench(3))

        async def leads() -> Mapping[str, JsonValue] | None:
            report = await health.report(5)
            return report if (report["status"], report["relay"]) == ("ok", "leads") else None

        report = await until(leads)
    assert report == {
        "status": "ok",
        "connections": 5,
        "runs": 3,
        "relay": "leads",
        "database": True,
        "redis": True,
    }
    assert (await health.report(5))["status"] == "degraded", "its relay has been left"
    await pool.close()
    await redis.aclose()


@asynchronous
async def test_a_process_says_which_of_its_parts_does_not_answer(installed: Lease) -> None:
    """A pool without a free connection in time, a Redis that is not there."""
    redis = redis_client(Secret("redis://127.0.0.1:1/0"))
    pool = Pool(installed.platform_url, PoolLimits(connections=1))
    await pool.open()
    streams = Streams(redis, KeySpace(installed.redis_prefix))
    health = Health(pool, streams, Relay(installed.platform_url, streams), Bench(0))

    async def of_the_database() -> Mapping[str, JsonValue] | None:
        report = await health.report(0)
        return report if report["database"] else None

    report = await until(of_the_database)
    assert (report["status"], report["redis"]) == ("degraded", False)
    async with pool.connection():
        report = await health.report(0)
    assert (report["status"], report["database"]) == ("degraded", False)
    await pool.close()
    await redis.aclose()
