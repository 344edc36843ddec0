"""The training of a checkpoint, read from the JSON beside its weights. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.files import read_json

NUMBERS = ("epoch", "loss", "lr", "held_out_accuracy", "held_out_clips")


@dataclass(frozen=True, eq=False)
class TrainedWeights:
    """Weights, the facts about them, and the history of their training."""

    path: Path  # of the JSON
    identity: str
    dataset: str
    facts: Mapping[str, Any]
    history: pd.DataFrame  # one row per epoch: phase, and ``NUMBERS``

    @property
    def name(self) -> str:
        """The name of the weights' file."""
        return self.path.stem


def load_trainings(root: Path) -> tuple[list[TrainedWeights], list[Path]]:
    """The trainings with a history at or below ``root``, and the JSON files of weights without one.

    ``root`` is a folder, the file of weights, or the JSON beside it. Raises ``CheckpointError`` if a JSON is damaged.
    """
    about = root.with_suffix(".json")
    files = [about] if root.is_file() and root.suffix in (".json", ".safetensors") else sorted(root.rglob("*.json"))
    files = [path for path in files if path.exists() and path.with_suffix(".safetensors").exists()]
    found = [(path, _training(path)) for path in files]
    return [one for _, one in found if one is not None], [path for path, one in found if one is None]


def _training(path: Path) -> TrainedWeights | None:
    """The training that a JSON describes; None if it contains no history."""
    facts = read_json(path, CheckpointError)
    history = facts.get("history")
    if not history:
        return None
    damaged = CheckpointError(f"{path} is damaged (its history is not a list of epochs): restore it or train again")
    try:
        rows = pd.DataFrame(history, columns=["phase", *NUMBERS])
        rows = rows.astype(dict.fromkeys(NUMBERS, "float64") | {"epoch": "int64", "phase": "str"})
        return TrainedWeights(path, str(facts["identity"]), str(facts["dataset"]), facts, rows)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise damaged from None
