"""``runtime.dry_run=true``: the jobs of a command, with what is done and what is left, in passes and time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from skeleton_adv.command.job import Job, Outcome, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import UserError
from skeleton_adv.core.files import read_json
from skeleton_adv.core.progress import clock
from skeleton_adv.evaluation.chunks import chunks_left
from skeleton_adv.launch.probe import seconds_per_pass
from skeleton_adv.runs.costs import Costs, Work
from skeleton_adv.runs.progress import Progress, progress_below, progress_of
from skeleton_adv.tasks.resume import Plan, stored_clips

DONE, PARTIAL, MISSING, REFUSED = "done", "partial", "missing", "cannot run"


@dataclass(frozen=True)
class Listed:
    """One line of the list."""

    state: str
    clips: str = ""
    passes: int | None = None  # that are left, of a network over a chunk
    seconds: float | None = None  # that are left
    note: str = ""  # where the time is from, or why it is not known


@dataclass
class Estimates:
    """What is known about costs, read or measured once for all jobs of a command."""

    costs: dict[str, Costs] = field(default_factory=dict)  # by the folder of the runs
    probes: dict[str, float] = field(default_factory=dict)

    def seconds(self, job: Job, plan: Plan, run: Progress | None, left: int) -> tuple[float | None, str]:
        """Seconds for ``left`` clips, and where the number is from: the run itself, similar runs, or a probe."""
        if run is not None and run.per_clip:
            return run.per_clip * left, "its own rows"
        known = self._costs(job).per_clip(_work(job, plan))
        if known is not None:
            return known[0] * left, f"{known[1]} similar run{'s' if known[1] > 1 else ''}"
        if plan.passes is None or not plan.chunks.rows:
            return None, "the number of passes is not known before, and no similar run exists"
        key = repr([[role.settings for role in job.roles], job.dataset_settings, job.settings.get("defense")])
        key += repr([plan.chunks.rows, plan.chunks.backward, job.runtime.device])
        if key not in self.probes:
            prepared = stored_clips(job)
            assert prepared is not None  # the plan is made of them
            self.probes[key] = seconds_per_pass(job, plan, prepared)
        chunks = -(-left // plan.chunks.size)
        return self.probes[key] * plan.passes * chunks, f"a probe, {1000 * self.probes[key]:.3g} ms per pass"

    def _costs(self, job: Job) -> Costs:
        root = job.runtime.output_dir
        if root not in self.costs:
            self.costs[root] = Costs(progress_below(Path(root)))
        return self.costs[root]


def listing(sweep: Sweep, jobs: Mapping[Words, Job | Outcome]) -> str:
    """The list of the jobs as text."""
    estimates = Estimates()
    lines = {
        words: listed(job, estimates) if isinstance(job, Job) else Listed(REFUSED, note=str(job.error))
        for words, job in jobs.items()
    }
    head = ("job", "state", "clips", "passes left", "time left", "from")
    rows = [
        (sweep.label(words), one.state, one.clips, *_left(one), one.note if one.state != DONE else "")
        for words, one in lines.items()
    ]
    counts = Counter(one.state for one in lines.values())
    total = f"{len(lines)} jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    known = [one.seconds for one in lines.values() if one.seconds is not None]
    unknown = sum(one.seconds is None and one.state in (PARTIAL, MISSING) for one in lines.values())
    total += f"; about {clock(sum(known))} left, one job after another" if sum(known) else ""
    total += f"; the time of {unknown} is not known" if unknown else ""
    return f"{tabulate(rows, head, 'simple', disable_numparse=True)}\n\n{total}"


def _left(one: Listed) -> tuple[str, str]:
    passes = f"{one.passes:,}" if one.passes is not None else ""
    return passes, f"about {clock(one.seconds)}" if one.seconds else ""


def listed(job: Job, estimates: Estimates) -> Listed:
    """One job: whether it is done, and what is left."""
    if job.name == "train":
        return _training(job)
    if job.name == "export":
        return Listed(MISSING)
    try:
        prepared = stored_clips(job)
        if job.name == "prepare" or prepared is None:
            done = prepared is not None
            return Listed(DONE if done else MISSING, note="" if done else "the clips are not prepared: task=prepare")
        make: Any = job.task
        plan: Plan = make.plan(job, prepared)
        run = progress_of(plan.folder.path)
    except (UserError, OSError) as error:
        return Listed(MISSING, note=str(error))
    done_here = {*plan.order} & (run.done if run is not None else frozenset())
    left = [number for chunk in chunks_left(plan.order, plan.chunks.size, done_here) for number in chunk]
    clips = f"{len(done_here)} of {len(plan.order)}"
    if not left and run is not None and run.finished:
        return Listed(DONE, clips)
    seconds, note = estimates.seconds(job, plan, run, len(left))
    passes = None if plan.passes is None else plan.passes * -(-len(left) // plan.chunks.size)
    return Listed(PARTIAL if done_here else MISSING, clips, passes, seconds, note)


def _work(job: Job, plan: Plan) -> Work:
    facts = {
        "choices": job.choices,
        "dataset": job.dataset.name,
        "num_frames": job.dataset.num_frames,
        "device": job.runtime.torch_device(),
    }
    return Work.of(plan.folder.kind.name, facts, plan.passes)


def _training(job: Job) -> Listed:
    """A training: whether its weights exist, and the time that similar weights took."""
    make: Any = job.task
    path: Path = make.path(job)
    if path.exists():
        return Listed(DONE)
    begun = any(path.parent.glob(f".{path.stem}-*.pt"))
    others = path.parent.glob(f"{path.stem.rpartition('_s')[0]}_s*.json")  # with other seeds
    times = [took for one in others if isinstance(took := read_json(one).get("seconds"), int | float)]
    seconds = sum(times) / len(times) if times else None
    note = "weights with other seeds" if times else "no weights with other seeds tell it"
    return Listed(PARTIAL if begun else MISSING, seconds=seconds, note=note)
