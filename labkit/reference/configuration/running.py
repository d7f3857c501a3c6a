"""What the platform's services run with; importing it loads no pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from labkit.redaction import Secret

PREFIX: Final = "PLATFORM_"
"""What the names of the platform's environment variables begin with."""


def variable(key: str) -> str:
    """The environment variable that gives a setting."""
    return f"{PREFIX}{key.upper()}"


@dataclass(frozen=True)
class Running:
    """How the services of one platform run."""

    parts: str
    """The name of the parts that they are made of: `package.module:Name`."""
    environment: str
    database_url: Secret
    api_secret: Secret

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables of their processes, secrets laid open."""
        return {
            variable("database_url"): self.database_url.reveal(),
            variable("api_secret"): self.api_secret.reveal(),
        }
