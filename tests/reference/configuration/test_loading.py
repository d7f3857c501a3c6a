"""Settings are merged in order, each with its source, and refused with all that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from pydantic import ValidationError

from labkit.errors import InvalidSettings, SettingFault
from labkit.json_values import JsonValue
from labkit.redaction import Secret
from labkit.reference.configuration.loading import Loaded, Loader
from labkit.reference.configuration.sources import Files
from tests.reference.configuration.stage import SECRET, URL, VARIABLES, load


def refusal(
    variables: Mapping[str, str], overrides: Mapping[str, str] | None = None
) -> InvalidSettings:
    """The error that these variables end in."""
    with pytest.raises(InvalidSettings) as raised:
        Loader().load("backend", "test", variables, overrides or {})
    return raised.value


def told(overrides: Mapping[str, JsonValue]) -> Sequence[SettingFault]:
    """The faults of these overrides."""
    with pytest.raises(InvalidSettings) as raised:
        load(overrides)
    return raised.value.faults


def seen(loaded: Loaded, key: str) -> tuple[object, str]:
    """A value as it is shown, and its source."""
    [view] = [view for view in loaded.views if view.key == key]
    return view.value, view.source


def test_later_sources_win_and_each_value_has_its_source() -> None:
    """Default, file, variable, override, in this order."""
    assert seen(load(), "beta_features") == (False, "default")
    assert seen(load(), "log_level") == ("WARNING", "file")
    by_variable = load(PLATFORM_LOG_LEVEL="ERROR")
    assert seen(by_variable, "log_level") == ("ERROR", "environment")
    overridden = load({"log_level": "DEBUG"}, PLATFORM_LOG_LEVEL="ERROR")
    assert seen(overridden, "log_level") == ("DEBUG", "override")
    assert seen(overridden, "environment") == ("test", "file")


def test_what_the_process_has_in_its_own_environment_never_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the variables that were given do."""
    for name in ("PLATFORM_LOG_LEVEL", "LOG_LEVEL", "log_level"):
        monkeypatch.setenv(name, "ERROR")
    assert seen(load(), "log_level") == ("WARNING", "file")


def test_secrets_are_shown_masked() -> None:
    """Of a URL, only the password is."""
    loaded = load()
    assert seen(loaded, "api_secret") == ("***", "environment")
    assert seen(loaded, "database_url")[0] == URL.replace("her-password", "***")
    shown = f"{loaded!r} {loaded.views}"
    assert SECRET not in shown
    assert "her-password" not in shown
    assert {Secret(SECRET), Secret(URL), Secret("her-password")} <= set(loaded.secrets)


def test_a_url_without_a_password_is_shown_as_it_is() -> None:
    """There is nothing to mask."""
    url = "postgresql://ann@db.example/platform"
    assert seen(load(PLATFORM_DATABASE_URL=url), "database_url")[0] == url


def test_settings_cannot_be_changed() -> None:
    """They are frozen: what was handed on stays what it is."""
    with pytest.raises(ValidationError, match="frozen"):
        load().settings.log_level = "DEBUG"


def test_all_faults_are_told_at_once_without_a_secret() -> None:
    """Each by its key, reason and source; values of secrets and URLs are in none of it."""
    url = "postgres://bob:another-password@two words/x"
    error = refusal(
        {
            "PLATFORM_DATABASE_URL": url,
            "PLATFORM_API_SECRET": "  ",
            "PLATFORM_LOG_LEVEL": "LOUD",
            "PLATFORM_REQUEST_TIMEOUT_MS": "soon",
            "PLATFORM_QUEUE_SIZE": "0",
            "PLATFORM_COLOUR": "a secret that was put into the wrong place",
        }
    )
    assert {fault.key: (fault.reason, fault.source) for fault in error.faults} == {
        "PLATFORM_COLOUR": ("is not known", "variable PLATFORM_COLOUR"),
        "database_url": (
            "is no PostgreSQL URL: write postgresql://user:password@host:port/database",
            "variable PLATFORM_DATABASE_URL",
        ),
        "api_secret": ("is empty", "variable PLATFORM_API_SECRET"),
        "log_level": (
            "should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', not 'LOUD'",
            "variable PLATFORM_LOG_LEVEL",
        ),
        "request_timeout_ms": (
            "should be a valid integer, not 'soon'",
            "variable PLATFORM_REQUEST_TIMEOUT_MS",
        ),
        "queue_size": ("should be greater than 0, not 0", "variable PLATFORM_QUEUE_SIZE"),
    }
    assert not any(part in str(error) for part in ("another-password", "two words", "wrong place"))


def test_what_is_missing_is_told_with_the_variable_that_would_give_it() -> None:
    """Neither of the two can stand in a file."""
    assert set(refusal({}).faults) == {
        SettingFault("database_url", "is missing", "variable PLATFORM_DATABASE_URL"),
        SettingFault("api_secret", "is missing", "variable PLATFORM_API_SECRET"),
    }


