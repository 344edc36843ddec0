"""Disks that are full, cannot be written or lose a folder, and several processes in one folder."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.kills import again, measured
from faults.outcome import REFUSED, SAME, Outcome, is_one_line
from faults.place import Place, differences
from faults.process import Command, Ended, delay_renames, delete_at, jump_clock, run

BLOCK = 4096  # bytes that a file takes at least


def can_mount() -> bool:
    """Whether file systems can be mounted here."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes in memory, mounted at ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)


def full_disks(place: Place, folder: Path, count: int, tasks: tuple[str, ...]) -> Iterator[Outcome]:
    """A disk that becomes full at ``count`` moments per task, and is then enlarged."""
    for task in tasks:
        words = place.words(task)
        expected = measured(place, task).expected
        paths = [path for path in (place.folder / f"uninterrupted_{task}/whole").rglob("*") if path.is_file()]
        need = sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in paths) + BLOCK * len(paths)
        outcome = Outcome("full disk", task)
        for number in range(count):
            size = max(int((number + 0.5) / count * need), 2 * BLOCK)
            with disk(folder / task / f"full{number}", size) as at:
                ended = run(at, words, log=folder / task / f"full{number}_log")
                if not refused(ended, "space", outcome, f"disk of {size} bytes"):
                    continue
                _mount("-o", "remount,size=256m", at)
                again(at, words, expected, outcome, f"disk of {size} bytes", f"{REFUSED}, then {SAME}")
        yield outcome


def read_only(place: Place, folder: Path, tasks: tuple[str, ...]) -> Iterator[Outcome]:
    """A folder that cannot be written, at first and after half of the changes of files."""
    for task in tasks:
        words = place.words(task)
        expected = measured(place, task).expected
        outcome = Outcome("read-only folder", task)
        with disk(folder / task / "ro", 1 << 28) as at:
            _mount("-o", "remount,ro", at)
            log = folder / task / "ro_log"
            if refused(run(at, words, log=log), "ead-only", outcome, "read-only"):
                _mount("-o", "remount,rw", at)
                again(at, words, expected, outcome, "read-only", f"{REFUSED}, then {SAME}")
        yield outcome


def deleted_folders(place: Place, folder: Path, count: int, tasks: tuple[str, ...]) -> Iterator[Outcome]:
    """A folder of outputs that is deleted before ``count`` changes of files per task."""
    for task in tasks:
        words, rng = place.words(task), random.Random(f"deleted {task}")
        changes, expected = measured(place, task).changes, measured(place, task).expected
        outcome = Outcome("deleted folder", task)
        for number, change in enumerate(sorted(rng.sample(range(2, changes + 1), min(count, changes - 1)))):
            at = folder / task / f"d{number}"
            ended = run(at, words, delete_at, change, at / "outputs")
            if ended.code not in (0, 2) or (ended.code == 2 and not is_one_line(ended.err)):
                outcome.failed(f"deleted before change {change}: exit code {ended.code}: {ended.err[-300:]}")
                continue
            again(at, words, expected, outcome, f"deleted before change {change}")
        yield outcome


def together(place: Place, folder: Path, counts: tuple[int, ...], tasks: tuple[str, ...]) -> Iterator[Outcome]:
    """Several processes with the same command in one folder, with and without slow renames."""
    for task in tasks:
        words = place.words(task)
        expected = measured(place, task).expected
        for count in counts:
            for slow in (False, True):
                outcome = Outcome(f"{count} processes{', slow renames' if slow else ''}", task)
                at = folder / task / f"p{count}{slow}"
                started = [
                    Command(at, words, delay_renames if slow else None, (k,) if slow else ()) for k in range(count)
                ]
                ends = [one.begun() for one in started]
                compare(at, [one.ended() for one in ends], expected, outcome)
                yield outcome


def clocks(place: Place, folder: Path, count: int, tasks: tuple[str, ...]) -> Iterator[Outcome]:
    """A clock of the day that jumps by up to a year at each reading."""
    for task in tasks:
        words = place.words(task)
        expected = measured(place, task).expected
        outcome = Outcome("clock jumps", task)
        for seed in range(count):
            at = folder / task / f"c{seed}"
            compare(at, [run(at, words, jump_clock, seed)], expected, outcome)
        yield outcome


def compare(folder: Path, ends: list[Ended], expected: dict[str, object], outcome: Outcome) -> None:
    """All commands must have succeeded, and every file must be that of one command alone."""
    bad = [f"exit code {one.code}: {one.err[-300:]}" for one in ends if one.code]
    wrong = bad or differences(folder, expected)
    if wrong:
        outcome.failed(f"{', '.join(wrong[:4])}")
    else:
        outcome.ended("the same files")


def refused(ended: Ended, named: str, outcome: Outcome, what: str) -> bool:
    """Whether a command failed with one line that names the reason; what else it did is noted."""
    if ended.code == 2 and is_one_line(ended.err) and named in ended.err:
        return True
    if ended.code == 0:
        outcome.ended("finished, since the disk was large enough")
    else:
        outcome.failed(f"{what}: exit code {ended.code}: {ended.err[-300:]}")
    return False
