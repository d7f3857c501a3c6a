"""What is said of quality reaches handler, metrics and connections of its user, or is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from labkit.errors import Rejected, ServiceUnavailable
from labkit.events import EventType, event_from_json
from labkit.ids import UserID
from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.reference.cache.keyspace import KeySpace
from labkit.reference.cache.redis_client import redis_client
from labkit.reference.clock import SteadyClock
from labkit.reference.data.outbox import Outbox
from labkit.reference.routing.quality import LARGEST_PAYLOAD_BYTES, Payload, Quality
from labkit.services.endpoints import Lease
from labkit.targets.routing import QualityMetrics
from labkit.witness import Witness
from tests.reference.stage import asynchronous, opened, witness

NOTHING = QualityMetrics(recent_score=None, alerts=0, pass_rate=None)

ALERT: Payload = {
    "type": "alert",
    "metric": "accuracy",
    "value": 0.65,
    "threshold": 0.8,
    "severity": "high",
}
REPORT: Payload = {"type": "report", "score": 0.87, "scores": {"clarity": 0.92, "depth": 0.79}}
VALIDATION: Payload = {"type": "validation", "passed": True, "flags": ["long"]}


@asynccontextmanager
async def quality_on(lease: Lease, redis_url: Secret | None = None) -> AsyncIterator[Quality]:
    """The platform's quality on the lease, or on another Redis."""
    client = redis_client(redis_url or lease.redis_url)
    async with opened(lease) as data, aclosing(client) as redis:
        yield Quality(data, Outbox(), redis, KeySpace(lease.redis_prefix), SteadyClock())


async def told(lease: Lease, user: str) -> list[tuple[EventType, object]]:
    """The kinds and data of the user's events that wait to leave, with nothing else in them."""
    async with witness(lease) as owner:
        rows = await owner.fetch(
            "select event, run_id from outbox where user_id = $1 order by position", user
        )
    events = [event_from_json(json.loads(row["event"])) for row in rows]
    assert {row["run_id"] for row in rows} <= {None}
    assert {(event.user, event.run, event.seq, event.thread) for event in events} <= {
        (user, None, None, None)
    }
    return [(event.type, event.data) for event in events]


@asynchronous
async def test_each_kind_goes_to_its_own_handler(installed: Lease) -> None:
    """All three are counted, and told to their user with the payload as it came."""
    user = UserID.new()
    async with quality_on(installed) as quality:
        handlers = [await quality.take(user, payload) for payload in (ALERT, REPORT, VALIDATION)]
        assert handlers == ["alert", "report", "validation"]
        assert await quality.metrics(user) == QualityMetrics(0.87, 1, 1.0)
    assert await told(installed, user) == [
        (EventType.QUALITY_ALERT, ALERT),
        (EventType.QUALITY_REPORT, REPORT),
        (EventType.QUALITY_VALIDATION, VALIDATION),
    ]


@asynchronous
async def test_metrics_are_one_users_own(installed: Lease) -> None:
    """They lie under the user's own key, and another's change nothing in them."""
    user, other = UserID.new(), UserID.new()
    async with quality_on(installed) as quality, Witness(installed) as eyes:
        assert await quality.metrics(user) == NOTHING
        await quality.take(user, ALERT)
        await quality.take(other, REPORT)
        assert await quality.metrics(user) == QualityMetrics(None, 1, None)
        assert await quality.metrics(other) == QualityMetrics(0.87, 0, None)
        keys = KeySpace(installed.redis_prefix)
        for one in (user, other):
            own = [key for key in await eyes.keys() if key.startswith(keys.of_user(one))]
            assert own == [f"{keys.of_user(one)}quality"]


@asynchronous
async def test_the_last_score_counts_to_its_last_digit(installed: Lease) -> None:
    """Numbers come back equal, whole ones too."""
    user = UserID.new()
    async with quality_on(installed) as quality:
        for score in (0.1 + 0.2, 1e-300, 1, 0, 0.8699999999999999):
            await quality.take(user, {**REPORT, "score": score})
            assert (await quality.metrics(user)).recent_score == score


