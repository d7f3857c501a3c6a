"""The one place where the database's errors become the platform's refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from labkit.errors import Denied, Rejected, ServiceUnavailable


@contextmanager
def refusals(*, denied: str = "", rejected: str = "") -> Iterator[None]:
    """Turn what the database refuses in the block into `Denied` or `Rejected`, with these words.

    A refused policy or privilege (42501) and a missing or foreign row (23503) are denied; other
    constraints (class 23) and values that do not fit (class 22) are rejected. A statement that took
    too long is `ServiceUnavailable`. Everything else, such as a lost connection or a serialization
    failure, comes through as the driver's own error.
    """
    try:
        yield
    except TimeoutError as error:
        raise ServiceUnavailable(
            "PostgreSQL gave no answer in time: another transaction may hold the row"
        ) from error
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state in {"42501", "23503"}:
            raise Denied(denied or str(error)) from error
        if state[:2] in {"22", "23"}:
            raise Rejected(rejected or str(error)) from error
        raise


def no_such(user: str, kind: str, row: str) -> str:
    """The same words for another's row as for none, so that they tell nothing."""
    return f"user {user!r} has no {kind} {row!r}"
