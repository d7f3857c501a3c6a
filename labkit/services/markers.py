"""What a lease leaves on a server to be known by: its id, the names made of it and its marker.

Nothing is ever removed from a server on account of its name. A marker says that the lab made it.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import asdict, dataclass
from typing import Final

from labkit.errors import RecordError
from labkit.records import from_json

KIND: Final = "labkit lease 1"
"""What a marker calls itself; its number is the version of the marker's form."""

NAME_PATTERN: Final = "^labkit_[a-z2-7]{16}$"
"""The names of databases, roles and Redis users that leases make, as a regular expression."""


def new_lease_id() -> str:
    """80 random bits as 16 lower-case letters and digits: fit for names of every kind."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def name_of(lease_id: str) -> str:
    """The name of the lease's database, of the role that owns it, and of its Redis user."""
    return f"labkit_{lease_id}"


def platform_name_of(lease_id: str) -> str:
    """The name of the role that the platform under test uses."""
    return f"labkit_{lease_id}_platform"


@dataclass(frozen=True)
class Marker:
    """What the lab writes down at a server before it makes anything there."""

    kind: str
    id: str
    held_in: str
    """The database from which the owner marks the lease as alive."""
    made_at: float
    """Seconds since the epoch."""

    def to_json(self) -> str:
        """The marker as one line of text."""
        return json.dumps(asdict(self))


def read_marker(text: str | None, *, lease_id: str, held_in: str) -> Marker | None:
    """The marker of the lease that is held in this database; `None` for anything else."""
    try:
        marker = from_json(Marker, json.loads(text or ""))
    except (RecordError, ValueError):
        return None
    fits = marker.kind == KIND and marker.id == lease_id and marker.held_in == held_in
    return marker if fits and re.search(NAME_PATTERN, name_of(lease_id)) else None
