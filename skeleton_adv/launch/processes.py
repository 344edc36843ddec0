"""``launcher=joblib``: several jobs at once on this machine, each in its own process.

A process that dies, by a signal or because memory ran out, takes only its own job with it. (The workers of a pool
would be lost together.) Every job has a fixed number of threads, because threads of several jobs that each use all
cores wait for each other.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue

import torch

from skeleton_adv.command.job import Outcome, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import log
from skeleton_adv.core.ranges import Count, check_call
from skeleton_adv.launch.logs import new_folder
from skeleton_adv.launch.work import Work

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Processes:
    """Jobs side by side.

    - ``at_once``: jobs at once; None: one per GPU, or without a GPU one per ``threads`` cores
    - ``threads``: of each job
    - ``logs``: the folder in which a new folder receives what each job prints

    Raises ``SettingError`` if a value is not allowed or joblib is not installed.
    """

    at_once: Count | None = None
    threads: Count = 1
    logs: str = "outputs/logs"

    def __post_init__(self) -> None:
        check_call(type(self), vars(self), "launcher.")

    def launch(self, sweep: Sweep, jobs: Sequence[Words]) -> list[Outcome]:
        """Run the jobs and return what became of each."""
        try:
            import joblib.externals.loky  # noqa: F401
        except ImportError:
            raise SettingError("launcher=joblib requires joblib: pip install 'skeleton_adv[joblib]'") from None
        places = _Places(self._at_once(), torch.cuda.device_count())
        here = _Running(sweep, self.threads, new_folder(Path(self.logs)), len(jobs), places)
        log(f"{len(jobs)} jobs, {places.size} at once with {self.threads} threads each; they print to {here.logs}")
        with ThreadPoolExecutor(places.size) as pool:
            return [*pool.map(here.run, jobs, count(1))]

    def _at_once(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.at_once or torch.cuda.device_count() or max(cores // self.threads, 1)


class _Places:
    """Places for jobs, each with a GPU if the machine has any."""

    def __init__(self, size: int, gpus: int) -> None:
        self.size = size
        self._free: SimpleQueue[dict[str, str]] = SimpleQueue()
        named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = named if len(named) == gpus else [str(number) for number in range(gpus)]
        for place in range(size):
            self._free.put({"CUDA_VISIBLE_DEVICES": names[place % gpus]} if gpus else {})

    @contextmanager
    def one(self) -> Iterator[dict[str, str]]:
        """The environment of a free place, which is taken meanwhile."""
        environment = self._free.get()
        try:
            yield environment
        finally:
            self._free.put(environment)


@dataclass(frozen=True)
class _Running:
    sweep: Sweep
    threads: int
    logs: Path
    jobs: int
    places: _Places
    _done: "count[int]" = field(default_factory=lambda: count(1))

    def run(self, words: Words, number: int) -> Outcome:
        """Run one job in a new process and wait for it."""
        from joblib.externals.loky import ProcessPoolExecutor

        path = self.logs / f"{number}.log"
        with self.places.one() as place:
            environment = dict.fromkeys(THREADS, str(self.threads)) | place
            with ProcessPoolExecutor(1, env=environment) as pool:
                try:
                    ended: Outcome = pool.submit(Work(self.sweep, self.threads, path), words).result()
                except BrokenExecutor as error:
                    known = re.findall(r"SIG[A-Z]+", str(error))
                    reason = known[0] if known else "for an unknown reason"
                    ended = Outcome(words, error=f"its process was killed ({reason}); see {path}")
        state = "failed" if ended.error else "done"
        log(f"{next(self._done)} of {self.jobs}: {state}: {self.sweep.label(words)}")
        return ended
