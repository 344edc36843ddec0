"""What one command does: attack a victim, certify or train one, prepare or export data."""

from pathlib import Path

from skeleton_adv.job import Job
from skeleton_adv.memory import keep_freed_memory
from skeleton_adv.tasks.clips import export, prepare_data
from skeleton_adv.tasks.runs import attack, certify
from skeleton_adv.tasks.training import train


def run(job: Job) -> Path | None:
    """Do a job's task; return the folder of a run, if it made one."""
    keep_freed_memory()
    tasks = {"attack": attack, "certify": certify, "train": train, "prepare": prepare_data, "export": export}
    return tasks[job.task](job)
