"""A lease reaches a kernel whole, through a file that nobody else can read."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import LeaseError
from labkit.records import CheckStarted, ServiceVersion
from labkit.redaction import Secret
from labkit.services.endpoints import Lease, secrets_of
from labkit.services.handover import (
    Handover,
    lease_from_json,
    lease_to_json,
    note_start,
    noted_starts,
    read_handover,
    write_handover,
)

LEASE = Lease(
    id="a1b2",
    database="labkit_a1b2",
    owner_role="labkit_a1b2",
    platform_role="labkit_a1b2_platform",
    owner_url=Secret("postgresql://owner:first-pass@/labkit_a1b2?host=/tmp/lk"),
    platform_url=Secret("postgresql://platform:second-pass@/labkit_a1b2?host=/tmp/lk"),
    redis_url=Secret("unix://user:third-pass@/tmp/lk/redis.sock"),
    redis_prefix="labkit:a1b2:",
    services=(ServiceVersion("postgres", "PostgreSQL", "18.4", "embedded", ("a note",)),),
    notes=("kept apart by prefix alone", "kept apart ✓"),
)
HANDOVER = Handover(LEASE, (*secrets_of(LEASE), Secret("of the run")))


def test_reads_what_was_written(tmp_path: Path) -> None:
    """The lease and all secrets come back equal, and only their owner may read the file."""
    path = tmp_path / "handover.json"
    write_handover(path, HANDOVER)
    assert read_handover(path) == HANDOVER
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_never_writes_over_a_file(tmp_path: Path) -> None:
    """A file that is there, or a link that somebody put there, is left as it is."""
    path, elsewhere = tmp_path / "handover.json", tmp_path / "elsewhere"
    path.symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        write_handover(path, HANDOVER)
    assert not elsewhere.exists()


def test_half_a_file_is_no_lease(tmp_path: Path) -> None:
    """A file cut off anywhere raises `LeaseError` that names it, and tells no password."""
    path = tmp_path / "handover.json"
    write_handover(path, HANDOVER)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(LeaseError, match=r"handover\.json") as raised:
            read_handover(path)
        assert "-pass" not in f"{raised.value} {raised.value.__cause__}"


def test_no_file_is_no_lease(tmp_path: Path) -> None:
    """A file that is gone, as after the run's end, raises `LeaseError` with what to do."""
    with pytest.raises(LeaseError, match="start the run again"):
        read_handover(tmp_path / "gone.json")


@pytest.mark.parametrize(
    "damage",
    [
        {"id": 7},
        {"owner_url": None},
        {"notes": "a text"},
        {"notes": [1]},
        {"services": [{"service": "postgres"}]},
        {"services": None},
        {"more": "than a lease"},
    ],
)
def test_damaged_leases_are_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    """A member of another type, a missing or a superfluous one raises `LeaseError`."""
    path = tmp_path / "handover.json"
    path.write_text(json.dumps({"lease": lease_to_json(LEASE) | damage, "secrets": []}))
    with pytest.raises(LeaseError):
        read_handover(path)
    with pytest.raises(LeaseError):
        lease_from_json(lease_to_json(LEASE) | damage)


@pytest.mark.parametrize("value", [None, [], "text", {"lease": None, "secrets": []}])
def test_other_json_is_no_lease(tmp_path: Path, value: object) -> None:
    """JSON of another form raises `LeaseError`."""
    path = tmp_path / "handover.json"
    path.write_text(json.dumps(value))
    with pytest.raises(LeaseError):
        read_handover(path)


@pytest.mark.parametrize("name", sorted(lease_to_json(LEASE)))
def test_every_member_is_needed(name: str) -> None:
    """A lease without one of its members is refused, also without those that have a default."""
    value = lease_to_json(LEASE)
    assert lease_from_json(value) == LEASE
    del value[name]
    with pytest.raises(LeaseError):
        lease_from_json(value)


def test_leases_differ_by_every_member() -> None:
    """What is handed over is compared by value, its secrets included."""
    other = replace(LEASE, redis_url=Secret("redis://localhost"))
    assert lease_from_json(lease_to_json(other)) != LEASE


def test_starts_are_noted_beside_the_lease(tmp_path: Path) -> None:
    """Notes come back in order; a last one that was cut off while it was written is left out."""
    assert list(noted_starts(tmp_path)) == []
    starts = [CheckStarted(name, "claim ✓", 1.0, 30.0) for name in ("one", "two", "three")]
    for start in starts:
        note_start(tmp_path, start)
    assert list(noted_starts(tmp_path)) == starts
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert list(noted_starts(tmp_path)) == starts[:2]
