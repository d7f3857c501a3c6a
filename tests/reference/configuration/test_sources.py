"""Sources give what a service has, and tell of everything that nobody knows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labkit.environment import IsolatedEnvironment
from labkit.errors import InvalidSettings, SettingFault
from labkit.json_values import JsonValue
from labkit.reference.configuration.models import MODELS
from labkit.reference.configuration.sources import (
    Files,
    FileSource,
    OverridesSource,
    VariablesSource,
    unknown,
)


def in_file(content: Mapping[str, Any], service: str = "backend") -> FileSource:
    """What a file with this content gives a service."""
    return FileSource(service, MODELS, "test.toml", content)


def from_variables(service: str = "backend", **variables: str) -> VariablesSource:
    """What these variables give a service."""
    return VariablesSource(service, MODELS, IsolatedEnvironment(variables))


def told(*faults: SettingFault) -> list[str]:
    """The faults as texts."""
    return [str(fault) for fault in faults]


def test_each_environment_has_a_file_with_five_values_of_its_own() -> None:
    """No two files share a value that a service is given."""
    files = Files()
    assert files.names() == {"test", "development", "staging", "production"}
    given = {
        name: FileSource("backend", MODELS, name, files.read(name))() for name in files.names()
    }
    assert all(len(values) == 5 for values in given.values())
    for key in given["test"]:
        assert len({values[key] for values in given.values()}) == 4


def test_a_file_can_be_read_by_whoever_looks() -> None:
    """Its path leads to the TOML that the platform reads."""
    files = Files()
    read = tomllib.loads(files.path("staging").read_text("utf-8"))
    assert read == files.read("staging")


@pytest.mark.parametrize("name", ["nowhere", "../environments/test", "", "Test"])
def test_an_environment_without_a_file_is_refused(name: str) -> None:
    """A path is no name, and the known ones are told."""
    with pytest.raises(InvalidSettings, match="must be one of development, production") as refusal:
        Files().read(name)
    assert refusal.value.faults[0].key == "environment"


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    """The fault names the file and the place in it."""

    class Broken(Files):
        def path(self, _environment: str) -> Path:
            return tmp_path / "broken.toml"

    (tmp_path / "broken.toml").write_text("log_level = \n")
    with pytest.raises(InvalidSettings, match=r"broken\.toml: is no TOML: .*line 1") as refusal:
        Broken().read("test")
    assert refusal.value.faults[0].source == "file broken.toml"


def test_a_file_gives_shared_values_and_the_services_own() -> None:
    """Other services' tables are not for it."""
    content = {"log_level": "INFO", "backend": {"queue_size": 3}, "auth": {"token_lifetime_s": 4}}
    assert in_file(content)() == {"log_level": "INFO", "queue_size": 3}
    assert in_file(content, "auth")() == {"log_level": "INFO", "token_lifetime_s": 4}
    assert in_file(content).faults == ()


def test_what_a_file_must_not_hold_is_told() -> None:
    """Secrets, unknown keys and tables, another service's keys, a service that is no table."""
    content = {"api_secret": "x", "log_levl": "INFO", "backnd": {}, "backend": {"log_level": "x"}}
    assert told(*in_file(content).faults) == [
        "api_secret: must not stand in a file: export PLATFORM_API_SECRET (from file test.toml)",
        "log_levl: is not known; did you mean log_level? (from file test.toml)",
        "backnd: is not known; did you mean backend? (from file test.toml)",
        "log_level: is not known (from file test.toml, table [backend])",
    ]
    assert told(*in_file({"queue_size": 3}).faults) == [
        "queue_size: is not known (from file test.toml)"
    ]
    assert told(*in_file({"backend": 3}).faults) == [
        "backend: must be a table: write [backend] (from file test.toml)"
    ]


def test_variables_are_read_as_the_types_of_their_settings() -> None:
    """What is not of the type stays a text, to be refused with its value."""
    source = from_variables(
        PLATFORM_QUEUE_SIZE="12",
        PLATFORM_BETA_FEATURES="yes",
        PLATFORM_REQUEST_TIMEOUT_MS="soon",
        PLATFORM_LOG_LEVEL="",
        HOME="/",
    )
    assert source() == {
        "queue_size": 12,
        "beta_features": True,
        "request_timeout_ms": "soon",
        "log_level": "",
    }
    assert source.faults == ()
    assert source.place("queue_size") == "variable PLATFORM_QUEUE_SIZE"


def test_variables_of_other_services_are_known_and_not_taken() -> None:
    """All services are given the same variables."""
    source = from_variables("auth", PLATFORM_QUEUE_SIZE="12", PLATFORM_TOKEN_LIFETIME_S="5")
    assert (source(), source.faults) == ({"token_lifetime_s": 5}, ())


def test_unknown_variables_with_the_prefix_are_told() -> None:
    """Also those in small letters, and the environment's name, which no variable can change."""
    source = from_variables(
        PLATFORM_LOG_LEVL="INFO", PLATFORM_log_level="INFO", PLATFORM_ENVIRONMENT="staging"
    )
    assert source() == {}
    assert [fault.key for fault in source.faults] == [
        "PLATFORM_LOG_LEVL",
        "PLATFORM_log_level",
        "PLATFORM_ENVIRONMENT",
    ]
    assert "did you mean PLATFORM_LOG_LEVEL?" in source.faults[0].reason


def test_overrides_give_what_the_service_has() -> None:
    """A key that no service has is told; one of another service is passed over."""
    overrides: dict[str, JsonValue] = {"log_level": "INFO", "sample_rate": 0.5, "lgo_level": "INFO"}
    source = OverridesSource("backend", MODELS, overrides)
    assert source() == {"log_level": "INFO"}
    assert told(*source.faults) == [
        "lgo_level: is not known; did you mean log_level? (from update)"
    ]


def test_a_long_unknown_key_is_like_none() -> None:
    """It is told as it is, for who masks it, and no known one is looked for."""
    key = "log_level" * 10
    assert unknown(key, [f"{key}s"], "update") == SettingFault(key, "is not known", "update")


def test_an_environment_is_required_by_its_name_alone() -> None:
    """What no file's name can hold is refused like any other."""
    for name in ("a\0", "\ud800", "x" * 10_000):
        with pytest.raises(InvalidSettings, match="must be one of development") as refusal:
            Files().require(name)
        assert len(str(refusal.value)) < 300
