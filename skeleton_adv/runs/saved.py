"""The run whose saved clips another command uses, found by a folder. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path

from skeleton_adv.core.errors import RunError
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.load import Run, load_run

HALVES = {"train": "training", "test": "test"}


def run_with_clips(folder: Path, key: str, split: str) -> Run:
    """The attack in ``folder`` with saved clips of this split, or the one below it that has the most of them.

    ``key`` is the setting that names the folder. Raises ``RunError`` if there is none, or if several have as many.
    """
    attacks = [run for run in runs_below(folder) if run.kind == "attack"]
    if not attacks:
        raise RunError(f"{key}={folder} is not a finished run: it contains no run.json of an attack")
    own = {run: len(SavedClips(run.folder).locations("x_adv")) for run in attacks if run.folder and run.split == split}
    found = with_most(own, folder, key)
    if found is None:
        more = "" if split == "test" else f" split={split}"
        raise RunError(
            f"{key}={folder} has no saved clips of an attack on {HALVES[split]} clips: run the attack with"
            f"{more} runtime.save_clips=true"
        )
    return found


def runs_below(folder: Path) -> list[Run]:
    """The finished run in ``folder``, or if it is none, all below it."""
    here = (folder / "run.json").is_file()
    folders = [folder] if here else sorted(path.parent for path in folder.rglob("run.json"))
    return [run for one in folders if (run := load_run(one)) is not None]


def with_most(clips: Mapping[Run, int], folder: Path, key: str) -> Run | None:
    """The run with the most ``clips``, None if none has any; raises ``RunError`` if several have as many."""
    most = max(clips.values(), default=0)
    found = [run for run, count in clips.items() if count == most and most]
    if len(found) > 1:
        raise RunError(
            f"{key}={folder} contains {len(found)} attacks with {most} saved clips: name the folder of one, such as "
            f"{found[0].folder}"
        )
    return found[0] if found else None
