"""The run whose saved clips another command uses, found by a folder. Imports no torch."""

from pathlib import Path

from skeleton_adv.core.errors import RunError
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.load import Run, load_run

HALVES = {"train": "training", "test": "test"}


def run_with_clips(folder: Path, key: str, split: str) -> Run:
    """The attack in ``folder`` with saved clips of this split, or the one below it that has the most of them.

    ``key`` is the setting that names the folder. Raises ``RunError`` if there is none, or if several have as many.
    """
    here = (folder / "run.json").is_file()
    folders = [folder] if here else sorted(path.parent for path in folder.rglob("run.json"))
    attacks = [run for one in folders if (run := load_run(one)) is not None and run.kind == "attack"]
    if not attacks:
        raise RunError(f"{key}={folder} is not a finished run: it contains no run.json of an attack")
    own = [(len(SavedClips(one).locations("x_adv")), run) for one, run in _with_folders(attacks) if run.split == split]
    most = max((count for count, _ in own), default=0)
    found = [run for count, run in own if count == most]
    if not most:
        more = "" if split == "test" else f" split={split}"
        raise RunError(
            f"{key}={folder} has no saved clips of an attack on {HALVES[split]} clips: run the attack with"
            f"{more} runtime.save_clips=true"
        )
    if len(found) > 1:
        raise RunError(
            f"{key}={folder} contains {len(found)} attacks with {most} saved clips: name the folder of one, such as "
            f"{found[0].folder}"
        )
    return found[0]


def _with_folders(runs: list[Run]) -> list[tuple[Path, Run]]:
    return [(run.folder, run) for run in runs if run.folder is not None]
