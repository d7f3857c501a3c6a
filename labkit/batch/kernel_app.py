"""A notebook's kernel, as a program: `python -m labkit.batch.kernel_app -f CONNECTION_FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from ipykernel.kernelapp import IPKernelApp


class KernelApp(IPKernelApp):
    """ipykernel's, which ends when it is asked to.

    ipykernel ends its iopub thread while its control thread may be waiting for it: then a kernel,
    some five in a hundred, takes ten seconds to end.
    """

    def init_gui_pylab(self) -> None:
        """Connect matplotlib with the shell, also where it was imported before there was one."""
        super().init_gui_pylab()  # type: ignore[no-untyped-call]
        inline = sys.modules.get("matplotlib_inline.backend_inline")
        if inline is not None:
            inline._enable_matplotlib_integration()  # noqa: SLF001 - what its import does

    def start(self) -> None:
        """Serve until the kernel is to end, and let the control thread come to its end first."""
        try:
            super().start()  # type: ignore[no-untyped-call]
        finally:
            self.control_thread.stop()
            self.control_thread.join()


def launch() -> None:
    """Be a kernel until it is ended."""
    if Path(sys.path[0] or ".").resolve() == Path.cwd():
        del sys.path[0]  # as `python -m ipykernel_launcher` does: the shell adds it in its own way
    KernelApp.launch_instance()


if __name__ == "__main__":
    launch()
