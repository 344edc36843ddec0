"""``kill -9`` at seeded moments of every task that writes files: the same command ends as if uninterrupted."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forked import command
from oracle import of_run
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow
KILLS = {"prepare": 6, "train": 8, "attack": 9, "stages": 5, "certify": 7}  # 35 by the clock
CHANGES, LAST = 3, 5  # and kills before this number of changes of files, and before each of the last changes
OF_THE_CLOCK = ("began", "ended", "seconds")
TRAINING = ["recipe.epochs=6", "recipe.held_out=0.25", "recipe.batch_size=4", "batch_size=4"]
STAGES = ["attack=autoattack", "attack.steps=5", "attack.targets=2", "attack.queries=60", "attack.eps=0.0005"]
SMOOTHING = ["smoothing.n0=16", "smoothing.n=32", "smoothing.clips=2", "smoothing.at_once=8"]


def words_of(task: str, place: tuple[Path, list[str]]) -> list[str]:
    """The arguments of a short command of a task, on the small clips and their victim."""
    folder, arguments = place
    given = [word.replace("=small.", f"={folder}/small.") for word in arguments] + [
        "runtime.device=cpu",
        "runtime.limit=6",
    ]
    data = [word for word in given if word.startswith(("dataset", "runtime"))]
    victim = [word for word in given if word.startswith("model")]
    return {
        "prepare": ["task=prepare", *data],
        "train": ["task=train", *data, "model.architecture.fc7=16", *TRAINING],
        "attack": [*given, "runtime.save_clips=true"],
        "stages": [*(w for w in given if not w.startswith("attack")), *STAGES, "runtime.save_clips=true"],
        "certify": ["task=certify", *data, *victim, *SMOOTHING],
    }[task]


def content(path: Path) -> Any:
    """The content of a file that must not depend on a kill; for weights and the store, all bytes."""
    if path.suffix == ".csv":
        return pd.read_csv(path).drop(columns="seconds").to_csv()
    if path.suffix == ".json":
        about = json.loads(path.read_text())
        about.get("rows", {}).pop("digest", None)  # the kinds of rows, which contain seconds
        return {key: value for key, value in about.items() if key not in OF_THE_CLOCK}
    if path.parent.name == "clips":  # their provenance is in any order
        return {name: (values.dtype, values.shape, values.tobytes()) for name, values in load_file(path).items()}
    return path.read_bytes()


def contents(folder: Path) -> dict[str, Any]:
    """The contents of every file below a folder, including locks: no file may be lost or left over."""
    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*") if path.is_file()}


def killed(start: Path, words: list[str], after: float) -> Path:
    """The folder of a command that was killed after these seconds of work, or half of them if it ended earlier."""
    tries = 0
    while not command(folder := start.with_name(f"{start.name}_{tries}"), words, after=after).killed:
        after, tries = after / 2, tries + 1
    return folder


def all_killed(start: Path, words: list[str], task: str, seconds: float, changes: int) -> Iterator[Path]:
    """The folders of killed commands: first at moments spread over the time of work, then before changes of files."""
    rng, count = random.Random(task), KILLS[task]
    for k in range(count):
        yield killed(start / f"clock{k}", words, (k + rng.random()) / count * seconds)
    for change in [*rng.sample(range(1, changes - LAST), CHANGES), *range(changes - LAST, changes + 1)]:
        folder = start / f"change{change}"
        assert command(folder, words, at_change=change).killed
        yield folder


def cut(folder: Path, rng: random.Random) -> None:
    """Remove the end of the last row, as a power failure may do."""
    for path in folder.rglob("*.csv"):
        rows = path.read_bytes().splitlines(keepends=True)
        if len(rows) > 1 and not path.with_name("run.json").exists():
            path.write_bytes(b"".join(rows)[: -rng.randrange(1, len(rows[-1]))])


def check_by_numpy(folder: Path) -> None:
    """Check that the rows of an attack are those that NumPy computes from its saved clips, one per clip."""
    for records in folder.rglob("records.csv"):
        rows, again = pd.read_csv(records).set_index("index"), of_run(records.parent)
        assert sorted(rows.index) == sorted(again) and len(again) == 6
        for number, expected in again.items():
            for name, value in expected.items():
                stored = rows.loc[number, name]
                if isinstance(value, bool):
                    assert bool(stored) is value, (folder.name, number, name)
                else:
                    assert stored == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), (folder.name, number, name)


@pytest.mark.parametrize("task", KILLS)
def test_a_killed_command_that_runs_again_ends_as_if_uninterrupted(
    task: str, place: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command is killed and repeated until it ends; then every file is that of an uninterrupted run."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words, rng = words_of(task, place), random.Random(f"{task} again")
    command(tmp_path / "warm", words)  # the server starts
    whole = command(tmp_path / "whole", words)
    expected = contents(tmp_path / "whole")
    assert not [name for name in expected if re.search(r"\.part\b|\.pt$|\.npz$", name)]
    kills = 0
    for folder in all_killed(tmp_path, words, task, whole.seconds, whole.changes):
        if folder.name.startswith("clock") and rng.random() < 0.5:
            cut(folder, rng)
        if rng.random() < 0.3:
            command(folder, words, after=rng.random() * whole.seconds)
        command(folder, words)
        kills, found = kills + 1, contents(folder)
        assert {*found} == {*expected}, folder.name
        assert [name for name in expected if found[name] != expected[name]] == [], folder.name
        check_by_numpy(folder)
    assert kills == KILLS[task] + CHANGES + LAST + 1
