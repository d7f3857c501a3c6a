"""The platform that the lab can test out of the box; its name is `labkit.reference:Platform`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.reference.platform import InKernel, Parts, Platform

__all__ = ["InKernel", "Parts", "Platform"]


def __getattr__(name: str) -> object:
    """The platform, loaded when it is first named: not each of its processes needs all of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from labkit.reference import platform  # noqa: PLC0415 - see above

    return getattr(platform, name)
