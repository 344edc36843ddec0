"""Finished attacks whose saved clips another task reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_adv.core.errors import RunError
from skeleton_adv.evaluation.detect import Attacked
from skeleton_adv.runs.clips import PAIR, SavedClips
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.saved import runs_below, with_most

NO_ATTACK = "is not a finished attack: name the folder that contains its run.json"


@dataclass(frozen=True)
class Ours:
    """What an attack's run must have in common with a job: digests of the victim and the clips, and the dataset.

    ``targeted``: the goal of the run, if a folder contains several.
    """

    checkpoint: str
    prepared: str
    dataset: Mapping[str, Any]
    targeted: bool

    def objection(self, run: Run) -> str:
        """Why the clips of a run cannot be used; empty if they can."""
        if run.kind != "attack":
            return NO_ATTACK
        for name in ("checkpoint", "prepared", "dataset"):
            if run.settings.get(name) != getattr(self, name):
                return (
                    f"was made with another {name} than this job has: run the attack again with the same model and "
                    "dataset"
                )
        if run.split != "test":
            return "attacks training clips: use a run with split=test"
        if run.defense is not None:
            return f"attacks a victim behind {run.defense}: use a run with defense=none"
        if not attacked(run).targets:
            return "has no saved clips: run its command again with runtime.save_clips=true"
        return ""


def attack_run(folder: Path, key: str, ours: Ours) -> Run:
    """The attack's run in a folder, or the one below it that has the most saved clips of this victim and data.

    ``key`` is the setting that names the folder. Raises ``RunError`` if there is none, or if several have as many.
    """
    runs = runs_below(folder)
    objections = [ours.objection(run) for run in runs]
    usable = [run for run, why in zip(runs, objections, strict=True) if not why]
    if folder not in (run.folder for run in runs):
        usable = [run for run in usable if run.targeted is ours.targeted]
    found = with_most({run: len(attacked(run).targets) for run in usable}, folder, key)
    if found is None:
        raise RunError(f"{key}={folder} {(objections[0] if len(objections) == 1 else '') or NO_ATTACK}")
    return found


def attacked(run: Run) -> Attacked:
    """The saved clips of a run with their targets."""
    assert run.folder is not None  # it was loaded from its folder
    clips = SavedClips(run.folder)
    saved = clips.locations(*PAIR)
    pairs = zip(run.array("index").tolist(), run.array("target").tolist(), strict=True)
    return Attacked(clips, {number: target for number, target in pairs if number in saved})


def of_run(run: Run) -> dict[str, str]:
    """What identifies a run whose clips are used: its identity and the digest of its clips."""
    assert run.folder is not None
    return {"run": run.identity, "attack": run.attack, "clips": SavedClips(run.folder).digest()}
