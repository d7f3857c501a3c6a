"""What a lease is known by."""

from __future__ import annotations

import re

import pytest

from labkit.services.markers import (
    KIND,
    NAME_PATTERN,
    Marker,
    name_of,
    new_lease_id,
    platform_name_of,
    read_marker,
)


def test_ids_differ_and_their_names_fit() -> None:
    """PostgreSQL cuts names after 63 bytes."""
    ids = {new_lease_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(NAME_PATTERN, name_of(lease_id)) for lease_id in ids)
    assert max(len(platform_name_of(lease_id)) for lease_id in ids) <= 63


def test_a_marker_reads_back() -> None:
    """For the lease and the database that it names."""
    marker = Marker(KIND, new_lease_id(), "postgres", 1.5)
    assert read_marker(marker.to_json(), lease_id=marker.id, held_in="postgres") == marker
    assert read_marker(marker.to_json(), lease_id=marker.id, held_in="other") is None
    assert read_marker(marker.to_json(), lease_id=new_lease_id(), held_in="postgres") is None


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "a comment", "[]", "{}"),
        '{"kind": "labkit lease 2", "id": "a", "held_in": "d", "made_at": 1}',
        '{"kind": "labkit lease 1", "id": "a", "held_in": "d", "made_at": 1, "more": 1}',
        '{"kind": "labkit lease 1", "id": "a", "held_in": "d", "made_at": 1}',
    ],
)
def test_anything_else_is_no_marker(text: str | None) -> None:
    """Comments of others, other versions, and ids that the lab does not make."""
    assert read_marker(text, lease_id="a", held_in="d") is None
