"""Detection of adversarial clips: which clips a detector is fitted on, and one row per clip that it judges."""

import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.attacks.joint import joint
from skeleton_adv.constraints import Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Positive, check_call
from skeleton_adv.data.clips import Clip, Dataset, Prepared, load_batch
from skeleton_adv.detectors import Examples, Score
from skeleton_adv.evaluation.chunks import Append, Over, Row, in_chunks, padded, rows_of
from skeleton_adv.evaluation.metrics import distances
from skeleton_adv.models.deep import Deep, deep, joined
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.schema import DETECTION, Columns

FALSE_ALARMS = 0.05  # of natural clips, by which the threshold is chosen
HELD_OUT = 4  # every fourth clip of the fit chooses the threshold
CLIPS = 64  # per pass, where features are collected


@dataclass(frozen=True)
class Joint:
    """The settings of the adaptive attack, see ``attacks.joint``; without ``norm`` and ``eps``, the judged attack's."""

    norm: Norm | None = None
    eps: Positive | None = None
    steps: Count = 100
    weights: Sequence[float] = (0.1, 1.0, 10.0)

    def __post_init__(self) -> None:
        check_call(Joint, vars(self), "joint.")
        if (self.norm is None) != (self.eps is None):
            raise SettingError(
                f"joint.norm={self.norm} and joint.eps={self.eps} belong together: set both, or neither for those of "
                "the judged attack"
            )


@dataclass(frozen=True)
class Attacked:
    """The saved clips of an attack's run, and the target (-1: none) of each by its number in the dataset."""

    clips: SavedClips
    targets: Mapping[int, int]

    def batch(self, clean: SkeletonBatch) -> tuple[Tensor, Tensor]:
        """The adversarial clips of a batch, and their targets (N,)."""
        numbers = clean.index.tolist()
        x_adv = torch.as_tensor(self.clips.load(numbers)).to(clean.x)
        return x_adv, torch.tensor([self.targets[number] for number in numbers], device=clean.y.device)


def matches(name: str, patterns: str) -> bool:
    """Whether the name of a clip matches one of ``patterns``, which ``|`` separates."""
    return any(fnmatchcase(name, pattern) for pattern in patterns.split("|"))


def chosen(clips: Sequence[Clip], order: Sequence[int], names: str | None, half: int, most: int | None) -> list[int]:
    """The clips of ``order`` whose names match the pattern ``names``, at most ``most`` of a class.

    Without a pattern, the clips are halved by a hash of their names, and ``half`` is 0 or 1.
    """

    def belongs(name: str) -> bool:
        if names is None:
            return hashlib.sha256(f"half {name}".encode()).digest()[0] % 2 == half
        return matches(name, names)

    taken: Counter[int] = Counter()
    found = []
    for number in order:
        label = clips[number].label
        if belongs(clips[number].name) and (most is None or taken[label] < most):
            taken[label] += 1
            found.append(number)
    return found


