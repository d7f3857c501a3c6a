"""What a notebook says of itself: plain values that travel in its cells' outputs.

A check writes a `CheckStarted` before its body runs and a `CheckRecord` after it, so that a check
that was killed half-way is known. `Lab.open` writes a `LabOpened` with the versions it met. All of
them travel as JSON under `MEDIA_TYPE` beside HTML and plain text; frontends that do not know the
type keep it in the file, and that is where results are read from.
"""

from __future__ import annotations

import enum
import functools
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Final, TypeVar

from labkit.errors import RecordError

MEDIA_TYPE: Final = "application/vnd.labkit.check+json"
"""The media type under which a record stands in a cell's output."""

VERSION: Final = 1
"""The version of the records' form; a reader refuses others."""


class Outcome(enum.StrEnum):
    """How a check, or a notebook as the worst of its checks, ended."""

    PASSED = "passed"
    SKIPPED = "skipped"
    DESELECTED = "deselected"
    UNKNOWN = "unknown"
    FAILED = "failed"
    BROKEN = "broken"

    @property
    def is_green(self) -> bool:
        """Whether nothing has to be done: passed or skipped."""
        return self in {Outcome.PASSED, Outcome.SKIPPED}


_SEVERITY: Final = (
    Outcome.PASSED,
    Outcome.SKIPPED,
    Outcome.UNKNOWN,
    Outcome.FAILED,
    Outcome.BROKEN,
)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The worst of several outcomes; deselected ones do not count, and none at all is unknown.

    From best to worst: passed, skipped, unknown, failed, broken. Where nothing passed, skips alone
    stay skipped; whether a run of skips is green is the run's question, not the check's.
    """
    counted = [outcome for outcome in outcomes if outcome is not Outcome.DESELECTED]
    if not counted:
        return Outcome.DESELECTED if outcomes else Outcome.UNKNOWN
    return max(counted, key=_SEVERITY.index)


@dataclass(frozen=True)
class Expectation:
    """One compared fact of a check.

    `expected` and `actual` are texts for a reader; `holds` is the comparison's result, made on the
    values themselves. `reason` is the code that stands for this fact when it does not hold.
    """

    label: str
    expected: str
    actual: str
    holds: bool
    reason: str


@dataclass(frozen=True)
class CheckStarted:
    """A check has begun; `deadline_s` seconds later its kernel may be killed."""

    name: str
    claim: str
    started_at: float
    """Seconds since the epoch."""
    deadline_s: float


@dataclass(frozen=True)
class CheckRecord:
    """How a check ended, with every fact that it compared."""

    name: str
    claim: str
    outcome: Outcome
    reason: str
    """The reason code of the first thing that went wrong; empty when the check passed."""
    detail: str
    """One sentence or a traceback behind the reason; empty when the check passed."""
    expectations: tuple[Expectation, ...]
    notes: tuple[str, ...]
    started_at: float
    """Seconds since the epoch."""
    seconds: float
    needs: tuple[str, ...] = ()
    """What the body touched of the target, such as `data.create_user`, in order."""


@dataclass(frozen=True)
class ServiceVersion:
    """Which server a notebook talked to, named as what it is."""

    service: str
    """`postgres` or `redis`."""
    product: str
    """`PostgreSQL`, `Redis` or `Valkey`."""
    version: str
    origin: str
    """`given`, `shared` (held by `labkit services up`) or `embedded`."""
    notes: tuple[str, ...] = ()
    """What a reader must know, such as a namespace kept by prefix alone."""


@dataclass(frozen=True)
class LabOpened:
    """What a notebook stands on."""

    area: str
    environment: str
    target: str
    seed: int
    lease: str
    services: tuple[ServiceVersion, ...]
    libraries: tuple[tuple[str, str], ...]
    """Pairs of library and version, in alphabetical order."""
    opened_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class LabClosed:
    """The notebook reached its end and gave its lease back."""

    outcome: Outcome
    closed_at: float
    """Seconds since the epoch."""


Record = CheckStarted | CheckRecord | LabOpened | LabClosed

_KINDS: Final[Mapping[str, type[Record]]] = types.MappingProxyType(
    {
        "check-started": CheckStarted,
        "check": CheckRecord,
        "lab-opened": LabOpened,
        "lab-closed": LabClosed,
    }
)


def record_to_json(record: Record) -> dict[str, Any]:
    """The record as JSON values, with its kind and the form's version."""
    kind = next(name for name, made in _KINDS.items() if made is type(record))
    return {"kind": kind, "version": VERSION, **asdict(record)}


def record_from_json(value: object) -> Record:
    """The record that JSON values stand for.

    Raises `RecordError` when the kind or version is unknown, or a field is missing, superfluous or
    of another type: an output that only looks like a record is never taken for one.
    """
    if not isinstance(value, Mapping):
        raise RecordError(f"a record must be a JSON object, not {type(value).__name__}")
    members = dict(value)
    kind, version = members.pop("kind", None), members.pop("version", None)
    is_current = type(version) is int and version == VERSION
    if not is_current or not isinstance(kind, str) or kind not in _KINDS:
        raise RecordError(f"no record is of kind {kind!r:.80}, version {version!r:.80}")
    return from_json(_KINDS[kind], members)


_T = TypeVar("_T")


def from_json(made: type[_T], value: object) -> _T:
    """The dataclass `made`, built from a JSON object with exactly its fields.

    Raises `RecordError` where the object does not fit the fields' types.
    """
    if not isinstance(value, Mapping) or not is_dataclass(made):
        raise RecordError(f"{made.__name__} must be read from a JSON object, not {value!r:.80}")
    hints = _hints(made)
    names = [field.name for field in fields(made)]
    if set(value) != set(names):
        odd = sorted(set(map(str, value)) ^ set(names))
        told = f"{', '.join(odd):.200}"
        raise RecordError(f"{made.__name__} has missing or unknown members: {told}")
    members = {name: _member(hints[name], value[name], made, name) for name in names}
    return typing.cast(_T, made(**members))


@functools.cache
def _hints(made: type) -> Mapping[str, Any]:
    """The types of its fields, which `typing` evaluates anew each time that it is asked."""
    return typing.get_type_hints(made)


def _member(hint: Any, value: object, made: type, name: str) -> object:
    try:
        return _convert(hint, value)
    except RecordError as error:
        raise RecordError(f"{made.__name__}.{name}: {error}") from error
    except (TypeError, ValueError) as error:
        text = f"{made.__name__}.{name} cannot be {value!r:.80}"
        raise RecordError(text) from error


def _convert(hint: Any, value: object) -> object:
    if typing.get_origin(hint) is tuple:
        return _convert_tuple(typing.get_args(hint), value)
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(typing.get_args(hint)[0], value)
    if is_dataclass(hint):
        return from_json(typing.cast(type, hint), value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint or (type(value) is float and not math.isfinite(value)):
        raise TypeError(f"{value!r:.80} is not of type {hint}")
    return value


def _convert_tuple(members: tuple[Any, ...], value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r:.80} is not a list")
    if len(members) == 2 and members[1] is Ellipsis:
        return tuple(_convert(members[0], item) for item in value)
    return tuple(_convert(hint, item) for hint, item in zip(members, value, strict=True))
