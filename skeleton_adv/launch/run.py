"""A command's jobs: all are checked before the first starts, and one that fails does not stop the others."""

import traceback
from collections.abc import Sequence
from pathlib import Path

from skeleton_adv import figures, tables, tasks
from skeleton_adv.command import cli
from skeleton_adv.command.job import Job, Outcome, Session, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import UserError
from skeleton_adv.core.progress import log
from skeleton_adv.launch.dry_run import listing


def run(typed: list[str]) -> bool:
    """Run the jobs of a command line and show their tables; whether all succeeded.

    A sweep ends with a list of the jobs that failed, and why.
    """
    sweep, session = Sweep.of(typed), Session()
    jobs = {words: checked(sweep, words, session) for words in sweep.jobs}
    good = [job for job in jobs.values() if isinstance(job, Job)]
    if good and good[0].runtime.dry_run:
        print(listing(sweep, jobs))
        return len(good) == len(jobs)
    if 0 < len(good) < len(jobs):
        log(f"{len(jobs) - len(good)} of {len(jobs)} jobs cannot run; the others start")
    ended = [attempt(sweep, job, words) if isinstance(job, Job) else job for words, job in jobs.items()]
    try:
        if good:
            _report([one.folder for one in ended if one.folder is not None], good[0])
    finally:
        _show_failed(sweep, ended)
    return not any(one.error for one in ended)


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


def _report(folders: Sequence[Path], job: Job) -> None:
    """Show the finished runs, with the tables and figures of their experiment."""
    if folders:
        experiment = job.choices.get("experiment")
        tables.report(folders, experiment, Path(job.runtime.table_dir))
        figures.report(folders, experiment, Path(job.runtime.figure_dir))


def _show_failed(sweep: Sweep, ended: Sequence[Outcome]) -> None:
    failed = [one for one in ended if one.error]
    if failed and sweep.several:
        listed = [f"  {sweep.label(one.words)}: {one.error}" for one in failed]
        log("\n".join([f"{len(failed)} of {len(ended)} jobs failed:", *listed]))
