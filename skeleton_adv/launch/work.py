"""One job of a command in another process, here or on a cluster."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from skeleton_adv.command.job import Job, Outcome, Session, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.launch.attempt import attempt, checked


@dataclass(frozen=True)
class Work:
    """A call that runs one job of a command, with this number of ``threads``; it can be sent to another process."""

    sweep: Sweep
    threads: int
    log: Path | None = None  # where everything that the job prints goes; None: where the process prints
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, words: Words) -> Outcome:
        """Run the job; a run that exists is resumed."""
        os.environ.update(self.environment)
        torch.set_num_threads(self.threads)
        if self.log is not None:
            _print_to(self.log)
        job = checked(self.sweep, words, Session())
        return attempt(self.sweep, job, words) if isinstance(job, Job) else job

    def checkpoint(self, words: Words) -> Any:
        """The call that submitit makes after it has requeued a job: the same again, which resumes the run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, words)


def _print_to(log: Path) -> None:
    """Append what this process prints to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
