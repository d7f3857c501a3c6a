"""The errors of labkit, one tree; each is also the builtin whose promise it keeps.

::

    LabError
    ├── UsageError (ValueError)              the call is wrong; exit code 2
    │   ├── ParameterError                   a parameter is unknown or of another type
    │   ├── NotebookError                    a notebook does not declare what it must
    │   ├── IdError                          a value is not the id it is given for
    │   ├── SettingError                     a setting is missing, malformed or protected
    │   └── HostRefused (PermissionError)    a given server is neither local nor allowed
    ├── InfrastructureError (RuntimeError)   services or kernels cannot start; exit code 3
    │   ├── ServiceUnavailable (ConnectionError)
    │   ├── LeaseError
    │   ├── KernelUnavailable
    │   └── NotWarm (ConnectionError)        no fork is to be had from a warm process
    ├── TargetError (RuntimeError)           a target breaks the rules of the seam
    │   └── NotDeclared (NotImplementedError)
    ├── Denied (PermissionError)             the platform refuses: not this user's
    │   └── SessionIsolationError            a session used outside the request it belongs to
    ├── Rejected (ValueError)                the platform refuses: not valid
    │   └── InvalidSettings                  settings are wrong, with each fault
    ├── RecordError (ValueError)             a record, journal line or request cannot be read
    └── NotGreen (AssertionError)            a notebook's verdict: some check is not green

A message is one sentence with the value that was wrong, where it was, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LabError(Exception):
    """Everything that labkit raises on purpose."""


class UsageError(LabError, ValueError):
    """The caller asked for something that cannot be done; nothing was started."""


class ParameterError(UsageError):
    """A parameter is unknown, of another type than declared, or not a JSON value."""


class NotebookError(UsageError):
    """A notebook cannot be read, or does not declare its checks as it must."""


class IdError(UsageError):
    """A value is not an id of the kind it is given for."""


class SettingError(UsageError):
    """A setting is missing, malformed or protected against the change."""


class HostRefused(UsageError, PermissionError):
    """A given server is not on a local or private host and was not allowed by name."""


class InfrastructureError(LabError, RuntimeError):
    """What a run stands on, its services or kernels, cannot be had."""


class ServiceUnavailable(InfrastructureError, ConnectionError):
    """PostgreSQL or Redis cannot be started or does not answer."""


class LeaseError(InfrastructureError):
    """A lease cannot be made on a server that does answer."""


class KernelUnavailable(InfrastructureError):
    """A kernel cannot be started."""


class NotWarm(InfrastructureError, ConnectionError):
    """A warm process is gone, or will not fork; its text says why."""


class TargetError(LabError, RuntimeError):
    """A target cannot be loaded, or breaks the rules of the seam."""


class NotDeclared(TargetError, NotImplementedError):
    """A target lacks a capability that it did not declare as lacking."""


class Denied(LabError, PermissionError):
    """The platform refuses, since what was asked for is not this user's."""


class SessionIsolationError(Denied):
    """A database session is used from another request, or after its own has ended."""


class Rejected(LabError, ValueError):
    """The platform refuses, since what it was given is not valid."""


@dataclass(frozen=True)
class SettingFault:
    """What is wrong with one setting; it never holds a secret's value."""

    key: str
    reason: str
    source: str
    """Where the value came from, or would have: a file, an environment variable, an update."""

    def __str__(self) -> str:
        return f"{self.key}: {self.reason} (from {self.source})"


class InvalidSettings(Rejected):
    """Settings are missing, malformed or unknown; all faults at once."""

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        self.faults = tuple(faults)
        told = "; ".join(map(str, self.faults))
        count = "1 setting is" if len(self.faults) == 1 else f"{len(self.faults)} settings are"
        super().__init__(f"{count} wrong: {told}")


class RecordError(LabError, ValueError):
    """A check's record or a journal's line cannot be read."""


class NotGreen(LabError, AssertionError):
    """The verdict of a notebook in which some check is not green."""
