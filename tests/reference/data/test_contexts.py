"""A user's context holds any id that a user can have, and no other."""

from __future__ import annotations

import pytest

from labkit.errors import Rejected
from labkit.reference.data.contexts import LONGEST_USER, UserContext


@pytest.mark.parametrize("user", ["u", " ", "x" * LONGEST_USER, "\U0001f600" * LONGEST_USER])
def test_a_context_holds_its_user_as_it_is(user: str) -> None:
    """Whatever characters the id is made of."""
    assert UserContext(user).user == user


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("", "not empty"),
        ("nul\0", "without NUL"),
        ("half \ud800", r"half of a surrogate pair, not 'half \\ud800'"),
        ("x" * (LONGEST_USER + 1), "at most 200 characters, not of 201"),
        ("x" * 1_000_000, "not of 1,000,000"),
    ],
    ids=["empty", "nul", "surrogate", "long", "longer"],
)
def test_an_id_that_no_user_can_have_is_rejected(user: str, reason: str) -> None:
    """With the reason, which does not repeat a long one."""
    with pytest.raises(Rejected, match=reason) as refused:
        UserContext(user)
    assert len(str(refused.value)) < 200
