"""``launcher=slurm``: the jobs of a command as an array of Slurm jobs, submitted by submitit.

A job that is preempted or times out is requeued and resumes its run. A job that is killed stops only itself. The
program waits for all jobs; if it is stopped, they go on, and the same command later finds their runs.
"""

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_adv.command.job import Outcome, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import RunError, SettingError
from skeleton_adv.core.progress import log
from skeleton_adv.core.ranges import Count, Positive, Whole, check_call
from skeleton_adv.launch.logs import new_folder
from skeleton_adv.launch.work import Work

POLL = 5.0  # seconds between two questions to the queue
ABSENT = 3  # a job that the queue does not list this number of times in a row, and that has no result, has ended
OPTION = re.compile(r"[a-z][a-z0-9-_]*")
OURS = ("array", "output", "error", "open-mode", "signal", "wrap", "time", "requeue", "export", "chdir")


@dataclass(frozen=True)
class Slurm:
    """Jobs on a cluster, in folders that all nodes share.

    - ``partition``, ``account``, ``qos``: None: the cluster's defaults
    - ``gpus``, ``cpus``, ``mem_gb``: of each job; it uses as many threads as cpus
    - ``timeout_min``: minutes after which a job is requeued, at most ``timeouts`` times; it gets a signal
      ``signal_delay_s`` seconds before
    - ``at_once``: jobs at once
    - ``extra``: more options of sbatch, by name
    - ``logs``: the folder in which a new folder receives what each job prints

    Raises ``SettingError`` if a value is not allowed or submitit is not installed, ``RunError`` if Slurm refuses the
    jobs.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus: Whole = 1
    cpus: Count = 4
    mem_gb: Positive = 16
    timeout_min: Count = 1440
    timeouts: Whole = 20
    signal_delay_s: Count = 120
    at_once: Count = 64
    extra: Mapping[str, Any] | None = None
    logs: str = "outputs/logs"

    def __post_init__(self) -> None:
        check_call(type(self), vars(self), "launcher.")
        for name in self.extra or {}:
            if not OPTION.fullmatch(name) or name in OURS:
                raise SettingError(f"launcher.extra.{name} cannot be set: name other options of sbatch")

    def launch(self, sweep: Sweep, jobs: Sequence[Words]) -> list[Outcome]:
        """Submit the jobs, wait for them, and return what became of each."""
        try:
            from submitit import SlurmExecutor
        except ImportError:
            raise SettingError("launcher=slurm requires submitit: pip install 'skeleton_adv[slurm]'") from None
        folder = new_folder(Path(self.logs))
        try:
            executor = SlurmExecutor(folder, max_num_timeout=self.timeouts)
            executor.update_parameters(**self._parameters())
            submitted = executor.map_array(Work(sweep, self.cpus), jobs)
        except Exception as error:  # submitit raises its own kinds, which are known only where it is installed
            raise RunError(f"Slurm does not accept the jobs: {' '.join(str(error).split())[-300:]}") from None
        log(f"{len(jobs)} jobs submitted as {submitted[0].job_id.partition('_')[0]}; they print to {folder}")
        return _waited(sweep, dict(zip(jobs, submitted, strict=True)))

    def _parameters(self) -> dict[str, Any]:
        """The parameters of sbatch, as submitit names them."""
        named = {"partition": self.partition, "account": self.account, "qos": self.qos}
        return {
            **{name: value for name, value in named.items() if value is not None},
            **({"gpus_per_node": self.gpus} if self.gpus else {}),
            "job_name": "skeleton_adv",
            "cpus_per_task": self.cpus,
            "mem": f"{round(1024 * self.mem_gb)}MB",
            "time": self.timeout_min,
            "signal_delay_s": self.signal_delay_s,
            "array_parallelism": self.at_once,
            "stderr_to_stdout": True,
            "additional_parameters": {"requeue": True, **(self.extra or {})},
        }


def _waited(sweep: Sweep, jobs: dict[Words, Any]) -> list[Outcome]:
    """What became of submitted jobs, when all have ended."""
    ended: dict[Words, Outcome] = {}
    absent = dict.fromkeys(jobs, 0)
    while len(ended) < len(jobs):
        queued = _queued(next(iter(jobs.values())).job_id.partition("_")[0])
        for words, job in jobs.items():
            if words in ended:
                continue
            absent[words] = 0 if queued is None or job.job_id in queued else absent[words] + 1
            if job.paths.result_pickle.exists() or absent[words] >= ABSENT:
                ended[words] = one = _outcome(words, job)
                state = "failed" if one.error else "done"
                log(f"{len(ended)} of {len(jobs)}: {state}: {sweep.label(words)}")
        if len(ended) < len(jobs):
            time.sleep(POLL)
    return [ended[words] for words in jobs]


def _queued(number: str) -> set[str] | None:
    """The jobs of an array that Slurm lists as waiting or running; None if it does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T", "--jobs", number]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode and "Invalid job id" not in answer.stderr:  # which it says of jobs that ended long ago
        return None
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE")
    pairs = [line.split() for line in answer.stdout.splitlines() if len(line.split()) == 2]
    return {job for job, state in pairs if state not in over}


def _outcome(words: Words, job: Any) -> Outcome:
    """What became of a job that has ended: its own report, or the state that Slurm's accounting knows."""
    if not job.paths.result_pickle.exists():
        state = job.watcher.get_state(job.job_id, mode="force")
        known = "" if state == "UNKNOWN" else f" (Slurm's state: {state})"
        return Outcome(
            words, error=f"it was killed{known}; run the same command again to continue; see {job.paths.stdout}"
        )
    try:
        ended: Outcome = job.result()
    except Exception as error:  # an error of any kind, as submitit wraps it
        lines = str(error).strip().splitlines()
        return Outcome(words, error=f"{lines[-1] if lines else type(error).__name__}; see {job.paths.stdout}")
    return ended
