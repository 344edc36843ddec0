"""The victim of a finished run, from weights with the run's digest; nothing else is imported or called."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from torch import nn

from skeleton_adv.core.errors import UserError
from skeleton_adv.core.files import digest
from skeleton_adv.models.checkpoint import load_victim
from skeleton_adv.runs.load import Run

PACKAGE = Path(__file__).parents[1]
# Where ``task=train`` writes weights, and those shipped with the program.
ROOTS = (Path("outputs/checkpoints"), PACKAGE / "checkpoints", PACKAGE.parent / "outputs/checkpoints")
MISSING = "the weights of this victim are not at hand"


def victim_of(run: Run, roots: Sequence[Path] = ROOTS) -> nn.Module | str:
    """The undefended network of a run, or the reason why there is none, as a phrase."""
    path = next((path for root in roots for path in _candidates(root, run) if _digest(path) == run.weights), None)
    return MISSING if path is None else _loaded(path)


def _candidates(root: Path, run: Run) -> list[Path]:
    return sorted((root / run.dataset).glob("*.safetensors")) if (root / run.dataset).is_dir() else []


@cache
def _digest(path: Path) -> str:
    return digest(path)


@cache
def _loaded(path: Path) -> nn.Module | str:
    try:
        return load_victim(path)
    except UserError as error:
        return f"the victim cannot be loaded ({error})"
