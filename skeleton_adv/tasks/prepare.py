"""``task=prepare`` and ``task=export``: a dataset's clips into the store, and out as files."""

from pathlib import Path

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import log, track
from skeleton_adv.data.clips import hashed_order
from skeleton_adv.data.synthetic.dataset import SyntheticMotion
from skeleton_adv.data.synthetic_kinetics import SyntheticKinetics
from skeleton_adv.tasks.resume import prepared_clips


def prepare_data(job: Job) -> None:
    """Prepare a dataset and say what is in it."""
    prepared = prepared_clips(job)
    counts = {split: sum(clip.split == split for clip in prepared.clips) for split in ("train", "test")}
    for name, reason in prepared.skipped:
        log(f"skipped {name}: {reason}")
    log(
        f"{job.dataset.name}: {counts['train']} training and {counts['test']} test clips of "
        f"{len(job.dataset.classes)} actions, {len(prepared.skipped)} skipped, digest {prepared.digest[:12]}"
    )


def export(job: Job) -> None:
    """Write a generated dataset's clips as the files that the readers of the real set take."""
    if not isinstance(job.dataset, SyntheticMotion | SyntheticKinetics):
        raise SettingError(f"dataset={job.choices['dataset']} has files already: task=export is for the synthetic sets")
    listed = job.dataset.clips()
    numbers = [n for split in ("train", "test") for n in hashed_order(listed, split)[: job.runtime.limit]]
    folder = Path(job.runtime.export_dir) / job.dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    job.dataset.write(track((listed[n] for n in numbers), len(numbers), f"writing {job.dataset.name}"), folder)
    log(f"{len(numbers)} clips are in {folder}")
