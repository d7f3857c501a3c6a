"""Kernels get a private place, their lease, and nothing beyond it."""

import sys
from pathlib import Path

from labkit.batch.environments import kernel_environment
from labkit.batch.kernels import KernelPlace, kernel_manager
from labkit.services import handover
from labkit.services.given import POSTGRES_URL, REDIS_URL


def test_a_kernel_learns_its_lease_and_not_the_servers(tmp_path: Path) -> None:
    """The URLs with the rights to make leases are taken out; all else is passed on."""
    base = {POSTGRES_URL: "postgresql://", REDIS_URL: "redis://", "HOME": "/home"}
    given = kernel_environment(base, tmp_path / "file")
    assert given[handover.VARIABLE] == str(tmp_path / "file")
    assert given["HOME"] == "/home"
    assert not {POSTGRES_URL, REDIS_URL} & given.keys()


def test_a_kernel_without_a_lease_may_take_one() -> None:
    """Plain papermill with our engine hands none over: the kernel finds the given servers."""
    base = {POSTGRES_URL: "postgresql://", REDIS_URL: "redis://"}
    assert base.items() <= kernel_environment(base, None).items()


def test_a_setting_of_the_debugger_is_the_users(tmp_path: Path) -> None:
    """What the environment says already is kept."""
    base = {"PYDEVD_DISABLE_FILE_VALIDATION": "0"}
    assert kernel_environment(base, tmp_path)["PYDEVD_DISABLE_FILE_VALIDATION"] == "0"


def test_a_kernel_is_this_interpreter_on_sockets_in_its_place(tmp_path: Path) -> None:
    """Whatever the notebook calls it, and nothing of it is reached over the network."""
    manager = kernel_manager(KernelPlace(tmp_path, {}, tmp_path))
    assert manager.transport == "ipc"
    assert Path(manager.ip).parent == tmp_path
    assert Path(manager.connection_file).parent == tmp_path
    spec = manager.kernel_spec_manager.get_kernel_spec("whatever-3")
    assert spec.argv[0] == sys.executable
    assert spec.metadata == {}


def test_a_kernel_is_forked_where_a_warm_process_listens(tmp_path: Path) -> None:
    """The manager takes our provisioner by its entry point, and tells it the door."""
    door = tmp_path / "warm.sock"
    manager = kernel_manager(KernelPlace(tmp_path, {}, tmp_path, door))
    spec = manager.kernel_spec_manager.get_kernel_spec("whatever-3")
    chosen = {"provisioner_name": "labkit-warm", "config": {"door": str(door)}}
    assert spec.metadata == {"kernel_provisioner": chosen}
