"""Jobs as the command line makes them, without running them."""

from skeleton_adv import tasks
from skeleton_adv.command import words
from skeleton_adv.command.job import Job


def job_of(command: list[str]) -> Job:
    """The job that these words of a command line describe."""
    return words.job_of(command, tasks.find)
