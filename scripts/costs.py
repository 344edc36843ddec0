"""What a command of make_reference.py has cost, or will cost: read from finished runs, weights and victims.csv."""

import itertools
import json
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

REFERENCE, CHECKPOINTS, EXPERIMENTS = Path("outputs/reference"), Path("outputs/checkpoints"), Path("conf/experiment")
DEFAULT_ATTACK, DEFAULT_MODEL = "admm", "hcn"
COMMA = re.compile(r",(?![^\[{(]*[\]})])")  # between values, not inside brackets

Words = frozenset[str]


@dataclass(frozen=True)
class Finished:
    """A finished run, or trained weights."""

    words: Words
    victim: str  # the network that the attack calls
    clips: int
    seconds: float


class Costs:
    """Seconds on one core: of runs that are finished, and of those that are not, from similar ones."""

    def __init__(self, runs: Path) -> None:
        facts = [REFERENCE.glob("*/runs/*/run.json"), runs.rglob("run.json"), CHECKPOINTS.rglob("*.json")]
        read = (json.loads(path.read_text()) for path in itertools.chain(*facts))
        listed = [_finished(one) for one in read if "seconds" in one]  # a fitted part may not say how long it took
        self.finished = {run.words: run for run in listed}
        self.test_clips = {_data(run.words): run.clips for run in listed if "task=train" in run.words}
        victims = pd.read_csv(REFERENCE / "victims.csv")
        self.milliseconds = {str(name): float(ms) for name, ms in victims.groupby("victim")["both_ms"].median().items()}

    def line(self, command: str) -> str:
        """How many runs of a command are finished, and the minutes that those and the others take."""
        cells = list(_cells(command))
        found = [self.finished[cell] for cell in cells if cell in self.finished]
        parts = [f"{len(found)} of {len(cells)} finished"]
        if found:
            parts.append(f"{sum(run.seconds for run in found) / 60:.0f} min of one core")
        rest = [self._estimate(cell) for cell in cells if cell not in self.finished]
        known = [seconds for seconds in rest if seconds is not None]
        if known:
            parts.append(f"{len(known)} more take about {sum(known) / 60:.0f} min")
        if len(known) < len(rest):
            parts.append(f"{len(rest) - len(known)} cannot be estimated")
        return ", ".join(parts)

    def _estimate(self, cell: Words) -> float | None:
        """Seconds of a run that is not finished, from runs of the same attack, on the same victim if there are any.

        Transfer is estimated from transfer only: the clips of a surrogate are made once for all victims, so the mean
        counts, not the median. Without ``runtime.limit`` a run takes all test clips, which are counted in the weights
        of its dataset. None if there are no such runs, or no such weights.
        """
        victim = _victim(cell)
        clips = int(_value(cell, "runtime.limit", "0")) or self.test_clips.get(_data(cell), 0)
        alike = [run for run in self.finished.values() if _kind(run.words) == _kind(cell)]
        own = [run for run in alike if run.victim == victim]
        if "task=train" in cell:
            return statistics.median(run.seconds for run in own) if own else None
        if own:
            return statistics.fmean(run.seconds / run.clips for run in own) * clips or None
        per_pass = [
            run.seconds / run.clips / self.milliseconds[run.victim] for run in alike if run.victim in self.milliseconds
        ]
        if not per_pass or victim not in self.milliseconds:
            return None
        return statistics.fmean(per_pass) * self.milliseconds[victim] * clips or None


@cache
def _kind(words: Words) -> tuple[str, bool]:
    """What decides the number of passes: the training, or the attack; and whether clips are kept for other victims."""
    if "task=train" in words:
        return f"training {_value(words, 'training', 'none')}", False
    return _attack(words), any(word.startswith("model@surrogate=") for word in words)


def _finished(facts: Mapping[str, Any]) -> Finished:
    words = _words(facts["command"].partition("skeleton_adv ")[2].split())
    clips = facts["test_clips"] if "task=train" in words else facts.get("done", 1)  # 1: a fitted part, not a run
    return Finished(words, _victim(words), clips, facts["seconds"])


def _cells(command: str) -> Iterator[Words]:
    """The words of each run that a command starts."""
    words = [word for word in command.split() if word != "-m"]
    swept = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    name = swept.get("experiment")
    if name:
        own = yaml.safe_load((EXPERIMENTS / f"{name}.yaml").read_text())
        limit = {"runtime.limit": str(own["runtime"]["limit"])} if "limit" in own.get("runtime", {}) else {}
        params = own.get("hydra", {}).get("sweeper", {}).get("params", {})
        swept = limit | {key: str(value) for key, value in params.items()} | swept
    choices = [[f"{key}={one}" for one in COMMA.split(value)] for key, value in swept.items()]
    return (_words(chosen) for chosen in itertools.product(*choices))


def _words(words: Iterable[str]) -> Words:
    """The words that say what is run, not where its files are."""
    current = (word.replace("model.noise=", "training=noise training.sigma=") for word in words)  # in older commands
    own = (word.lower() for text in current for word in text.split() if "=" in word)
    own = (word for word in own if not word.startswith("dataset.root="))
    return frozenset(word for word in own if word.startswith("runtime.limit=") or not word.startswith("runtime."))


def _value(words: Words, key: str, default: str) -> str:
    return next((word.partition("=")[2] for word in words if word.startswith(f"{key}=")), default)


def _attack(words: Words) -> str:
    name = _value(words, "experiment", "")
    text = (EXPERIMENTS / f"{name}.yaml").read_text() if (EXPERIMENTS / f"{name}.yaml").exists() else ""
    default = re.search(r"override /attack: (\w+)", text)
    return _value(words, "attack", default[1] if default else DEFAULT_ATTACK)


def _data(words: Words) -> Words:
    """The dataset, and what says which of its clips are taken."""
    chosen = ("dataset=", "dataset.num_actions=", "dataset.num_persons=")
    return frozenset(word for word in words if word.startswith(chosen))


def _victim(words: Words) -> str:
    return _value(words, "model@surrogate", _value(words, "model", DEFAULT_MODEL))
