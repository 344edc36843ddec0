"""Whole commands in forks of one process that has imported everything, with a fault injected."""

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from commands import ENV, SERVER
from forked import changes_a_file

HANG = 240.0  # seconds
Inject = Callable[..., None]  # at the start of a command, in its process


@dataclass(frozen=True)
class Ended:
    """The end of a command: its exit code (negative: a signal), its output and its seconds of work."""

    code: int
    out: str
    err: str
    seconds: float


class Command:
    """A command that runs in ``folder``; ``inject(*given)`` is called before it begins."""

    def __init__(
        self,
        folder: Path,
        words: Sequence[str],
        inject: Inject | None = None,
        given: Sequence[Any] = (),
        module: str = "skeleton_adv",
        log: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        log = log or folder.parent / f"{folder.name}_{random.getrandbits(48):x}"
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        self._ours, theirs = SERVER.Pipe()
        self._process = SERVER.Process(
            target=_work, args=(folder, list(words), inject, tuple(given), module, self._out, self._err, theirs)
        )
        self._process.start()
        theirs.close()
        self._began = 0.0

    def begun(self) -> "Command":
        """Wait until the command's work begins."""
        with contextlib.suppress(EOFError):
            self._ours.recv()
        self._began = time.perf_counter()
        return self

    def signalled(self, after: float, sent: signal.Signals) -> "Command":
        """Send a signal after some seconds of work, unless the command has ended."""
        self._process.join(after)
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, sent)
        return self

    def ended(self, within: float = HANG) -> Ended:
        """Wait for the end; raises ``TimeoutError`` if the command hangs."""
        self._process.join(within)
        seconds = time.perf_counter() - self._began
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"a command did not end within {within:.0f} s")
        code = self._process.exitcode
        out, err = (path.read_text(errors="replace") if path.exists() else "" for path in (self._out, self._err))
        for path in (self._out, self._err):
            path.unlink(missing_ok=True)
        return Ended(-1 if code is None else code, out, err, seconds)


def run(folder: Path, words: Sequence[str], inject: Inject | None = None, *given: Any, **more: Any) -> Ended:
    """Run a command to its end."""
    return Command(folder, words, inject, given, **more).begun().ended()


def _work(
    folder: Path,
    words: list[str],
    inject: Inject | None,
    given: tuple[Any, ...],
    module: str,
    out: Path,
    err: Path,
    parent: Connection,
) -> None:
    import torch  # so that reading this file does not

    from skeleton_adv.evaluation import state

    os.chdir(folder)
    os.environ.update(ENV)
    torch.set_num_threads(1)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        with open(path, "wb", buffering=0) as file:
            os.dup2(file.fileno(), stream.fileno())
    state.SAVE_SECONDS = 0.0  # as if a pass took half a minute, so that a kill within a clip matters
    sys.argv = [module, *words]
    if inject is not None:
        inject(*given)
    parent.send("begun")
    import_module("skeleton_adv.__main__" if module == "skeleton_adv" else module).main()


def before_changes(act: Callable[[int], None]) -> None:
    """Call ``act(number)`` before each change of a file."""
    number = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        if changes_a_file(event, arguments):
            number += 1
            act(number)

    sys.addaudithook(watch)


def kill_at(change: int) -> None:
    """``kill -9`` before a change of a file."""
    before_changes(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == change else None)


def delete_at(change: int, folder: Path) -> None:
    """Delete a folder before a change of a file."""

    def act(number: int) -> None:
        if number == change:
            shutil.rmtree(folder, ignore_errors=True)

    before_changes(act)


def count_changes(path: Path) -> None:
    """Note the number of changes of files in a file, outside the command's folder."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def note(number: int) -> None:
        os.pwrite(descriptor, str(number).encode(), 0)

    before_changes(note)


def delay_renames(seed: int) -> None:
    """Let each rename take up to 0.3 s before and after, as on a network file system."""
    rng, rename, replace = random.Random(seed), os.rename, os.replace

    def slowly(change: Callable[..., None]) -> Callable[..., None]:
        def slow(*arguments: Any, **named: Any) -> None:
            time.sleep(rng.random() * 0.3)
            change(*arguments, **named)
            time.sleep(rng.random() * 0.3)

        return slow

    os.rename, os.replace = slowly(rename), slowly(replace)


def jump_clock(seed: int) -> None:
    """Let the clock of the day jump by up to a year, forwards and backwards, at each reading."""
    from skeleton_adv.runs import provenance

    rng, clock = random.Random(seed), time.time
    moment: Any = vars(provenance)["datetime"]

    def jump() -> float:
        return clock() + (rng.random() - 0.5) * 2 * 365 * 86400

    class Jumping(moment):  # type: ignore[misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return moment.fromtimestamp(jump(), tz)

    time.time, time.time_ns = jump, lambda: int(jump() * 1e9)
    vars(provenance)["datetime"] = Jumping
