"""Servers and leases are plain values that show no password."""

from __future__ import annotations

from labkit.redaction import Redactor, Secret
from labkit.services.endpoints import secrets_of
from tests.services.test_handover import LEASE


def test_leases_print_no_password() -> None:
    """Neither `repr` nor `str` of a lease shows one of its URLs."""
    for shown in (repr(LEASE), str(LEASE), f"{LEASE}"):
        assert "-pass" not in shown
        assert "labkit_a1b2" in shown


def test_secrets_of_a_lease() -> None:
    """They are its three URLs, and the password in each, so that either is masked alone."""
    secrets = secrets_of(LEASE)
    assert {LEASE.owner_url, LEASE.platform_url, LEASE.redis_url} < set(secrets)
    assert {Secret("first-pass"), Secret("second-pass"), Secret("third-pass")} < set(secrets)
    redactor = Redactor(secrets)
    assert redactor.text("role owner, first-pass, third-pass") == "role owner, ***, ***"
