"""Both ends of robustness within limits: clips that an attack changes the class of, and clips for which none can."""

import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skeleton_adv.attacks import Attack, access_of
from skeleton_adv.certificates.counts import count_classes
from skeleton_adv.certificates.largest import largest, length_of
from skeleton_adv.certificates.radii import ABSTAIN
from skeleton_adv.certificates.smoothed import predict
from skeleton_adv.certificates.spaces import space_of
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.data.clips import load_batch
from skeleton_adv.evaluation.certify import Certification
from skeleton_adv.evaluation.chunks import Append, Over, Row, in_chunks, padded
from skeleton_adv.evaluation.metrics import distances
from skeleton_adv.models.victim import Victim, View
from skeleton_adv.runs.schema import GAP, Columns

Certificates = MutableMapping[tuple[int, ...], list[Row]]


@dataclass(frozen=True)
class Gap:
    """The verdicts on the clips of one smoothed victim: an attack within limits, and a certificate against all of them.

    ``attacked`` is the smoothed victim as the attack sees it (``certificates.smoothed.MeanSoftmax``). ``confidence`` is
    added to the logit of the true class, so that the attack goes on until another class is clearly more likely.
    """

    certification: Certification
    attacked: Victim
    attack: Attack
    constraints: Mapping[str, Constraint]
    confidence: float
    # The certificates of clean clips, by chunk, which evaluations of the same victim within other limits may share.
    certificates: Certificates = field(default_factory=dict)

    @property
    def columns(self) -> Columns:
        """The names and kinds of the columns, in order."""
        return GAP.columns

    def run(self, order: Sequence[int], done: set[int], append: Append, over: Over, state: Path) -> None:
        """Judge the clips of ``order`` that are not ``done``; the file ``state`` stores unfinished counts."""
        size = self.certification.smoothing.clips
        in_chunks(partial(self._rows, state=state), order, size, done, append, over)
        state.unlink(missing_ok=True)

    def _rows(self, numbers: list[int], state: Path) -> list[Row]:
        """The rows of one chunk, which is padded by repeating its clips."""
        began, how = time.perf_counter(), self.certification
        chunk = tuple(numbers)
        if chunk not in self.certificates:
            self.certificates[chunk] = how.rows(numbers, state)
        batch = load_batch(how.dataset, how.prepared, padded(numbers, how.smoothing.clips)).to(how.victim.device)
        x_adv, view = self._attacked(batch)
        values = self._measured(batch, x_adv)
        seconds = round((time.perf_counter() - began) / len(numbers), 4)
        passes = {"forwards": view.forwards, "gradients": view.gradients, "seconds": seconds}
        rows = []
        for place, certificate in enumerate(self.certificates[chunk]):
            row = certificate | {name: column[place] for name, column in values.items()} | passes
            row |= verdict(row)
            rows.append({name: row[name] for name in self.columns})
        return rows

    def _attacked(self, batch: SkeletonBatch) -> tuple[Tensor, View]:
        """The attacked clips in float32, and the view through which the attack saw the smoothed victim."""
        view = self.attacked.view(batch, "attack", self.certification.seed)
        model = view.limited(access_of(self.attack))

        def confident(x: Tensor) -> Tensor:
            logits = model(x)
            return logits.scatter_add(1, batch.y[:, None], torch.full_like(logits[:, :1], self.confidence))

        result = self.attack(confident, replace(batch, x=batch.x.clone()), targeted=False)
        return torch.where(batch.movable, result.x_adv.detach().to(batch.x), batch.x), view

    def _measured(self, batch: SkeletonBatch, x_adv: Tensor) -> dict[str, list[Any]]:
        """The columns of the attacked clips and of the limits."""
        how = self.certification
        space, feasible = space_of(how.smoothing), x_adv.isfinite().flatten(1).all(dim=1)
        for constraint in self.constraints.values():
            feasible &= constraint.satisfied(x_adv, batch)
        counts = self._counts(replace(batch, x=x_adv)).cpu()
        found = distances(x_adv.double(), batch.to(dtype=torch.float64))
        return {
            "bound": largest(space, self.constraints, batch).tolist(),
            "adv_pred": [predict(row, how.smoothing.alpha) for row in counts],
            "feasible": feasible.tolist(),
            "length": length_of(space, self.constraints, batch, x_adv).tolist(),
            **{name: found[name].tolist() for name in ("l2", "rms_mm")},
        }

    def _counts(self, batch: SkeletonBatch) -> Tensor:
        """(N, K + 1) counts of the predicted classes of these clips, by draws that serve nothing else."""
        how = self.certification
        smoothing, logits = how.smoothing, self._logits
        return count_classes(
            logits,
            batch,
            sigma=smoothing.sigma,
            draws=range(smoothing.n),
            at_once=smoothing.at_once,
            num_classes=len(how.dataset.classes),
            seed=how.seed,
            purpose="predict",
            space=space_of(smoothing),
        )

    @property
    def _logits(self) -> Callable[[Tensor, SkeletonBatch], Tensor]:
        how = self.certification
        return lambda x, repeated: how.victim.view(repeated, "predict", how.seed)(x)


def verdict(row: Mapping[str, Any]) -> Row:
    """Whether a clip is certified, whether it is attacked, and the one verdict on it.

    - ``wrong``: the smoothed victim predicts a wrong class for the clean clip
    - ``certified``: it predicts the true class, and its radius exceeds the largest change within the limits
    - ``attacked``: it predicts a wrong class for a clip within the limits
    - ``both``: a contradiction, which has a probability of at most 2 alpha
    - ``abstains``: it predicts no class for the clean clip, and the attack found none that is wrong
    - ``unknown``: none of these
    """
    certified = bool(row["pred"] == row["label"] and row["radius"] > row["bound"])
    attacked = bool(row["feasible"] and row["adv_pred"] not in (ABSTAIN, row["label"]))
    if row["pred"] not in (ABSTAIN, row["label"]):
        name = "wrong"
    elif certified or attacked:
        name = "both" if certified and attacked else "certified" if certified else "attacked"
    else:
        name = "abstains" if row["pred"] == ABSTAIN else "unknown"
    return {"certified": certified, "attacked": attacked, "verdict": name}
