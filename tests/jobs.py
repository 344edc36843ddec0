"""Jobs as the command line makes them, without running them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from skeleton_adv import tasks
from skeleton_adv.command import words
from skeleton_adv.command.job import Job
from skeleton_adv.tasks import detect, identify
from skeleton_adv.tasks.weights import Weights


def job_of(command: list[str]) -> Job:
    """The job that these words of a command line describe."""
    return words.job_of(command, tasks.find)


def of_saved_clips(job: Job, prepared: Any, weights: Weights) -> dict[str, Any]:
    """The settings of a detection or an identification of one attack without clips, on which a detector is fitted."""
    run: Any = SimpleNamespace(
        identity="0" * 12, attack="bim", settings={"attack": {}}, of_attack={}, targeted=False, target=None
    )
    run.folder = Path("/nowhere")
    if isinstance(job.task, identify.Task):
        return job.task.settings(job, prepared, weights, run)
    assert isinstance(job.task, detect.Task)
    return job.task.settings(job, prepared, weights, run, [run])
