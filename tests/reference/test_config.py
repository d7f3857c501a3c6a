"""What a server process is told."""

import json
from dataclasses import replace

import pytest

from labkit.errors import RecordError
from labkit.redaction import Secret
from labkit.reference.config import ServiceConfig
from labkit.reference.serving.connection import ConnectionLimits
from labkit.services.endpoints import Lease


def test_a_configuration_comes_through_the_pipe_unchanged(lease: Lease) -> None:
    """It is one line, and what is read from it equals what was written."""
    config = ServiceConfig(
        target="labkit.reference:Platform",
        lease=lease,
        token_key=Secret("the key of all tokens"),
        number=1,
        limits=ConnectionLimits(frame_bytes=5, login_s=0.5),
    )
    line = config.to_line()
    assert "\n" not in line
    assert ServiceConfig.from_line(line) == config


def test_a_configuration_shows_no_secret_but_in_its_line(lease: Lease) -> None:
    """Its key and passwords are in the line for the pipe, and not in what is printed."""
    config = ServiceConfig("labkit.reference:Platform", lease, Secret("the key of all tokens"))
    assert "the key of all tokens" in config.to_line()
    assert "the key of all tokens" not in repr(config)
    assert lease.redis_url.reveal() not in repr(config)


def test_a_line_that_is_no_configuration_is_refused_without_a_word_of_it(lease: Lease) -> None:
    """The message tells what is expected, and quotes nothing that could be a secret."""
    whole = ServiceConfig("labkit.reference:Platform", lease, Secret("the key of all tokens"))
    value = json.loads(whole.to_line())
    lines = [
        "the key of all tokens",
        json.dumps({**value, "lease": {"owner_url": "the key of all tokens"}}),
        json.dumps({**value, "limits": {"frame_bytes": "the key of all tokens"}}),
        json.dumps({**value, "token_key": ["the key of all tokens"]}),
        json.dumps({name: value[name] for name in value if name != "lease"}),
    ]
    for line in lines:
        with pytest.raises(RecordError, match="one line of JSON on standard input") as refusal:
            ServiceConfig.from_line(line)
        assert "the key of all tokens" not in str(refusal.value)


def test_limits_of_two_configurations_are_told_apart(lease: Lease) -> None:
    """A limit that was changed is another configuration."""
    config = ServiceConfig("labkit.reference:Platform", lease, Secret("the key of all tokens"))
    assert replace(config, limits=ConnectionLimits(queue_frames=3)) != config
