"""What a server process is told before it serves: one line of JSON, for a private pipe only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from labkit.errors import LabError, RecordError
from labkit.records import from_json
from labkit.redaction import Secret
from labkit.reference.serving.connection import ConnectionLimits
from labkit.services.endpoints import Lease
from labkit.services.handover import lease_from_json, lease_to_json


@dataclass(frozen=True)
class ServiceConfig:
    """All that a server process needs to know."""

    target: str
    """Whose parts it is made of: `package.module:Class`, a subclass of `Platform`."""
    lease: Lease
    token_key: Secret
    """What users' tokens are signed with: the same for all processes of a platform."""
    number: int = 0
    """Which of the platform's processes it is, from 0."""
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    """What it allows each of its clients."""

    def to_line(self) -> str:
        """One line of JSON with the secrets laid open, for a pipe that nobody else reads."""
        return json.dumps(
            {
                "target": self.target,
                "lease": lease_to_json(self.lease),
                "token_key": self.token_key.reveal(),
                "number": self.number,
                "limits": asdict(self.limits),
            }
        )

    @classmethod
    def from_line(cls, line: str) -> ServiceConfig:
        """What `to_line` wrote; raises `RecordError`, which quotes nothing of it, for else."""
        try:
            value = json.loads(line)
            return cls(
                target=value["target"],
                lease=lease_from_json(value["lease"]),
                token_key=Secret(value["token_key"]),
                number=value["number"],
                limits=from_json(ConnectionLimits, value["limits"]),
            )
        except (LabError, ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"the configuration of a server process cannot be read ({type(error).__name__}): "
                "it must be one line of JSON on standard input, as the platform writes it"
            ) from None
