"""``task=prepare``: read and check a dataset's files."""

import time
from dataclasses import dataclass

from skeleton_adv.command.job import Job
from skeleton_adv.core.progress import clock, log
from skeleton_adv.tasks.resume import prepared_clips


@dataclass(frozen=True)
class Task:
    """The preparation of a dataset into its store."""

    def run(self, job: Job) -> None:
        """Prepare the dataset and report its content."""
        began = time.monotonic()
        prepared = prepared_clips(job)
        seconds = time.monotonic() - began
        counts = {split: sum(clip.split == split for clip in prepared.clips) for split in ("train", "test")}
        for name, reason in prepared.skipped:
            log(f"skipped {name}: {reason}")
        classes = f"{len(job.dataset.classes)} {job.dataset.label}s"
        log(
            f"{job.dataset.name}: {counts['train']} training and {counts['test']} test clips of {classes}, "
            f"{len(prepared.skipped)} skipped, digest {prepared.digest[:12]}, "
            f"in {clock(seconds)} ({len(prepared.clips) / max(seconds, 1e-3):,.0f} clips per second)"
        )
