"""Each error is what its place in the tree says, and also a builtin whose promise it keeps."""

import inspect
import re

import pytest

from labkit import errors
from labkit.errors import InvalidSettings, LabError, SettingFault

BUILTINS: dict[type[LabError], tuple[type[Exception], ...]] = {
    errors.LabError: (Exception,),
    errors.UsageError: (ValueError,),
    errors.ParameterError: (ValueError,),
    errors.NotebookError: (ValueError,),
    errors.IdError: (ValueError,),
    errors.SettingError: (ValueError,),
    errors.HostRefused: (ValueError, PermissionError),
    errors.InfrastructureError: (RuntimeError,),
    errors.ServiceUnavailable: (RuntimeError, ConnectionError),
    errors.LeaseError: (RuntimeError,),
    errors.KernelUnavailable: (RuntimeError,),
    errors.NotWarm: (RuntimeError, ConnectionError),
    errors.TargetError: (RuntimeError,),
    errors.NotDeclared: (RuntimeError, NotImplementedError),
    errors.Denied: (PermissionError,),
    errors.SessionIsolationError: (PermissionError,),
    errors.Rejected: (ValueError,),
    errors.InvalidSettings: (ValueError,),
    errors.RecordError: (ValueError,),
    errors.NotGreen: (AssertionError,),
}


FAULTS = (
    SettingFault("log_level", "is missing", "default"),
    SettingFault("request_timeout_ms", "must be above 0, not -1", "file"),
)


def defined() -> dict[str, type[LabError]]:
    """The errors of the module, by name, in the order of its source."""
    return {
        name: made
        for name, made in vars(errors).items()
        if inspect.isclass(made) and issubclass(made, LabError)
    }


@pytest.mark.parametrize("error", [one for one in BUILTINS if one is not InvalidSettings])
def test_is_caught_as_its_builtin(error: type[LabError]) -> None:
    """Who knows only the builtin catches the error too, with its sentence."""
    for builtin in (*BUILTINS[error], LabError):
        with pytest.raises(builtin) as caught:
            raise error("a sentence")
        assert str(caught.value) == "a sentence"


def test_wrong_settings_are_told_with_each_fault() -> None:
    """Who knows only the builtin reads them all in one sentence; the faults stand there too."""
    with pytest.raises(ValueError, match="2 settings are wrong") as caught:
        raise InvalidSettings(FAULTS)
    assert isinstance(caught.value, InvalidSettings)
    assert caught.value.faults == FAULTS
    for told in ("log_level: is missing (from default)", "not -1 (from file)"):
        assert told in str(caught.value)


def test_the_table_knows_every_error() -> None:
    """An error that is added must say which builtin it is."""
    assert set(BUILTINS) == set(defined().values())


def test_the_drawn_tree_is_the_real_one() -> None:
    """The module's docstring draws each error under its parent, with the builtins it adds."""
    found = re.findall(r"^ {4}(\W*)(\w+)(?: \((\w+)\))?", errors.__doc__ or "", re.MULTILINE)
    parents: list[str] = []
    drawn = {}
    for branches, name, builtin in found:
        del parents[len(branches) // 4 :]
        drawn[name] = ([*parents[-1:]] or ["Exception"]) + ([builtin] if builtin else [])
        parents.append(name)
    real = {name: [base.__name__ for base in made.__bases__] for name, made in defined().items()}
    assert drawn == real