def fooled(predicted: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """(N,) bool: whether each prediction is the target, or without one (-1) any class but the true one."""
    return torch.where(target >= 0, predicted == target, (predicted != y) & (predicted >= 0))


def threshold_of(scores: Tensor) -> float:
    """The score above which at most 5 % of further natural clips are expected, from natural ``scores`` (n,).

    The conformal quantile: the ceil(0.95 (n + 1))-th smallest score, or the largest if there are too few.
    """
    finite = scores[scores.isfinite()].sort().values
    if not len(finite):
        return math.inf
    return float(finite[min(math.ceil((1 - FALSE_ALARMS) * (len(finite) + 1)), len(finite)) - 1])


@dataclass(frozen=True)
class Fitting:
    """What a detector of a victim is fitted on."""

    dataset: Dataset
    prepared: Prepared
    victim: Victim

    def examples(self, training: Sequence[int], numbers: Sequence[int], attacks: Sequence[Attacked]) -> Examples:
        """The training clips, and natural and adversarial clips of ``numbers``.

        Natural clips are those that the victim classifies correctly, adversarial clips those of them that fool it.
        Clips whose label is the target of the attack need no attack and are left out.
        """
        known = self._deep(training)
        natural, adversarial = self._natural(numbers), []
        for attack in attacks:
            own = [number for number in natural[0] if number in attack.targets]
            adversarial += [self._successes(own, attack)] if own else []
        labels = torch.tensor([self.prepared.clips[number].label for number in training], device=self.victim.device)
        return Examples(known, labels, natural[1], adversarial)

    def natural(self, numbers: Sequence[int]) -> Deep:
        """The clips that the victim classifies correctly."""
        return self._natural(numbers)[1]

    def _natural(self, numbers: Sequence[int]) -> tuple[list[int], Deep]:
        found = self._deep(numbers)
        right = found.predicted.cpu() == torch.tensor([self.prepared.clips[number].label for number in numbers])
        kept = [number for number, one in zip(numbers, right.tolist(), strict=True) if one]
        return kept, found.take(right.to(found.logits.device))

    def _successes(self, numbers: Sequence[int], attack: Attacked) -> Deep:
        parts = []
        for batch in self._batches(numbers):
            x_adv, target = attack.batch(batch)
            found = features(self.victim, x_adv)
            parts.append(found.take(fooled(found.predicted, batch.y, target) & (target != batch.y)))
        return joined(parts)

    def _deep(self, numbers: Sequence[int]) -> Deep:
        return joined([features(self.victim, batch.x) for batch in self._batches(numbers)])

    def _batches(self, numbers: Sequence[int]) -> Iterable[SkeletonBatch]:
        for start in range(0, len(numbers), CLIPS):
            yield load_batch(self.dataset, self.prepared, numbers[start : start + CLIPS]).to(self.victim.device)


def features(victim: Victim, x: Tensor) -> Deep:
    """The features and logits of clips x (N, C, T, V, M), without gradients."""
    with torch.no_grad():
        return deep(victim.module, x)


@dataclass(frozen=True)
class Detection:
    """The judgement of one attack's clips, or with ``adaptive`` of clips that the joint attack makes instead."""

    dataset: Dataset
    prepared: Prepared
    victim: Victim
    score: Score
    threshold: float
    attacked: Attacked
    adaptive: Mapping[str, Any] | None  # the settings of the joint attack; None: the saved clips are judged
    batch_size: int

    @property
    def columns(self) -> Columns:
        """The names and kinds of the columns, in order."""
        return DETECTION.columns

    def run(self, order: Sequence[int], done: set[int], append: Append, over: Over) -> None:
        """Judge the clips of ``order`` that are not ``done``, in fixed chunks."""
        in_chunks(self._rows, order, self.batch_size, done, append, over)

    def _rows(self, numbers: list[int]) -> list[Row]:
        """The rows of one chunk, which is padded by repeating its clips."""
        began = time.perf_counter()
        batch = load_batch(self.dataset, self.prepared, padded(numbers, self.batch_size)).to(self.victim.device)
        x_adv, target = self.attacked.batch(batch)
        x_adv = x_adv if self.adaptive is None else self._made(batch, x_adv, target, self.adaptive)
        clean, adversarial = features(self.victim, batch.x), features(self.victim, x_adv)
        clean_score, adv_score = (self._scores(found) for found in (clean, adversarial))
        values = {
            "label": batch.y,
            "target": target,
            "clean_pred": clean.predicted,
            "adv_pred": adversarial.predicted,
            "clean_correct": clean.predicted == batch.y,
            "success": fooled(adversarial.predicted, batch.y, target),
            "clean_score": clean_score,
            "adv_score": adv_score,
            "threshold": torch.full_like(clean_score, self.threshold),
            "clean_alarm": clean_score > self.threshold,
            "adv_alarm": adv_score > self.threshold,
            **distances(x_adv.double(), batch.to(dtype=torch.float64)),
        }
        return rows_of(values, self.columns, numbers, self.prepared.clips, began)

    def _scores(self, found: Deep) -> Tensor:
        """(N,) scores in float64, so that a row's score and threshold compare as they are."""
        with torch.no_grad():
            return self.score(found).double()

    def _made(self, batch: SkeletonBatch, x_adv: Tensor, target: Tensor, settings: Mapping[str, Any]) -> Tensor:
        """The clips (N, C, T, V, M) of the joint attack, as they would be saved."""

        def both(x: Tensor) -> tuple[Tensor, Tensor]:
            found = deep(self.victim.module, x)
            return found.logits, self.score(found)

        targeted = bool((target >= 0).all())
        goal = batch.with_labels(target) if targeted else batch
        made = joint(both, goal, threshold=self.threshold, start=x_adv, targeted=targeted, **settings)
        return made.x_adv.to(torch.float32)


def held_out(numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """The clips that the detector is fitted on, and every fourth, which chooses the threshold."""
    places = np.arange(len(numbers))
    apart = places % HELD_OUT == HELD_OUT - 1
    return [n for n, out in zip(numbers, apart, strict=True) if not out], [
        n for n, out in zip(numbers, apart, strict=True) if out
    ]
