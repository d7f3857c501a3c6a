"""The settings that the platform's services have: names, types, defaults."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from labkit.services.urls import PostgresUrl

LogLevel: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

LOG_LEVELS: Final[tuple[str, ...]] = get_args(LogLevel)

FIXED: Final = frozenset({"environment", "database_url"})
"""What no update can change: where updates are found depends on them."""

NOT_IN_FILES: Final = frozenset({"database_url", "api_secret"})
"""What may only come from a variable or an update."""


OPTION_VALUES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "sslmode": frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}),
        "sslnegotiation": frozenset({"postgres", "direct"}),
        "target_session_attrs": frozenset(
            {"any", "primary", "standby", "read-write", "read-only", "prefer-standby"}
        ),
    }
)
"""The options of a database's URL that have a few values each, by libpq's documentation."""

_SHORTEST_SECRET: Final = 16


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("is empty")
    return secret


def _long(secret: SecretStr) -> SecretStr:
    """One that can be told from other words, wherever it has to be masked."""
    if len(secret.get_secret_value().strip()) < _SHORTEST_SECRET:
        raise ValueError(f"is shorter than {_SHORTEST_SECRET} characters")
    return secret


def _postgres_url(secret: SecretStr) -> SecretStr:
    # What is wrong with it is not told: the words would quote some of it.
    text = "is no PostgreSQL URL: write postgresql://user:password@host:port/database"
    try:
        url = PostgresUrl.parse(secret.get_secret_value())
    except ValueError:
        raise ValueError(text) from None
    if not url.hosts or not url.database:
        raise ValueError(text)
    for name, value in url.options:
        known = OPTION_VALUES.get(name)
        if known is not None and value not in known:
            raise ValueError(f"has an option {name} that is none of {', '.join(sorted(known))}")
    return secret


class SharedSettings(BaseSettings):
    """What all services have; frozen, and as strict as a type can be."""

    model_config = SettingsConfigDict(
        strict=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    environment: str
    database_url: Annotated[SecretStr, AfterValidator(_filled), AfterValidator(_postgres_url)]
    api_secret: Annotated[SecretStr, AfterValidator(_filled), AfterValidator(_long)]
    log_level: LogLevel = "INFO"
    request_timeout_ms: Annotated[int, Field(gt=0, le=600_000)] = 30_000
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+$")] = "http://localhost:8000"
    beta_features: bool = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library calls it by these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what the loader gives, from sources that it keeps apart."""
        return (init_settings,)


class BackendSettings(SharedSettings):
    """The service that answers requests."""

    queue_size: Annotated[int, Field(gt=0)] = 128


class AuthSettings(SharedSettings):
    """The service that lets people in."""

    token_lifetime_s: Annotated[int, Field(gt=0)] = 3_600


class AnalyticsSettings(SharedSettings):
    """The service that counts."""

    sample_rate: Annotated[float, Field(ge=0, le=1)] = 0.1


Models: TypeAlias = Mapping[str, type[SharedSettings]]

MODELS: Final[Models] = MappingProxyType(
    {"backend": BackendSettings, "auth": AuthSettings, "analytics": AnalyticsSettings}
)
"""The settings of each service, by its name."""


def is_secret(model: type[SharedSettings], key: str) -> bool:
    """Whether a setting's value is never shown as it is."""
    return model.model_fields[key].annotation is SecretStr
