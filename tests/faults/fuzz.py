"""Seeded changes of every file that is read and of command lines: each is read, or refused in one line."""

import contextlib
import io
import random
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from commands import SERVER
from damage import changed
from small_sets import MAKERS

from faults.outcome import READ, REFUSED, Outcome, is_one_line

HANG, STILL = 10, 120  # seconds that one input may take: of a core, and of the clock on a busy machine
MEMORY = 300.0  # megabytes beyond twice the file
PART = 50  # inputs per process


def readers(folder: Path, count: int, kinds: Sequence[str] = tuple(MAKERS)) -> Iterator[Outcome]:
    """``count`` changed files of every kind of dataset."""
    for kind in kinds:
        outcome = Outcome("changed input", kind)
        for part in range(-(-count // PART)):
            place = folder / kind.replace(" ", "_").replace(":", "") / str(part)
            place.mkdir(parents=True)
            _in_a_fork(_read, (kind, place, part, min(PART, count - part * PART)), outcome)
        yield outcome


def command_lines(count: int, commands: Sequence[str]) -> Iterator[Outcome]:
    """``count`` changed command lines, which are checked but not run."""
    outcome = Outcome("changed input", "command line")
    for part in range(-(-count // PART)):
        _in_a_fork(_check, (list(commands), part, min(PART, count - part * PART)), outcome)
    yield outcome


def _in_a_fork(work: Any, given: tuple[Any, ...], outcome: Outcome) -> None:
    """Do ``work`` in a fork of the server, which notes how each input ended, and how much memory was used."""
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=work, args=(*given, theirs))
    process.start()
    theirs.close()
    try:
        while True:
            how, why = ours.recv()
            outcome.failed(why) if how == "wrong" else outcome.ended(how)
    except EOFError:
        process.join()
    if process.exitcode:
        outcome.failed(f"{outcome.where}: the process ended with code {process.exitcode}")


def _read(kind: str, folder: Path, part: int, count: int, parent: Connection) -> None:
    from skeleton_adv.core.errors import UserError
    from skeleton_adv.data.store import read_checked

    rng = random.Random(f"{kind} {part}")
    dataset, paths = MAKERS[kind](folder)
    contents = {path: path.read_bytes() for path in paths}

    def read() -> None:
        fresh = replace(dataset)
        clips = fresh.clips()
        for raw in fresh.one_pass(clips) or ():
            if isinstance(raw, UserError):
                raise raw
        for clip in clips:
            raw = read_checked(fresh, clip)
            assert np.isfinite(raw.frames).all() and raw.frames.dtype == np.float32, "values that are not finite"

    read()
    for number in range(count):
        path = rng.choice(paths)
        path.write_bytes(changed(contents[path], rng))
        _try(read, f"{kind}, part {part}, input {number}", 2 * path.stat().st_size / 1e6, parent)
        path.write_bytes(contents[path])


def _check(commands: list[str], part: int, count: int, parent: Connection) -> None:
    from skeleton_adv.command import cli

    rng = random.Random(f"commands {part}")
    for number in range(count):
        words = rng.choice(commands).split()
        if rng.random() < 0.3:
            words.append(rng.choice(rng.choice(commands).split()))
        for _ in range(rng.choice((0, 1, 1, 2))):
            k = rng.randrange(len(words))
            words[k] = changed(words[k].encode() or b"x", rng).decode(errors="replace") or "="

        def check(words: list[str] = words) -> None:
            arguments = cli.translated(words)
            if not {"-h", "--help", "--version"} & {*arguments}:
                cli.check_arguments(arguments)

        _try(check, f"{' '.join(words)[:300]!r} (part {part}, input {number})", 0.0, parent)


def _try(read: Any, what: str, allowed: float, parent: Connection) -> None:
    """Read one input; send how that ended."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from skeleton_adv.command import cli
    from skeleton_adv.core.errors import UserError

    def hang(*_: Any) -> None:
        raise TimeoutError

    before, began = _peak(), time.monotonic()
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, hang)
    signal.alarm(STILL)
    signal.setitimer(signal.ITIMER_PROF, HANG)
    try:
        read()
        end = (READ, "")
    except TimeoutError:
        end = ("wrong", f"{what}: takes more than {HANG} s")
    except (UserError, OSError, HydraException, OmegaConfBaseException) as error:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            cli.fail(error, [])
        end = (REFUSED, "") if is_one_line(said.getvalue()) else ("wrong", f"{what}: {said.getvalue()[:300]!r}")
    except Exception as error:  # what a user would see as a traceback
        end = ("wrong", f"{what}: {type(error).__name__}: {str(error)[:200]}")
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    if _peak() - before > allowed + MEMORY:
        end = ("wrong", f"{what}: uses {_peak() - before:.0f} MB in {time.monotonic() - began:.1f} s")
    parent.send(end)


def _peak() -> float:
    """The largest memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
