"""Only near hosts may be touched, or those allowed by name."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from labkit.errors import HostRefused
from labkit.services.hosts import allowed_hosts, is_near, require_near
from labkit.services.urls import Host


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "LOCALHOST", "localhost.", "postgres", "redis-7", "my_db"),
        *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.1.1", "::1", "fd00::1", "fe80::1", "fe80::1%eth0", "::ffff:127.0.0.1"),
        "/run/postgresql",
    ],
)
def test_a_near_host_is_accepted(name: str) -> None:
    """Loopback, private, link-local, a socket, a single label; in any spelling."""
    assert is_near(Host(name))


@pytest.mark.parametrize(
    "name",
    [
        *("evil.example", "EVIL.example.", "localhost.evil.example", "8.8.8.8", "172.32.0.1"),
        *("2001:db8::1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", str(IPv4Address(0)), "::", "127.1"),
        *("134744072", "0x08080808", "", ".", "127.0.0.1.evil.example"),
    ],
)
def test_any_other_host_is_refused(name: str) -> None:
    """Public addresses and names, also in disguise."""
    assert not is_near(Host(name))


def test_a_refusal_names_host_setting_and_remedy() -> None:
    """All hosts are judged; the first far one is named, with what to do."""
    hosts = [Host("localhost"), Host("db.example", 5432)]
    with pytest.raises(HostRefused, match=r"'db\.example' in SETTING.*--allow-host db\.example"):
        require_near(hosts, setting="SETTING", allowed=())


def test_a_host_is_allowed_by_its_exact_name() -> None:
    """From the command line or the environment; a part of the name is not enough."""
    allowed = allowed_hosts({"LABKIT_ALLOW_HOST": "a.example, B.example."}, ["c.example"])
    require_near(map(Host, ("A.example.", "b.example", "c.example")), setting="S", allowed=allowed)
    with pytest.raises(HostRefused, match=r"x\.a\.example"):
        require_near([Host("x.a.example")], setting="S", allowed=allowed)