@asynchronous
async def test_what_comes_at_once_is_all_counted(installed: Lease) -> None:
    """None of many alerts and validations gets lost."""
    user = UserID.new()
    failed: Payload = {**VALIDATION, "passed": False}
    async with quality_on(installed) as quality:
        await asyncio.gather(
            *(quality.take(user, payload) for payload in [ALERT, VALIDATION, failed, failed] * 10)
        )
        assert await quality.metrics(user) == QualityMetrics(None, 10, pass_rate=1 / 3)
    assert len(await told(installed, user)) == 40


WRONG: list[tuple[dict[str, JsonValue], str]] = [
    ({}, "the type None is unknown: use alert, report, validation"),
    ({"type": "rumour"}, "the type 'rumour' is unknown"),
    ({"type": ["alert"]}, r"the type \['alert'\] is unknown"),
    ({"type": "alert"}, "the alert lacks metric, severity, threshold, value"),
    ({**ALERT, "metric": " "}, "the alert's metric must be a name, not ' '"),
    ({**ALERT, "value": "0.65"}, "the alert's value must be a number, not '0.65'"),
    ({**ALERT, "value": True}, "the alert's value must be a number, not True"),
    ({**ALERT, "threshold": float("nan")}, "the alert's threshold must be a number, not nan"),
    ({**ALERT, "threshold": 10**400}, "the alert's threshold must be a number, not 1000"),
    ({**ALERT, "severity": "worst"}, "severity must be low or medium or high, not 'worst'"),
    ({**ALERT, "severity": []}, "severity must be low or medium or high"),
    ({**ALERT, "more": 1, "most": 2}, "has fields that it must not have: more, most"),
    ({**REPORT, "score": 1.01}, "the report's score must be a number from 0 to 1, not 1.01"),
    ({**REPORT, "score": False}, "the report's score must be a number"),
    ({**REPORT, "scores": {"clarity": -0.1}}, "the report's scores must be an object of names"),
    ({**REPORT, "scores": [0.9]}, "the report's scores must be an object of names"),
    ({**VALIDATION, "passed": 1}, "the validation's passed must be true or false, not 1"),
    ({**VALIDATION, "flags": "long"}, "the validation's flags must be a list of texts"),
    ({**VALIDATION, "flags": ["long", 1]}, "the validation's flags must be a list of texts"),
    ({**VALIDATION, "flags": ["\0"]}, "unsupported Unicode"),
    ({**VALIDATION, "flags": ["x" * 16_384]}, "has 16,437 bytes as JSON, and 16,384 are allowed"),
    ({**ALERT, "metric": "é" * 2_800}, "the alert has 16,8.. bytes as JSON"),
    ({**REPORT, "scores": {str(n): 0.5 for n in range(2_000)}}, "the report has 2.,... bytes"),
]


@pytest.mark.parametrize(("payload", "reason"), WRONG, ids=[reason for _, reason in WRONG])
@asynchronous
async def test_what_is_wrong_is_refused_with_the_reason(
    installed: Lease, payload: Payload, reason: str
) -> None:
    """Nothing is counted and nothing told."""
    user = UserID.new()
    async with quality_on(installed) as quality:
        with pytest.raises(Rejected, match=reason):
            await quality.take(user, payload)
        assert await quality.metrics(user) == NOTHING
    assert await told(installed, user) == []


@asynchronous
async def test_nothing_is_told_that_could_not_be_counted(installed: Lease) -> None:
    """Without Redis the caller gets the error, and no event leaves."""
    user = UserID.new()
    async with quality_on(installed, Secret("redis://127.0.0.1:1/0")) as quality:
        with pytest.raises(ServiceUnavailable, match=f"quality metrics of user '{user}'"):
            await quality.take(user, ALERT)
    assert await told(installed, user) == []


@asynchronous
async def test_the_largest_payload_is_taken(installed: Lease) -> None:
    """To the last byte; one more is refused."""
    user = UserID.new()
    room = LARGEST_PAYLOAD_BYTES - len(json.dumps({**ALERT, "metric": ""}))
    largest: Payload = {**ALERT, "metric": "x" * room}
    async with quality_on(installed) as quality:
        assert await quality.take(user, largest) == "alert"
        with pytest.raises(Rejected, match="16,385 bytes"):
            await quality.take(user, {**largest, "metric": "x" * (room + 1)})
    assert await told(installed, user) == [(EventType.QUALITY_ALERT, largest)]
