"""The curves of trainings, from the JSON beside weights."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from skeleton_adv.core.errors import CheckpointError, RunError
from skeleton_adv.figures import draw_all
from skeleton_adv.report.figures.training import by_epoch, draw
from skeleton_adv.report.stats import Rate
from skeleton_adv.report.trainings import load_trainings

SELECT = [
    {"phase": "select", "epoch": n, "loss": 2.0 / n, "lr": 0.1, "held_out_accuracy": n / 4, "held_out_clips": 8}
    for n in (1, 2, 3)
]
REFIT = [
    {"phase": "refit", "epoch": n, "loss": 1.0 / n, "lr": 0.1, "held_out_accuracy": None, "held_out_clips": None}
    for n in (1, 2)
]


def checkpoint(folder: Path, name: str = "hcn_s0", **facts: Any) -> Path:
    """A checkpoint as ``task=train`` describes it."""
    about = {
        "identity": "abc",
        "dataset": "utd_mhad",
        "stand_in": True,
        "epochs": 2,
        "test_accuracy": 0.75,
        "test_clips": 4,
        "history": SELECT + REFIT,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(b"weights")
    path = folder / f"{name}.json"
    path.write_text(json.dumps({key: value for key, value in (about | facts).items() if value is not None}))
    return path


def test_the_numbers_by_hand(tmp_path: Path) -> None:
    ((one,), left_out) = load_trainings(checkpoint(tmp_path))
    frame = by_epoch(one)
    assert not left_out and frame["phase"].tolist() == ["select"] * 3 + ["refit"] * 2
    assert frame["loss"].tolist() == pytest.approx([2, 1, 2 / 3, 1, 0.5]) and frame["epoch"].tolist() == [1, 2, 3, 1, 2]
    assert frame["held_out_accuracy_hits"].tolist() == [2, 4, 6, 0, 0]
    assert frame["held_out_accuracy_clips"].tolist() == [8, 8, 8, 0, 0]
    low, high = Rate(4, 8).interval
    assert (frame["held_out_accuracy_low"][1], frame["held_out_accuracy_high"][1]) == pytest.approx((low, high))
    ((_, figure, _),) = draw([one])
    loss, accuracy = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [frame["loss"][:3].tolist(), [1.0, 0.5]]
    assert accuracy.lines[0].get_ydata().tolist() == [25, 50, 75]
    title = " ".join(figure.get_suptitle().split())
    assert "hcn_s0 on utd_mhad, a stand-in" in title and "(3/4)" in title and "2 epochs" in title


def test_without_held_out_clips_there_is_one_panel(tmp_path: Path) -> None:
    ((one,), _) = load_trainings(checkpoint(tmp_path, history=REFIT))
    ((_, figure, _),) = draw([one])
    assert len(figure.axes) == 1


def test_a_folder_and_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint(tmp_path / "c" / "utd_mhad")
    old = checkpoint(tmp_path / "c" / "utd_mhad", "old", history=None)
    (tmp_path / "c" / "other.json").write_text("{}")  # of no weights
    paths = draw_all(tmp_path / "c", tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths] == [
        f"utd_mhad/training_hcn_s0.{kind}" for kind in ("png", "pdf", "csv")
    ]
    assert len(pd.read_csv(paths[2])) == 5
    told = capsys.readouterr().err
    assert str(old) in told and told.count("\n") == 1
    weights = old.with_name("hcn_s0.safetensors")
    assert (
        len(draw_all(weights, tmp_path / "one")) == len(draw_all(weights.with_suffix(".json"), tmp_path / "two")) == 3
    )


def test_trainings_of_one_name_have_separate_files(tmp_path: Path) -> None:
    checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b", identity="def")
    assert {path.stem for path in draw_all(tmp_path, tmp_path / "out")} == {
        "training_hcn_s0_abc",
        "training_hcn_s0_def",
    }


def test_nothing_to_draw(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, history=None)
    with pytest.raises(RunError, match="contains nothing to draw"):
        draw_all(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("history", [3, "abc", [1, 2], [{"phase": "select"}], [{**SELECT[0], "loss": "high"}]])
def test_a_damaged_history_is_named(tmp_path: Path, history: Any) -> None:
    path = checkpoint(tmp_path, history=history)
    with pytest.raises(CheckpointError, match="its history is not a list of epochs"):
        load_trainings(path)
