"""Runs the processes of the Procfile together: when one ends or a signal comes, all end.

Run as `python -m haechi.supervisor LOG NAME ...` by the platform's start; it knows which processes there are from the
Procfile and nothing of what they do. Their output goes to one log file.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Printer

PROJECT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1  # prctl(2): the signal this process gets when its parent dies


def supervise(names: list[str], log: Path) -> int:
    """Run the named processes until one ends; returns its exit status (130 and 143 after SIGINT and SIGTERM)."""
    end_with_the_parent()
    os.umask(0o077)  # what this process and its children write is for their user alone
    processes = parse_procfile((PROJECT / "Procfile").read_text(encoding="utf-8")).processes
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as output:
        manager = Manager(Printer(output=output))
        for name in names:
            manager.add_process(name, f"exec {processes[name]}", env=dict(os.environ), cwd=str(PROJECT))
        manager.loop()
    return int(manager.returncode or 0)


def end_with_the_parent() -> None:
    """Ask the kernel for SIGTERM when the process that started us is gone, so that none is left behind (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[2:], Path(sys.argv[1])))
