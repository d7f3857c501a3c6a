"""How a run hands a lease to a kernel: a private file, named by an environment variable.

The file holds passwords, so it is made with mode 0600 in the run's private folder and goes with it.
Beside it the kernel notes each check that starts: what it sends may be lost when it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from labkit.errors import LeaseError, RecordError, SettingError
from labkit.records import CheckStarted, from_json, record_from_json, record_to_json
from labkit.redaction import Secret
from labkit.services.endpoints import Lease

VARIABLE: Final = "LABKIT_HANDOVER"
"""The environment variable that names the file."""

_STARTS: Final = "starts.ndjson"
_SECRETS: Final = ("owner_url", "platform_url", "redis_url")


@dataclass(frozen=True)
class Handover:
    """What a kernel is given by the run that it belongs to."""

    lease: Lease
    secrets: tuple[Secret, ...]
    """What the kernel's redactor masks beside those of its environment."""


def lease_to_json(lease: Lease) -> dict[str, Any]:
    """The lease as JSON values, its secrets laid open: for a private file or pipe only."""
    opened = {name: getattr(lease, name).reveal() for name in _SECRETS}
    plain = {
        field.name: getattr(lease, field.name)
        for field in fields(lease)
        if field.name not in {*_SECRETS, "services"}
    }
    return {**plain, **opened, "services": [asdict(service) for service in lease.services]}


def lease_from_json(value: Mapping[str, Any]) -> Lease:
    """The lease that `lease_to_json` wrote; raises `LeaseError` when it is none."""
    try:
        secrets = {name: Secret(value[name]) for name in _SECRETS}
        return from_json(Lease, {**value, **secrets})
    except (KeyError, TypeError, SettingError, RecordError) as error:
        text = f"a lease cannot be read: {type(error).__name__}; start the run again"
        raise LeaseError(text) from error


def write_handover(path: Path, handover: Handover) -> None:
    """Write the file with mode 0600; it must not exist."""
    value = {
        "lease": lease_to_json(handover.lease),
        "secrets": [secret.reveal() for secret in handover.secrets],
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file)


def read_handover(path: Path) -> Handover:
    """Read the file; raises `LeaseError` when it is gone or not whole."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        secrets = tuple(Secret(secret) for secret in value["secrets"])
        return Handover(lease_from_json(value["lease"]), secrets)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"the lease of this run cannot be read from {path}: {error}; start the run again"
        raise LeaseError(text) from error


def note_start(folder: Path, start: CheckStarted) -> None:
    """Note in the handover's folder that a check starts; the note outlives the process at once."""
    with (folder / _STARTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record_to_json(start)) + "\n")


def noted_starts(folder: Path) -> Iterator[CheckStarted]:
    """The checks that were noted in the folder, in order; a note that is not whole is none."""
    path = folder / _STARTS
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, RecordError):
            note = record_from_json(json.loads(line))
            if isinstance(note, CheckStarted):
                yield note
