"""Where the lab keeps things on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.services.places import default_cache, scratch_folders


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LABKIT_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/labkit"),
        ({"HOME": "/c"}, "/c/.cache/labkit"),
        ({"LABKIT_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/labkit"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    environment: dict[str, str], expected: str
) -> None:
    """The lab's own variable wins over XDG's, and that over the home folder."""
    assert default_cache(environment) == Path(expected)


@pytest.mark.parametrize("executable", [True, False])
def test_scratch_folders_can_be_used_and_are_short(*, executable: bool) -> None:
    """The first scratch folder can be written to, and a socket's path fits below it."""
    first, *others = scratch_folders(executable=executable)
    assert os.access(first, os.W_OK | os.X_OK)
    assert all(len(os.fsencode(folder)) <= 65 for folder in (first, *others))
    assert not (executable and os.statvfs(first).f_flag & os.ST_NOEXEC)
