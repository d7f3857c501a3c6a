"""The servers that the environment names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

from labkit.errors import SettingError
from labkit.services.hosts import require_near
from labkit.services.urls import PostgresUrl, RedisUrl

POSTGRES_URL: Final = "LABKIT_POSTGRES_URL"
REDIS_URL: Final = "LABKIT_REDIS_URL"

_Url = TypeVar("_Url", PostgresUrl, RedisUrl)


def given_postgres(
    environment: Mapping[str, str], *, allowed: Collection[str]
) -> PostgresUrl | None:
    """The server that `LABKIT_POSTGRES_URL` names; `None` where it is unset or empty.

    Raises `SettingError` when the URL is malformed and `HostRefused` when one of its hosts is
    neither near nor among the `allowed` ones.
    """
    url = _read(environment, POSTGRES_URL, PostgresUrl.parse)
    if url is None:
        return None
    if not url.hosts and environment.get("PGHOST"):
        # The driver would go there, unjudged.
        raise SettingError(
            f"{POSTGRES_URL} names no host and PGHOST does: write the host into {POSTGRES_URL}"
        )
    require_near(url.hosts, setting=POSTGRES_URL, allowed=allowed)
    return url


def given_redis(environment: Mapping[str, str], *, allowed: Collection[str]) -> RedisUrl | None:
    """The server that `LABKIT_REDIS_URL` names; `None` where it is unset or empty.

    Raises `SettingError` when the URL is malformed and `HostRefused` when its host is neither near
    nor among the `allowed` ones.
    """
    url = _read(environment, REDIS_URL, RedisUrl.parse)
    if url is not None:
        require_near([url.host], setting=REDIS_URL, allowed=allowed)
    return url


def _read(environment: Mapping[str, str], name: str, parse: Callable[[str], _Url]) -> _Url | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise SettingError(f"{name} is not the URL of a server: {error}") from error
