"""The servers that the environment names."""

from __future__ import annotations

import pytest

from labkit.errors import HostRefused, SettingError
from labkit.services.given import given_postgres, given_redis


def test_nothing_is_given_where_nothing_is_set() -> None:
    """An unset and an empty variable are the same."""
    assert given_postgres({}, allowed=()) is None
    assert given_redis({"LABKIT_REDIS_URL": " "}, allowed=()) is None


def test_a_malformed_url_names_the_variable_and_the_fault() -> None:
    """And never the password."""
    with pytest.raises(SettingError, match=r"LABKIT_POSTGRES_URL is not .* port") as caught:
        given_postgres({"LABKIT_POSTGRES_URL": "postgresql://u:hunter2x@h:x/d"}, allowed=())
    assert "hunter2x" not in str(caught.value)
    with pytest.raises(SettingError, match=r"LABKIT_REDIS_URL is not .* number"):
        given_redis({"LABKIT_REDIS_URL": "redis://h/zero"}, allowed=())


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://localhost@evil.example/",
        "postgresql://localhost,evil.example/",
        "postgresql:///d?host=evil.example",
        "postgresql://u:p@%65vil.example/d",
    ],
)
def test_a_far_postgres_is_refused_unless_allowed(text: str) -> None:
    """However the host is hidden in the URL."""
    with pytest.raises(HostRefused, match=r"evil\.example"):
        given_postgres({"LABKIT_POSTGRES_URL": text}, allowed=())
    assert given_postgres({"LABKIT_POSTGRES_URL": text}, allowed={"evil.example"})


def test_a_far_redis_is_refused() -> None:
    """The host after the login counts."""
    with pytest.raises(HostRefused, match=r"evil\.example"):
        given_redis({"LABKIT_REDIS_URL": "redis://localhost:6379@evil.example/0"}, allowed=())


def test_a_url_without_a_host_is_not_filled_in_unjudged() -> None:
    """The driver's default is near; PGHOST, which the driver would take, need not be."""
    environment = {"LABKIT_POSTGRES_URL": "postgresql:///d"}
    assert given_postgres(environment, allowed=())
    with pytest.raises(SettingError, match="PGHOST"):
        given_postgres(environment | {"PGHOST": "evil.example"}, allowed=())
