"""The page of ``python -m skeleton_adv.status``: every run below a folder, and what is left of the sweeps."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from skeleton_adv.core.progress import clock
from skeleton_adv.runs.progress import Progress, progress_below
from skeleton_adv.runs.shards import Shard

QUIET = 600.0  # seconds without a row after which a run is called idle
MOST = 40  # lines of the finished runs


def page(root: Path, now: float) -> str:
    """The page about the runs below ``root``; ``now`` is the time in seconds since the epoch."""
    runs = progress_below(root)
    under_way = [run for run in runs if not run.finished]
    finished = sorted((run for run in runs if run.finished), key=lambda run: -run.changed)
    lines = [_line(run, root, now) for run in (*under_way, *finished[:MOST])]
    head = ("run", "state", "clips", "passes left", "time", "last row")
    table = tabulate(lines, head, "simple", disable_numparse=True)
    hidden = [f"... and {len(finished) - MOST} more finished runs"] if len(finished) > MOST else []
    left = sum(_seconds_left(run) or 0 for run in under_way)
    total = f"{len(finished)} done, {len(under_way)} partial"
    total += f", about {clock(left)} of work left in them" if left else ""
    return "\n".join([table, *hidden, "", *_sweeps(runs), total])


def _line(run: Progress, root: Path, now: float) -> tuple[str, ...]:
    left, seconds = run.left, _seconds_left(run)
    of = f"{len(run.done)} of {run.clips}" if run.clips is not None else f"{len(run.done)}"
    size, passes = run.facts.get("size"), run.facts.get("passes")
    passes_left = f"{passes * -(-left // size):,}" if size and passes and left else ""
    idle = now - run.changed > QUIET
    state = "done" if run.finished else "partial, idle" if idle else "partial"
    took = clock(run.seconds) if run.finished else f"about {clock(seconds)} left" if seconds else ""
    name = str(run.folder.relative_to(root)) if run.folder != root else run.folder.name
    return name, state, of, passes_left, took, f"{clock(max(now - run.changed, 0))} ago"


def _seconds_left(run: Progress) -> float | None:
    """Seconds of work that are left, from the time of the rows that exist; None if that is not known."""
    return run.per_clip * run.left if run.per_clip is not None and run.left is not None else None


def _sweeps(runs: Sequence[Progress]) -> list[str]:
    """One line for each sweep of which jobs are missing or unfinished."""
    groups: dict[str, list[Progress]] = {}
    for run in runs:
        sweep = run.facts.get("sweep")
        if isinstance(sweep, dict) and isinstance(sweep.get("jobs"), int):
            groups.setdefault(_command(run, sweep), []).append(run)
    lines = []
    for command, members in groups.items():
        jobs = members[0].facts["sweep"]["jobs"]
        seen = {_run(member) for member in members}
        done = seen - {_run(member) for member in members if not member.finished}
        if len(done) >= jobs:
            continue
        missing = max(jobs - len(seen), 0)
        mean = sum(run.seconds + (_seconds_left(run) or 0) for run in members) / len(seen)
        text = f"{len(done)} of {jobs} jobs done, {len(seen) - len(done)} partial, {missing} missing"
        text += f" (about {clock(mean * missing)})" if missing and mean else ""
        lines += [f"{command}: {text}"]
    return [*lines, ""] if lines else []


def _run(run: Progress) -> Path:
    """The folder of the run, also for one of its shards."""
    return run.folder.parent if Shard.of_folder(run.folder) else run.folder


def _command(run: Progress, sweep: dict[str, Any]) -> str:
    """The command of a sweep: the words of one of its jobs, with all values of what it sweeps."""
    params = sweep.get("params")
    swept: dict[str, str] = params if isinstance(params, dict) else {}
    try:
        words = shlex.split(str(run.facts.get("command")))
    except ValueError:
        words = str(run.facts.get("command")).split()
    kept = [word for word in words if word.partition("=")[0].lstrip("+") not in swept]
    typed = sweep.get("typed")
    shown = {key: value for key, value in swept.items() if not isinstance(typed, list) or key in typed}
    flag = ["-m"] if shown and not any(word.startswith("experiment=") for word in kept) else []
    return shlex.join([*kept, *flag, *(f"{key}={value}" for key, value in shown.items())]) or json.dumps(sweep)
