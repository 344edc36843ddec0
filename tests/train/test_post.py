"""Trainings that start from clean weights."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import job_of
from safetensors.torch import load_file
from torch import nn

from skeleton_adv import tasks
from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.models.network import Network
from skeleton_adv.tasks import train
from skeleton_adv.train.post import PostTraining
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class LastLayer(PostTraining):
    """Fine-tunes the last layer of HCN."""

    epochs: int = 3
    batch_size: int = 4
    lr: float = 1e-2
    name = "last_layer"

    def network(self, clean: Network) -> Network:
        clean.requires_grad_(False)
        clean.model.get_submodule("fc8").requires_grad_(True)
        return clean


def words_of(mat_folder: Path, folder: Path) -> list[str]:
    own = [f"runtime.{name}_dir={folder}/{name}" for name in ("cache", "checkpoint")]
    return [
        *("dataset=utd_mhad", f"dataset.root={mat_folder}", "model.architecture.fc7=16", "task=train", "batch_size=4"),
        *("recipe.epochs=1", "recipe.batch_size=6", "runtime.device=cpu", *own),
    ]


def post_job(words: list[str], training: PostTraining) -> Job:
    job = job_of(words)
    return replace(job, victim=replace(job.victim, training=training))


@pytest.fixture
def clean(mat_folder: Path, tmp_path: Path) -> tuple[list[str], Path]:
    """The words of a training, and the clean weights that it has made."""
    words = words_of(mat_folder, tmp_path)
    tasks.run(job_of(words))
    return words, tmp_path / "checkpoint/utd_mhad/hcn_t32_k27_s0.safetensors"


def test_it_starts_from_the_clean_weights_and_trains_only_its_part(clean: tuple[list[str], Path]) -> None:
    words, path = clean
    before = path.read_bytes()
    tasks.run(post_job(words, LastLayer()))
    weights, trained = load_file(path), path.with_name("hcn_t32_k27_last_layer_s0.safetensors")
    fitted, about = load_file(trained), json.loads(trained.with_suffix(".json").read_text())
    moved = {key for key, value in fitted.items() if not torch.equal(value, weights[key].float())}
    assert {key for key in moved if "running" not in key} == {"fc8.weight", "fc8.bias"} and path.read_bytes() == before
    assert len(about["history"]) == 3 and {epoch["lr"] for epoch in about["history"]} == {1e-2}
    assert about["settings"]["training"]["name"] == "last_layer" and about["settings"]["recipe"]["batch_size"] == 4
    settings = {"epochs": 3, "batch_size": 4, "lr": 1e-2}
    assert about["settings"]["training"]["settings"] == settings and len(about["settings"]["clean"]) == 64
    assert {path.suffix for path in trained.parent.iterdir() if path.name.startswith(".")} <= {".lock"}


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_killed_one_ends_with_the_same_weights(
    clean: tuple[list[str], Path], stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, path = clean
    trained = path.with_name("hcn_t32_k27_last_layer_s0.safetensors")
    tasks.run(post_job(words, LastLayer()))
    whole, seen = trained.read_bytes(), 0
    trained.unlink()

    def killed(text: str) -> None:
        nonlocal seen
        seen += 1
        if seen == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "log", killed)
    with pytest.raises(KeyboardInterrupt):
        tasks.run(post_job(words, LastLayer()))
    tasks.run(post_job(words, LastLayer()))
    assert trained.read_bytes() == whole and seen == 3 + 1  # the last line is the accuracy


def test_missing_clean_weights_are_named_with_the_command_that_trains_them(mat_folder: Path, tmp_path: Path) -> None:
    words = words_of(mat_folder, tmp_path)
    job = replace(post_job(words, LastLayer()), command="python -m skeleton_adv training=last_layer training.lr=0.1")
    with pytest.raises(CheckpointError) as error:
        tasks.run(replace(job, victim=replace(job.victim, option="hcn_skelact")))
    assert "hcn_skelact_t32_k27_s0.safetensors does not exist" in str(error.value)
    assert "task=train model=hcn_skelact" in str(error.value) and "training" not in str(error.value)


def test_other_clean_weights_are_another_identity(clean: tuple[list[str], Path]) -> None:
    words, path = clean
    tasks.run(post_job(words, LastLayer()))
    path.unlink()
    path.with_suffix(".json").unlink()
    tasks.run(job_of([*words, "recipe.epochs=2"]))
    with pytest.raises(CheckpointError, match=r"last_layer_s0\.safetensors exists and was trained with other settings"):
        tasks.run(post_job(words, LastLayer()))


def test_the_recipe_gives_the_augmentation_alone() -> None:
    recipe = Recipe(epochs=70, schedule="cosine", warmup=5, crop=0.7, held_out=0.2, half=True, noise_warmup=0.5)
    own = LastLayer().recipe(recipe)
    assert (own.epochs, own.batch_size, own.crop, own.held_out, own.half) == (3, 4, 0.7, 0.0, False)
    assert {own.rate(epoch) for epoch in range(70)} == {1e-2} and own.noise_share(0) == 1.0


def test_its_name_has_the_settings_that_are_not_the_defaults() -> None:
    assert LastLayer().tag == "last_layer" and LastLayer(lr=0.5, epochs=4).tag == "last_layer_epochs4_lr0.5"
    cases: list[tuple[str, Any]] = [("epochs", 0), ("lr", -1.0), ("batch_size", 0.5)]
    for key, value in cases:
        with pytest.raises(SettingError, match=f"training.{key}="):
            PostTraining(**{key: value})


def test_the_default_optimiser_has_the_weights_that_learn() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4).requires_grad_(False))
    groups = LastLayer().optimiser(model, Recipe(), 12).param_groups
    assert [tuple(weight.shape) for group in groups for weight in group["params"]] == [(3, 2), (3,)]
