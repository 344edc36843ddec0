"""``kill -9`` and SIGTERM at seeded moments: the same command then ends as if it had never been interrupted."""

import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from faults.outcome import SAME, Outcome
from faults.place import Place, contents, differences
from faults.process import Command, count_changes, kill_at, run

TASKS = ("prepare", "train", "attack", "stages", "certify", "sweep")
LAST = 4  # a kill before each of the last changes of files


def kills(place: Place, folder: Path, count: int, tasks: tuple[str, ...] = TASKS) -> Iterator[Outcome]:
    """``kill -9`` of every task, ``count`` times each: by the clock, and before changes of files."""
    for task in tasks:
        words, rng = place.words(task), random.Random(f"kill {task}")
        whole = measured(place, task)
        changes, last = whole.changes, min(LAST, count // 3)
        early = sorted(
            rng.sample(range(1, max(changes - last, 2)), min((count - last) // 2, max(changes - last - 1, 1)))
        )
        moments: list[float | int] = [*early, *range(changes - last + 1, changes + 1)]
        by_clock = max(count - len(moments), 0)
        moments += [(k + rng.random()) / by_clock * whole.seconds for k in range(by_clock)]
        outcome = Outcome("kill -9", task)
        for number, moment in enumerate(moments):
            at = folder / task / f"k{number}"
            killed(at, words, moment)
            if rng.random() < 0.5:
                cut(at, rng)
            if rng.random() < 0.3:
                killed(at, words, rng.random() * whole.seconds, certainly=False)
            again(at, words, whole.expected, outcome, f"kill at {moment:.4g}")
        yield outcome


def terminations(place: Place, folder: Path, count: int, tasks: tuple[str, ...] = TASKS) -> Iterator[Outcome]:
    """SIGTERM, which Slurm sends before it kills, ``count`` times per task."""
    for task in tasks:
        words, rng = place.words(task), random.Random(f"term {task}")
        whole = measured(place, task)
        outcome = Outcome("SIGTERM", task)
        for number in range(count):
            at, after = folder / task / f"t{number}", (number + rng.random()) / count * whole.seconds
            ended = Command(at, words).begun().signalled(after, signal.SIGTERM).ended()
            if ended.code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
                outcome.failed(f"exit code {ended.code} after SIGTERM at {after:.2f} s: {ended.err[-200:]}")
                continue
            again(at, words, whole.expected, outcome, f"SIGTERM at {after:.2f} s")
        yield outcome


@dataclass(frozen=True)
class Whole:
    """A command that was not interrupted: its seconds, its changes of files, and the contents of its files."""

    seconds: float
    changes: int
    expected: dict[str, object]


@cache
def measured(place: Place, task: str) -> Whole:
    """An uninterrupted command of a task."""
    folder, words = place.folder / f"uninterrupted_{task}", place.words(task)
    run(folder / "warm", words)  # the server starts, and files are in memory
    counted = folder / "changes"
    whole = run(folder / "whole", words, count_changes, counted)
    assert whole.code == 0, whole.err
    return Whole(whole.seconds, int(counted.read_text()), contents(folder / "whole"))


def killed(folder: Path, words: list[str], moment: float | int, certainly: bool = True) -> None:
    """Kill a command after seconds (a float) or before a change of a file (an int); earlier if it has ended."""
    while True:
        if isinstance(moment, int):
            code = run(folder, words, kill_at, moment).code
        else:
            code = Command(folder, words).begun().signalled(moment, signal.SIGKILL).ended().code
        if code == -signal.SIGKILL or not certainly:
            return
        assert code == 0, code
        remove(folder)
        moment = moment // 2 if isinstance(moment, int) else moment / 2


def again(
    folder: Path, words: list[str], expected: dict[str, object], outcome: Outcome, what: str, how: str = SAME
) -> None:
    """Run the same command again and compare every file with those of an uninterrupted run."""
    ended = run(folder, words)
    if ended.code != 0:
        outcome.failed(f"{what}: exit code {ended.code} when repeated: {ended.err[-300:]}")
        return
    wrong = differences(folder, expected)
    if wrong:
        outcome.failed(f"{what}: {', '.join(wrong[:4])}")
        return
    outcome.ended(how)
    remove(folder)


def cut(folder: Path, rng: random.Random) -> None:
    """Remove the end of the last row, as a power failure may do."""
    for path in folder.rglob("*.csv"):
        rows = path.read_bytes().splitlines(keepends=True)
        if len(rows) > 1 and not path.with_name("run.json").exists():
            path.write_bytes(b"".join(rows)[: -rng.randrange(1, len(rows[-1]))])


def remove(folder: Path) -> None:
    """Delete what a command has written."""
    shutil.rmtree(folder, ignore_errors=True)
