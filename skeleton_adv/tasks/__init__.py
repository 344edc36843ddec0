"""What one command does: attack a victim, certify or train one, prepare or export data."""

from pathlib import Path

from skeleton_adv.command.job import Job
from skeleton_adv.tasks.attack import attack, certify
from skeleton_adv.tasks.memory import keep_freed_memory
from skeleton_adv.tasks.prepare import export, prepare_data
from skeleton_adv.tasks.train import train


def run(job: Job) -> Path | None:
    """Do a job's task; return the folder of a run, if it made one."""
    keep_freed_memory()
    tasks = {"attack": attack, "certify": certify, "train": train, "prepare": prepare_data, "export": export}
    return tasks[job.task](job)
