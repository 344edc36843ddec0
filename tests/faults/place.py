"""A small dataset, a small victim, and short commands of every kind on them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.numpy import load_file

OF_THE_CLOCK = ("began", "ended", "seconds")
TRAINING = ["recipe.epochs=6", "recipe.held_out=0.25", "recipe.batch_size=4", "batch_size=4"]
STAGES = ["attack=autoattack", "attack.steps=5", "attack.targets=2", "attack.queries=60", "attack.eps=0.0005"]
SMOOTHING = ["smoothing.n0=16", "smoothing.n=32", "smoothing.clips=2", "smoothing.at_once=8"]


@dataclass(frozen=True)
class Place:
    """The arguments of a short attack in a ``folder`` with the victim's weights (the fixture ``place``)."""

    folder: Path
    arguments: tuple[str, ...]

    @property
    def weights(self) -> Path:
        return self.folder / "small.safetensors"

    def words(self, task: str, weights: Path | None = None) -> list[str]:
        """The words of a short command; ``weights`` are those of the victim, by default its own."""
        path = f"={weights or self.weights}"
        given = [word.replace("=small.safetensors", path) for word in self.arguments]
        given += ["runtime.device=cpu", "runtime.limit=6"]
        data = [word for word in given if word.startswith(("dataset", "runtime"))]
        victim = [word for word in given if word.startswith("model")]
        attack = [*given, "runtime.save_clips=true"]
        return {
            "prepare": ["task=prepare", *data],
            "train": ["task=train", *data, "model.architecture.fc7=16", *TRAINING],
            "attack": attack,
            "stages": [*(word for word in attack if not word.startswith("attack")), *STAGES],
            "certify": ["task=certify", *data, *victim, *SMOOTHING],
            "sweep": ["-m", *attack, "attack.beta=0.1,1"],
        }[task]


def content(path: Path) -> Any:
    """The content of a file that must not depend on a fault; for weights and the store, all bytes."""
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
    return {str(path.relative_to(folder)): content(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def differences(folder: Path, expected: dict[str, Any]) -> list[str]:
    """The names of files that are missing, left over or different."""
    found = contents(folder)
    return sorted({*found} ^ {*expected}) + [
        name for name in expected if name in found and found[name] != expected[name]
    ]
