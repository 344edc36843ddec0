"""One job of a command: checked before it runs, and what became of it."""

import traceback

from skeleton_adv import tasks
from skeleton_adv.command import cli
from skeleton_adv.command.job import Job, Outcome, Session, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import UserError


def checked(sweep: Sweep, words: Words, session: Session) -> Job | Outcome:
    """One job, built and checked as far as that is possible before it runs; or why it cannot run, also printed."""
    try:
        job = sweep.job(words, tasks.find, session)
        check = getattr(job.task, "check", None)
        if check is not None:
            check(job)
    except (UserError, OSError) as error:
        return _failed(sweep, words, error)
    return job


def attempt(sweep: Sweep, job: Job, words: Words) -> Outcome:
    """Run one job and return what became of it.

    In a sweep, an error that is not the user's mistake is printed with its traceback; otherwise it is raised.
    """
    try:
        return Outcome(words, folder=tasks.run(job))
    except (UserError, OSError) as error:
        return _failed(sweep, words, error)
    except Exception as error:
        if not sweep.several:
            raise
        traceback.print_exc()
        return Outcome(words, error=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _failed(sweep: Sweep, words: Words, error: UserError | OSError) -> Outcome:
    cli.fail(error, sweep.typed)
    return Outcome(words, error=cli.explained(error, sweep.typed))
