"""What is said of quality: checked, handed to its handler, counted, and told to its user."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from labkit.errors import Rejected
from labkit.events import Event, EventType
from labkit.json_values import JsonValue
from labkit.reference.cache.keyspace import KeySpace, Kind
from labkit.reference.cache.redis_client import RedisClient, redis_refusals, run_script
from labkit.reference.clock import Clock
from labkit.reference.data.outbox import Outbox
from labkit.reference.data.refusals import refusals
from labkit.reference.data.store import Store
from labkit.targets.routing import QualityMetrics

Payload: TypeAlias = Mapping[str, JsonValue]

Step: TypeAlias = tuple[str, str, str | int]
"""One change of a user's metrics: a command for hashes, a field, and what it takes."""


class QualityType(enum.StrEnum):
    """What a payload can be; also the name of its handler."""

    ALERT = "alert"
    REPORT = "report"
    VALIDATION = "validation"


_APPLY: Final = """
    for at = 1, #ARGV, 3 do
        redis.call(ARGV[at], KEYS[1], ARGV[at + 1], ARGV[at + 2])
    end
"""

LARGEST_PAYLOAD_BYTES: Final = 16 * 1024
"""As JSON; what is kept for a user's connections is bounded in events, and so in bytes too."""

_SEVERITIES: Final = ("low", "medium", "high")


class Quality:
    """Takes payloads, and keeps each user's metrics under a Redis key of that user's own."""

    def __init__(
        self, store: Store, outbox: Outbox, redis: RedisClient, keys: KeySpace, clock: Clock
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._redis = redis
        self._keys = keys
        self._clock = clock

    async def take(self, user: str, payload: Payload) -> str:
        """Count a payload and tell it to the user's connections; its handler's name.

        Raises `Rejected` with the reason when it is of no known type, lacks a field or has a wrong
        one, or is too large; then nothing is counted and nothing told. The event is committed only
        after the metrics were changed: when the commit itself fails, the caller gets the error,
        and they stay changed.
        """
        kind = self._route(payload)
        steps = self._steps(kind, payload)
        async with self._store.transaction(user) as transaction:
            with refusals():
                await self._outbox.append(transaction, self._event(user, kind, payload))
            await self._apply(user, steps)
        return kind.value

    async def metrics(self, user: str) -> QualityMetrics:
        """What all reports, alerts and validations of the user come to."""
        with redis_refusals(f"read the quality metrics of user {user!r}"):
            found = await self._redis.hgetall(self._key(user))
        kept = {str(name): str(value) for name, value in found.items()}
        score, validations = kept.get("score"), int(kept.get("validations", 0))
        return QualityMetrics(
            recent_score=None if score is None else float(score),
            alerts=int(kept.get("alerts", 0)),
            pass_rate=int(kept.get("passed", 0)) / validations if validations else None,
        )

    def _route(self, payload: Payload) -> QualityType:
        """The handler of a payload that has no fault; raises `Rejected` otherwise."""
        fault = self._fault(payload)
        if fault is not None:
            raise Rejected(fault)
        return QualityType(str(payload["type"]))

    def _fault(self, payload: Payload) -> str | None:
        """What is wrong with a payload, None when nothing is."""
        kind = payload.get("type")
        if not isinstance(kind, str) or kind not in set(QualityType):
            return f"the type {kind!r:.80} is unknown: use {', '.join(QualityType)}"
        fields = _FIELDS[QualityType(kind)]
        if lacking := sorted(set(fields) - set(payload)):
            return f"the {kind} lacks {', '.join(lacking)}"
        if unknown := sorted(set(payload) - set(fields) - {"type"}):
            return f"the {kind} has fields that it must not have: {', '.join(unknown):.200}"
        for name, (is_valid, words) in fields.items():
            if not is_valid(payload[name]):
                return f"the {kind}'s {name} must be {words}, not {payload[name]!r:.80}"
        size_bytes = len(json.dumps(dict(payload)))
        if size_bytes > LARGEST_PAYLOAD_BYTES:
            return (
                f"the {kind} has {size_bytes:,} bytes as JSON, and {LARGEST_PAYLOAD_BYTES:,} are "
                "allowed"
            )
        return None

    def _event(self, user: str, kind: QualityType, payload: Payload) -> Event:
        return Event(
            type=EventType(f"quality_{kind}"), user=user, ts=self._clock(), data=dict(payload)
        )

    def _steps(self, kind: QualityType, payload: Payload) -> list[Step]:
        """What a payload changes in its user's metrics."""
        match kind:
            case QualityType.ALERT:
                return [("hincrby", "alerts", 1)]
            case QualityType.REPORT:
                return [("hset", "score", repr(payload["score"]))]
            case QualityType.VALIDATION:
                return [
                    ("hincrby", "validations", 1),
                    ("hincrby", "passed", int(payload["passed"] is True)),
                ]

    async def _apply(self, user: str, steps: list[Step]) -> None:
        """Change the metrics in one step, so that no one sees or loses a part of it."""
        flat = [part for step in steps for part in step]
        with redis_refusals(f"change the quality metrics of user {user!r}"):
            await run_script(self._redis, _APPLY, self._key(user), *flat)

    def _key(self, user: str) -> str:
        return self._keys.key(user, Kind.QUALITY)


def _is_number(value: JsonValue) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _is_share(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_name(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_shares(value: JsonValue) -> bool:
    return isinstance(value, dict) and all(map(_is_share, value.values()))


def _are_texts(value: JsonValue) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_Field: TypeAlias = tuple[Callable[[JsonValue], bool], str]

_FIELDS: Final[Mapping[QualityType, Mapping[str, _Field]]] = MappingProxyType(
    {
        QualityType.ALERT: {
            "metric": (_is_name, "a name"),
            "value": (_is_number, "a number"),
            "threshold": (_is_number, "a number"),
            "severity": (lambda value: value in _SEVERITIES, " or ".join(_SEVERITIES)),
        },
        QualityType.REPORT: {
            "score": (_is_share, "a number from 0 to 1"),
            "scores": (_are_shares, "an object of names with numbers from 0 to 1"),
        },
        QualityType.VALIDATION: {
            "passed": (lambda value: isinstance(value, bool), "true or false"),
            "flags": (_are_texts, "a list of texts"),
        },
    }
)
"""What each payload must hold beside its type, and nothing else."""
