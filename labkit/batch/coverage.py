"""Which lines of the targets' packages ran, in kernels and in the processes that these start.

coverage.py starts each of them, and each writes a file of its own when it ends; one that is killed
writes none. Kernels start cold: what a warm process had imported would count as never run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from labkit.errors import TargetError, UsageError
from labkit.journal import FileCoverage
from labkit.targets.loading import load_target

if TYPE_CHECKING:
    from coverage import Coverage

GET_COVERAGE: Final = (
    "in a clone: pip install -e '.[coverage]', else: pip install 'labkit[coverage]'"
)
"""How coverage.py is installed for this interpreter."""

_SETTINGS: Final = """[run]
data_file = {data}
parallel = true
sigterm = true
source_pkgs = {packages}
disable_warnings = module-not-imported, no-data-collected
"""


def require_coverage() -> None:
    """Raise `UsageError` where coverage.py is not installed."""
    if find_spec("coverage") is None:
        raise UsageError(f"--coverage needs coverage.py, which is not installed: {GET_COVERAGE}")


def package_of(target: str) -> str:
    """The package of a target (`package.module:Class`); the module where it is in none.

    Nothing below its top-level package is imported for it.
    """
    module = target.partition(":")[0]
    parent = module.rpartition(".")[0]
    if not parent:
        return module
    try:
        spec = find_spec(module)
    except ImportError:
        return parent  # it lies in no package; its notebook tells that
    return module if spec is not None and spec.submodule_search_locations is not None else parent


def sabotages_of(target: str) -> str | None:
    """The package of a target's sabotages; None where it brings none, or cannot be loaded."""
    try:
        named = getattr(load_target(target), "sabotages", None)
    except TargetError:
        return None  # its notebooks tell what is wrong with it
    return package_of(named) if isinstance(named, str) else None


class CoverageMeter:
    """Measures the packages of targets, by files in a private folder of its own.

    Their sabotages are left out, since no run executes them.
    """

    def __init__(self, folder: Path, targets: Collection[str]) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._left_out = {package for package in map(sabotages_of, targets) if package}
        self.settings = folder / "settings.ini"
        """What processes that are to be measured are started with."""
        packages = ",".join(sorted(set(map(package_of, targets))))
        text = _SETTINGS.format(data=folder / "data", packages=packages)
        self.settings.write_text(text, encoding="utf-8")

    def measured(self) -> tuple[FileCoverage, ...]:
        """What ran in all processes that have ended; modules that nobody imported count too.

        Those without a statement are left out.
        """
        from coverage import Coverage  # noqa: PLC0415 - only who measures needs it
        from coverage.exceptions import NoDataError  # noqa: PLC0415

        measured = Coverage(config_file=str(self.settings))
        try:
            measured.combine([str(self._folder)], strict=True)
        except NoDataError:
            return ()
        files = (file for file in _files(measured) if file.statements and self._counts(file.module))
        return tuple(sorted(files, key=lambda file: file.module))

    def _counts(self, module: str) -> bool:
        return not any(f"{module}.".startswith(f"{package}.") for package in self._left_out)


def _files(measured: Coverage) -> Iterator[FileCoverage]:
    for path in measured.get_data().measured_files():
        _, statements, _, missed, _ = measured.analysis2(path)
        yield FileCoverage(_module(Path(path)), len(statements), tuple(missed))


def _module(path: Path) -> str:
    """The name by which a file is imported, from the packages that it lies in."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    for folder in path.parents:
        if not (folder / "__init__.py").is_file():
            break
        parts.insert(0, folder.name)
    return ".".join(parts)
