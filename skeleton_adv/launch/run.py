"""A command's jobs: all are checked before the first starts, and one that fails does not stop the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from skeleton_adv import figures, tables
from skeleton_adv.command.job import Job, Outcome, Session, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import log
from skeleton_adv.launch.attempt import attempt, checked
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
    ended = _ended(sweep, jobs)
    try:
        if good:
            _report([one.folder for one in ended if one.folder is not None], good[0])
    finally:
        _show_failed(sweep, ended)
    return not any(one.error for one in ended)


def _ended(sweep: Sweep, jobs: Mapping[Words, Job | Outcome]) -> list[Outcome]:
    """What became of all jobs, after those that can run have run, here or where the launcher runs them."""
    good = {words: job for words, job in jobs.items() if isinstance(job, Job)}
    launcher = next((job.launcher for job in good.values()), None)
    if any(job.launcher != launcher for job in good.values()):
        raise SettingError("the jobs of a sweep have different launchers: choose one")
    if launcher is None:
        return [attempt(sweep, job, words) if isinstance(job, Job) else job for words, job in jobs.items()]
    ran = {one.words: one for one in launcher.launch(sweep, [*good])}
    return [ran[words] if isinstance(job, Job) else job for words, job in jobs.items()]


def _report(folders: Sequence[Path], job: Job) -> None:
    """Show the finished runs, with the tables and figures of their experiment."""
    if folders:
        experiment = job.choices.get("experiment")
        tables.report(folders, experiment, Path(job.runtime.table_dir))
        figures.report(folders, experiment, Path(job.runtime.figure_dir))


def _show_failed(sweep: Sweep, ended: Sequence[Outcome]) -> None:
    failed = [one for one in ended if one.error]
    if failed and len(ended) > 1:
        listed = [f"  {sweep.label(one.words)}: {one.error}" for one in failed]
        log("\n".join([f"{len(failed)} of {len(ended)} jobs failed:", *listed]))
