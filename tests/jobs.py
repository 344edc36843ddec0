"""Jobs as the command line makes them, without running them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from skeleton_adv import tasks
from skeleton_adv.command import words
from skeleton_adv.command.job import Job
from skeleton_adv.tasks import detect
from skeleton_adv.tasks.weights import Weights


def job_of(command: list[str]) -> Job:
    """The job that these words of a command line describe."""
    return words.job_of(command, tasks.find)


def detection_settings(job: Job, prepared: Any, weights: Weights) -> dict[str, Any]:
    """The settings of a detection that is fitted on and judges one attack without clips."""
    assert isinstance(job.task, detect.Task)
    run: Any = SimpleNamespace(
        identity="0" * 12, attack="bim", settings={"attack": {}}, of_attack={}, targeted=False, target=None
    )
    run.folder = Path("/nowhere")
    return job.task.settings(job, prepared, weights, run, [run])
