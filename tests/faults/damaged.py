"""Files that were cut short or changed after they were written: what reads them finds the damage or is not misled."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from damage import changed

from faults.outcome import REFUSED, Outcome, is_one_line
from faults.place import Place
from faults.process import Ended, run

FILES = {  # which file is damaged, and the name of a command that reads it
    "records.csv of a finished run": ("outputs/runs/**/records.csv", "again"),
    "records.csv, in its tables": ("outputs/runs/**/records.csv", "tables"),
    "run.json": ("outputs/runs/**/run.json", "again"),
    "run.json, in its tables": ("outputs/runs/**/run.json", "tables"),
    "begun.json": ("outputs/runs/**/begun.json", "again"),
    "saved clips": ("outputs/runs/**/clips/*.safetensors", "export"),
    "prepared clips": ("outputs/prepared/**/frames.npy", "fresh"),
    "prepared mask": ("outputs/prepared/**/exists.npy", "fresh"),
    "list of prepared clips": ("outputs/prepared/**/store.json", "fresh"),
    "weights": ("small.safetensors", "fresh"),
    "facts beside weights": ("small.json", "fresh"),
}


def damaged(place: Place, folder: Path, count: int, kinds: Sequence[str] = tuple(FILES)) -> Iterator[Outcome]:
    """Each kind of file with ``count`` seeded changes: bytes flipped, lost, doubled or replaced, or the end cut off."""
    whole = folder / "whole"
    whole.mkdir(parents=True)
    for path in place.folder.glob("small.*"):
        shutil.copy(path, whole / path.name)
    words = place.words("attack", Path("small.safetensors"))
    first = run(whole, words)
    assert first.code == 0, first.err
    for name, (pattern, reader) in ((kind, FILES[kind]) for kind in kinds):
        path = min(whole.glob(pattern))
        unchanged = Path(shutil.copytree(whole, folder / f"unchanged_{name.replace(' ', '_')}"))
        expected = shown(unchanged, words, reader)[1]
        yield _changes(Outcome("changed file", name), whole, path, count, words, reader, expected)


def _changes(
    outcome: Outcome, whole: Path, path: Path, count: int, words: list[str], reader: str, expected: Any
) -> Outcome:
    rng, original = random.Random(outcome.where), path.read_bytes()
    for number in range(count):
        at = whole.with_name(f"{outcome.where.replace(' ', '_')}_{number}")
        shutil.copytree(whole, at)
        (at / path.relative_to(whole)).write_bytes(changed(original, rng))
        try:
            ended, seen = shown(at, words, reader)
        except TimeoutError as error:
            outcome.failed(f"change {number}: {error}")
            continue
        if ended.code == 2 and is_one_line(ended.err):
            outcome.ended(REFUSED)
        elif ended.code != 0:
            outcome.failed(f"change {number}: exit code {ended.code}: {ended.err[-300:]}")
            continue
        elif seen == expected:
            outcome.ended("the same numbers")
        else:
            outcome.failed(f"change {number} is not noticed: {difference(seen, expected)}")
            continue
        shutil.rmtree(at)
    return outcome


def shown(folder: Path, words: list[str], reader: str) -> tuple[Ended, Any]:
    """A command that reads the files of a folder, and the numbers that it leaves or shows."""
    commands: dict[str, Callable[[], Ended]] = {
        "again": lambda: run(folder, words),
        "fresh": lambda: run(folder, [*words, "runtime.output_dir=outputs/others"]),
        "tables": lambda: run(folder, ["outputs/runs"], module="skeleton_adv.tables"),
        "export": lambda: run(folder, [_run_in(folder), "--out", "clips.npz"], module="skeleton_adv.export"),
    }
    ended = commands[reader]()
    if ended.code:
        return ended, None
    if reader == "tables":
        return ended, ended.out
    if reader == "export":
        made = folder / "clips.npz"
        return ended, {name: values.tobytes() for name, values in np.load(made).items()} if made.exists() else {}
    place = folder / "outputs" / ("others" if reader == "fresh" else "runs")
    rows = {path.name: pd.read_csv(path).drop(columns="seconds").to_csv() for path in place.rglob("records.csv")}
    return ended, rows


def _run_in(folder: Path) -> str:
    """The folder of the run, relative to ``folder``."""
    return str(next(folder.glob("outputs/runs/**/records.csv")).parent.relative_to(folder))


def difference(seen: Any, expected: Any) -> str:
    """The first place in which two readings differ."""
    a, b = str(seen), str(expected)
    at = next((k for k, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    return f"{a[max(at - 60, 0) : at + 60]!r}, not {b[max(at - 60, 0) : at + 60]!r}"
