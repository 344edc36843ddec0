"""Commands in forks of one process that has imported everything, to kill them at a chosen moment.

The fork server of ``multiprocessing`` imports the program once and never computes. Its forks are safe, because it has
no active threads. A command then takes only the time of its work.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from commands import SERVER
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.evaluation import state

WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Ended:
    """The end of a command: ``seconds`` of work, and ``changes`` of files; both only if it was not killed."""

    killed: bool
    seconds: float
    changes: int


def command(folder: Path, words: Sequence[str], *, after: float | None = None, at_change: int | None = None) -> Ended:
    """Run a command in ``folder``; ``kill -9`` it ``after`` seconds of work, or just before its n-th change of a file.

    Raises ``AssertionError`` with its output if it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=_work, args=(folder, log, list(words), at_change, theirs))
    process.start()
    theirs.close()
    received: list[Any] = []
    try:
        received.append(ours.recv())  # work begins
        began = time.perf_counter()
        process.join(after)
        if process.is_alive():
            process.kill()
            process.join()
        seconds = time.perf_counter() - began
        received.append(ours.recv())
    except EOFError:
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL), log.read_text()
    if process.exitcode:
        assert received, "it was killed before it began to work"
        return Ended(True, 0.0, 0)
    return Ended(False, seconds, received[1])


def _work(folder: Path, log: Path, words: list[str], at_change: int | None, parent: Connection) -> None:
    os.chdir(folder)
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    state.SAVE_SECONDS = 0.0  # as if a pass took half a minute
    torch.set_num_threads(1)
    job = job_of(words)
    changes = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        if changes_a_file(event, arguments):
            changes += 1
            if changes == at_change:
                os.kill(os.getpid(), signal.SIGKILL)

    parent.send("begun")
    sys.addaudithook(watch)
    tasks.run(job)
    parent.send(changes)


def changes_a_file(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event of Python writes, renames or removes a file."""
    if event == "open":
        return bool(arguments[2] & WRITING) and not str(arguments[0]).startswith("/dev/")
    return event in ("os.rename", "os.remove", "os.truncate") and os.path.lexists(arguments[0])
