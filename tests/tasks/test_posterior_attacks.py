"""Attacks on a surrogate with a posterior, from the clean weights to the rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.core.errors import SettingError

TASAR = ("epochs=1", "leaps=2", "copies=2")


def common(mat_folder: Path, folder: Path) -> list[str]:
    names = ("cache", "checkpoint", "output")
    own = [f"runtime.{name}_dir={folder}/{name}" for name in names]
    data = ["dataset=utd_mhad", f"dataset.root={mat_folder}", "model.architecture.fc7=16"]
    return [*data, "batch_size=4", "runtime.device=cpu", *own]


def train(words: list[str]) -> list[str]:
    return [*words, "task=train", "recipe.epochs=1", "recipe.batch_size=6"]


def test_an_attack_draws_from_the_posterior_of_its_surrogate(mat_folder: Path, tmp_path: Path) -> None:
    words = common(mat_folder, tmp_path)
    tasks.run(job_of(train(words)))
    tasks.run(job_of(train([*words, "training=tasar", *(f"training.{word}" for word in TASAR)])))
    tasks.run(job_of(train([*words, "training=ba", "training.epochs=1"])))
    surrogate = [*words, "model@surrogate=hcn", "surrogate.architecture.fc7=16", "runtime.limit=4", "attack.draws=2"]
    cases: dict[str, tuple[list[str], int, int]] = {
        "tasar": ([f"surrogate_training.{word}" for word in TASAR], 3 + 1, 3),
        "ba": (["surrogate_training.epochs=1"], 2 * 3 + 1, 2 * 3),
    }
    for name, (own, forwards, gradients) in cases.items():
        chosen = [f"attack={name}", "attack.steps=3", f"training@surrogate_training={name}", *own]
        folder = tasks.run(job_of([*surrogate, *chosen]))
        assert folder is not None
        about: dict[str, Any] = json.loads((folder / "run.json").read_text())
        assert about["surrogate_training"]["name"].startswith(name) and about["access"] == "transfer"
        header, *rows = (line.split(",") for line in (folder / "records.csv").read_text().splitlines())
        assert len(rows) == 4
        assert {row[header.index("forwards")] for row in rows} == {str(forwards)}
        assert {row[header.index("gradients")] for row in rows} == {str(gradients)}


def test_a_network_without_a_posterior_is_refused(place: tuple[Path, list[str]], monkeypatch: Any) -> None:
    monkeypatch.chdir(place[0])
    words = [word for word in place[1] if not word.startswith("attack.")]
    with pytest.raises(SettingError, match=r"attack=tasar draws networks from a posterior.*training=tasar"):
        tasks.run(job_of([*words, "attack=tasar"]))
