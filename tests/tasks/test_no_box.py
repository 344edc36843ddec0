"""Hard No-Box from the command line: an encoder that is trained without labels, and the attack with it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.core.errors import SettingError

TRAINING = ["hidden=6", "layers=1", "dim=8"]


def words_of(mat_folder: Path, place: Path) -> list[str]:
    return [
        *("dataset=utd_mhad", f"dataset.root={mat_folder}", "dataset.num_frames=16", "runtime.device=cpu"),
        *(f"runtime.{name}_dir={place / name}" for name in ("output", "cache", "checkpoint")),
    ]


def encoder(role: str) -> list[str]:
    """The words that choose a small encoder as the ``model`` or the ``surrogate``."""
    option, training = ("model", "training") if role == "model" else ("model@surrogate", "surrogate_training")
    group = "training" if role == "model" else "training@surrogate_training"
    own = [f"{option}=contrastive_encoder_small", f"{role}.architecture.width=8", f"{group}=contrastive"]
    return [*own, *(f"{training}.{word}" for word in TRAINING)]


def test_an_encoder_is_trained_and_attacked_without_labels(mat_folder: Path, tmp_path: Path) -> None:
    words = words_of(mat_folder, tmp_path)
    trained = [*words, "task=train", *encoder("model"), "recipe.epochs=1", "recipe.batch_size=4"]
    tasks.run(job_of(trained))
    (about,) = (tmp_path / "checkpoint").rglob("contrastive_encoder*.json")
    facts = json.loads(about.read_text())
    assert "test_accuracy" not in facts and facts["settings"]["training"]["name"] == "contrastive"
    tasks.run(job_of([*words, "task=train", "model=hcn", "model.architecture.fc7=16", "recipe.epochs=1"]))
    attack = [*words, "model=hcn", "model.architecture.fc7=16", *encoder("surrogate"), "attack=no_box", "batch_size=3"]
    folder = tasks.run(job_of([*attack, "attack.steps=2", "runtime.limit=4"]))
    assert folder is not None
    run = json.loads((folder / "run.json").read_text())
    assert run["access"] == "none" and run["surrogate_training"]["name"] == "contrastive" and run["done"] == 4
    rows = pd.read_csv(folder / "records.csv")
    assert len(rows) == 4 and not rows.found.any() and not rows.falling.any() and rows.gradient.isna().all()
    assert (rows.linf > 0).all() and (rows.linf <= 2.1e-4).all() and (rows.forwards == 3).all()
    (fitted,) = (tmp_path / "checkpoint").rglob("no_box_*.json")
    assert fitted.with_suffix(".safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["attack=pgd", "model@surrogate=contrastive_encoder", "training@surrogate_training=contrastive"], "no_box"),
        (["attack=no_box", "model@surrogate=contrastive_encoder"], "surrogate_training=contrastive"),
        (["attack=no_box", "targeted=true"], "targeted=false"),
        (["attack=pgd", "model=contrastive_encoder"], "model@surrogate=contrastive_encoder"),
        (["task=certify", "model=contrastive_encoder"], "model@surrogate=contrastive_encoder"),
        (["task=train", "model=contrastive_encoder"], "training=contrastive"),
        (["task=train", "model=hcn", "training=contrastive", "recipe.held_out=0"], "model=contrastive_encoder"),
        (
            ["task=train", "model=contrastive_encoder", "training=contrastive", "recipe.held_out=0.1"],
            "recipe.held_out=0.0",
        ),
    ],
)
def test_what_has_no_classes_is_refused_where_they_are_required(words: list[str], message: str) -> None:
    job = job_of(words)
    with pytest.raises(SettingError, match=message) as caught:
        job.task.check(job)  # type: ignore[attr-defined]
    assert len(str(caught.value).splitlines()) == 1
