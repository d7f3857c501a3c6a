"""Which given servers may be touched: those that are near, and those that were allowed by name.

Names are judged as they stand: nothing is looked up, since today's answer binds nobody tomorrow.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from labkit.errors import HostRefused
from labkit.services.urls import Host

ALLOW_HOST: Final = "LABKIT_ALLOW_HOST"
"""The setting that names further hosts, separated by commas."""

_NEAR: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
# A label that begins with a digit may be an address in disguise: 134744072 is 8.8.8.8.
_SINGLE_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]*")


def allowed_hosts(environment: Mapping[str, str], named: Iterable[str] = ()) -> frozenset[str]:
    """The hosts that were allowed by name: on the command line, and in `LABKIT_ALLOW_HOST`."""
    texts = [*named, *environment.get(ALLOW_HOST, "").split(",")]
    return frozenset(_plain(text) for text in texts if text.strip())


def require_near(hosts: Iterable[Host], *, setting: str, allowed: Collection[str]) -> None:
    """Return when every host is near or allowed.

    Near is what is loopback, private, link-local, a unix socket or a name of a single label.
    Raises `HostRefused`, naming the first other host and the `setting` that it stands in.
    """
    for host in hosts:
        if not is_near(host) and _plain(host.name) not in allowed:
            raise HostRefused(
                f"the host {host.name!r} in {setting} is neither local nor private: the lab writes"
                f" to its servers, so allow it by name with --allow-host {host.name}"
                f" or {ALLOW_HOST} if that is what you want"
            )


def is_near(host: Host) -> bool:
    """Whether the host is loopback, private, link-local, a unix socket or a single label."""
    if host.is_socket:
        return True
    name = _plain(host.name)
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _SINGLE_LABEL.fullmatch(name) is not None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in _NEAR)


def _plain(name: str) -> str:
    return name.strip().lower().removesuffix(".")
