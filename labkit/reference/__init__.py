"""The platform that the lab can test out of the box; its name is `labkit.reference:Platform`."""

from labkit.reference.platform import InKernel, Parts, Platform

__all__ = ["InKernel", "Parts", "Platform"]
