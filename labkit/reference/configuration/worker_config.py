"""What a service's process is told before it works: one line of JSON, for a private pipe only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from labkit.errors import RecordError


@dataclass(frozen=True)
class WorkerConfig:
    """All that a process needs to know; its variables hold secrets and are not shown."""

    parts: str
    """The name of the parts that it is made of: `package.module:Name`."""
    service: str
    environment: str
    number: int
    """Which of the service's processes it is, from 0."""
    variables: Mapping[str, str] = field(repr=False)
    """The environment variables that it loads its settings from."""

    def to_line(self) -> str:
        """One line of JSON with the secrets laid open, for a pipe that nobody else reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> WorkerConfig:
        """What `to_line` wrote; raises `RecordError`, which quotes nothing of it, for else."""
        try:
            value = json.loads(line)
            return cls(
                parts=value["parts"],
                service=value["service"],
                environment=value["environment"],
                number=value["number"],
                variables=dict(value["variables"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"what a service's process is to do cannot be read ({type(error).__name__}): "
                "it must be one line of JSON on standard input, as the platform writes it"
            ) from None