@pytest.mark.parametrize(
    "url",
    ["", "postgresql://", "postgresql://host", "mysql://host/db", "host/db", "postgresql:///"],
)
def test_urls_that_lead_nowhere_are_refused(url: str) -> None:
    """A server and a database are named, and it is PostgreSQL."""
    [fault] = refusal({**VARIABLES, "PLATFORM_DATABASE_URL": url}).faults
    assert fault.key == "database_url"


def test_a_secret_in_the_wrong_place_is_masked() -> None:
    """The value of one setting that holds another's secret is told without it."""
    [fault] = refusal({**VARIABLES, "PLATFORM_LOG_LEVEL": SECRET}).faults
    assert fault.key == "log_level"
    assert SECRET not in str(fault)


def test_no_secret_is_told_wherever_it_was_put() -> None:
    """In whole, in part, in a long text, in a list, or as the name; the URL's password as well."""
    for secret in (SECRET, "her-password"):
        values: list[JsonValue] = [secret, secret[:10], "p" * 70 + secret, [secret], f"x {secret}"]
        for value in values:
            [fault] = told({"log_level": value})
            assert secret[:8] not in str(fault)
        for key in (secret, f"{secret}\n", "p" * 70 + secret):
            [fault] = told({key: 1})
            assert secret[:8] not in str(fault)
        [fault] = refusal({**VARIABLES, f"PLATFORM_{secret}": "x"}).faults
        assert secret[:8] not in str(fault)


def test_a_secret_that_a_later_source_replaces_is_not_told() -> None:
    """It may still be in force elsewhere."""
    [fault] = told({"api_secret": "the next secret of all", "log_level": SECRET})
    assert SECRET not in str(fault)


def test_a_short_secret_is_refused() -> None:
    """It could not be told from other words where it has to be masked."""
    [fault] = refusal({**VARIABLES, "PLATFORM_API_SECRET": f" {'s' * 15} "}).faults
    assert (fault.key, fault.reason) == ("api_secret", "is shorter than 16 characters")
    assert Secret("s" * 16) in load(PLATFORM_API_SECRET="s" * 16).secrets


def test_a_secret_in_a_value_that_holds_is_masked_where_it_is_shown() -> None:
    """Known ones, and what stands in a URL as its password."""
    long = "long-secret-of-16"
    for word in (long, "hunter2"):
        loaded = load({"public_url": f"http://x:{word}@h", "api_secret": long})
        assert seen(loaded, "public_url") == ("http://x:***@h", "override")


def test_an_option_of_a_url_is_known_or_refused_or_masked() -> None:
    """Drivers quote what they do not know, and it may be anything."""
    for option in ("target_session_attrs", "sslmode", "sslnegotiation"):
        [fault] = refusal({**VARIABLES, "PLATFORM_DATABASE_URL": f"{URL}?{option}=hunter2"}).faults
        assert f"has an option {option} that is none of " in fault.reason
        assert "hunter2" not in str(fault)
    url = f"{URL}?sslmode=require&application_name=hunter2"
    shown = seen(load(PLATFORM_DATABASE_URL=url), "database_url")[0]
    masked = URL.replace("her-password", "***")
    assert shown == f"{masked}?sslmode=require&application_name=***"


@pytest.mark.parametrize("value", ["5", 5.0, True, None, [5]])
def test_updates_and_files_are_not_converted(value: object) -> None:
    """A text that looks like a number is a fault there, where numbers can be written."""
    with pytest.raises(InvalidSettings, match="queue_size: should be a valid integer"):
        load({"queue_size": value})  # type: ignore[dict-item]


def test_a_file_that_belongs_to_another_environment_is_refused() -> None:
    """A copied file says whose it is."""

    class Copied(Files):
        def read(self, _environment: str) -> Mapping[str, object]:
            return super().read("production")

    with pytest.raises(InvalidSettings, match="must be 'test', which is loaded, not 'production'"):
        Loader(Copied()).load("backend", "test", VARIABLES, {})


def test_a_service_that_is_not_there_is_refused() -> None:
    """The known one that may have been meant is named."""
    with pytest.raises(InvalidSettings, match=r"did you mean backend\?"):
        load(service="backnd")
    with pytest.raises(InvalidSettings, match="None: is not known"):
        load(service=None)  # type: ignore[arg-type]


def test_services_share_settings_and_have_their_own() -> None:
    """Nobody sees what is another's."""
    keys = {name: set(load(service=name).sources) for name in ("backend", "auth", "analytics")}
    shared = set.intersection(*keys.values())
    assert {"database_url", "log_level", "api_secret", "request_timeout_ms"} <= shared
    assert [keys[name] - shared for name in keys] == [
        {"queue_size"},
        {"token_lifetime_s"},
        {"sample_rate"},
    ]


def test_what_changed_is_told_by_value() -> None:
    """A new secret counts, another source of the same value does not."""
    before = load()
    after = load({"api_secret": "another one of these", "log_level": "WARNING"})
    assert after.changed_since(before) == ["api_secret"]
