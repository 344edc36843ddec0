"""Robust trainings by the command line: they find their clean weights, and attacks find theirs."""

import json
from pathlib import Path

import pytest
from jobs import job_of
from safetensors.torch import load_file

from skeleton_adv import tasks
from skeleton_adv.core.errors import CheckpointError


def words_of(mat_folder: Path, folder: Path) -> list[str]:
    own = [f"runtime.{name}_dir={folder}/{name}" for name in ("cache", "checkpoint", "output")]
    return [
        *("dataset=utd_mhad", f"dataset.root={mat_folder}", "model.architecture.fc7=16", "dataset.num_frames=16"),
        *("batch_size=4", "runtime.device=cpu", *own),
    ]


TRAIN = ["task=train", "recipe.epochs=1", "recipe.batch_size=12", "recipe.held_out=0"]


def test_a_robust_victim_is_trained_from_clean_weights_and_attacked(mat_folder: Path, tmp_path: Path) -> None:
    words, own = words_of(mat_folder, tmp_path), ["training=msvdd", "training.start_from=clean", "training.epochs=2"]
    folder = tmp_path / "checkpoint/utd_mhad"
    with pytest.raises(CheckpointError, match="hcn_skelact_t16_k27_s0"):
        tasks.run(job_of([*words, *TRAIN, *own, "model=hcn_skelact"]))
    tasks.run(job_of([*words, *TRAIN]))
    tasks.run(job_of([*words, *TRAIN, *own]))
    path = folder / "hcn_t16_k27_msvdd_start_fromclean_epochs2_s0.safetensors"
    about = json.loads(path.with_suffix(".json").read_text())
    assert len(about["history"]) == 2 and about["settings"]["training"]["settings"]["start_from"] == "clean"
    assert len(about["settings"]["clean"]) == 64 and "fc8.centres" in load_file(path)
    attack = ["attack=pgd", "attack.steps=1", "runtime.limit=2", "batch_size=2"]
    tasks.run(job_of([*words, *own, *attack]))
    (run,) = (tmp_path / "output").rglob("run.json")
    assert json.loads(run.read_text())["training"]["name"] == about["settings"]["training"]["name"]
