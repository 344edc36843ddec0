"""Certification of a victim: one row per clip, from counts that can be resumed."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.certificates.counts import count_blocks, count_classes, picked
from skeleton_adv.certificates.radii import ABSTAIN, Certificate, cohen, zheng
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.certificates.spaces import space_of
from skeleton_adv.certificates.terms import bone_counts
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.data.clips import Dataset, Prepared, load_batch
from skeleton_adv.evaluation.chunks import Append, Over, Row, in_chunks, padded
from skeleton_adv.evaluation.decide import Blocks, Deciding
from skeleton_adv.evaluation.invariance import is_yaw_invariant
from skeleton_adv.evaluation.state import Due, load_state, save_state
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.schema import BODY_TERMS, CERTIFICATE, Columns

Found = tuple[Certificate, Certificate | None, int]  # by Cohen et al., in the paper's form, and the number of draws


@dataclass(frozen=True)
class Certification:
    """The certification of one smoothed victim, in the space after resampling, for existing joints only.

    The certificate abstains on a clip without existing joints (isolated detections, after resampling).
    """

    dataset: Dataset
    prepared: Prepared
    victim: Victim
    smoothing: Smoothing
    seed: int

    @property
    def columns(self) -> Columns:
        """The names and kinds of the columns, in order."""
        return {**CERTIFICATE.columns, **BODY_TERMS}

    def remarks(self, order: Sequence[int]) -> list[str]:
        """What a reader must know: whether the victim is invariant to yaw, if that is certified."""
        if "yaw" not in self.smoothing.space:
            return []
        numbers = padded(order[: self.smoothing.clips], self.smoothing.clips)
        batch = load_batch(self.dataset, self.prepared, numbers).to(self.victim.device)
        same = is_yaw_invariant(self.victim, batch, self.smoothing.up, self.seed)
        return (
            ["The victim turns each clip itself, so no rotation about the vertical axis changes its decision"]
            if same
            else []
        )

    def run(
        self,
        order: Sequence[int],
        done: set[int],
        append: Append,
        over: Over,
        state: Path,
    ) -> None:
        """Certify the clips of ``order`` that are not ``done``; the file ``state`` stores unfinished counts."""
        in_chunks(partial(self.rows, state=state), order, self.smoothing.clips, done, append, over)
        state.unlink(missing_ok=True)  # also if an earlier process was killed just before it removed the file

    def rows(self, numbers: list[int], state: Path) -> list[Row]:
        """The rows of one chunk, which is padded by repeating its clips."""
        began = time.perf_counter()
        smoothing = self.smoothing
        batch = load_batch(self.dataset, self.prepared, padded(numbers, smoothing.clips)).to(self.victim.device)
        selection = self._counts(batch, "selection", smoothing.n0, state)
        labels, joints = batch.y.tolist(), batch.mask.flatten(1).sum(dim=1).tolist()
        if smoothing.stop:
            own = self._decided(batch, selection[: len(numbers)], state)
        else:
            own = self._full(selection, self._counts(batch, "estimation", smoothing.n, state))
        clean = self._clean_correct(batch)
        seconds = round((time.perf_counter() - began) / len(numbers), 4)
        found = [
            {
                "index": number,
                "name": self.prepared.clips[number].name,
                **self._columns_of(one, paper, labels[row], clean[row], joints[row]),
                "draws": smoothing.n0 + draws,
                "seconds": seconds,
            }
            for row, (number, (one, paper, draws)) in enumerate(zip(numbers, own, strict=False))
        ]
        return [row | terms for row, terms in zip(found, self._terms(batch, found), strict=True)]

    def _terms(self, batch: SkeletonBatch, rows: list[Row]) -> list[dict[str, Any]]:
        """The certificates of the first clips of a batch in the body's terms."""
        own = picked(batch, torch.arange(len(rows), device=batch.x.device)).to("cpu")
        terms = space_of(self.smoothing).terms(own, [row["radius"] for row in rows])
        empty = dict.fromkeys(BODY_TERMS, math.nan)
        return [{**empty, **one, "bones": bones} for one, bones in zip(terms, bone_counts(own), strict=True)]

    def _full(self, selection: Tensor, estimation: Tensor) -> list[Found]:
        """Both forms of the certificates from all draws, (N, K + 1) counts each."""
        how = self.smoothing
        found: list[Found] = []
        for chosen, counts in zip(selection[:, :-1], estimation, strict=True):
            lost = int(counts[-1])
            paper = zheng(counts[:-1], how.sigma, how.paper_alpha, lost)
            found.append((cohen(chosen, counts[:-1], how.sigma, how.alpha, lost), paper, how.n))
        return found

    def _decided(self, batch: SkeletonBatch, selection: Tensor, state: Path) -> list[Found]:
        """The certificates at the radii ``smoothing.stop``, from the counts (n, K + 1) that choose a class."""

        def count(blocks: Blocks) -> Tensor:
            return count_blocks(self._logits("estimation"), batch, blocks, **self._how("estimation")).cpu()

        deciding = Deciding(self.smoothing, count)
        found, draws = deciding.certificates(batch.index.tolist(), selection[:, :-1].argmax(dim=1).tolist(), state)
        return [(one, None, made) for one, made in zip(found, draws, strict=True)]

    def _columns_of(
        self, standard: Certificate, paper: Certificate | None, label: int, clean_correct: bool, joints: int
    ) -> dict[str, Any]:
        """The columns of one clip, from its certificates, its label and the number of its existing joints."""
        of_joints = self.smoothing.space in ("joints", "joints_yaw")
        if not joints:  # no noise was added and no joint can move, so the largest radius would be meaningless
            standard = Certificate(ABSTAIN, 0.0, standard.p_low)
            paper = paper and Certificate(ABSTAIN, 0.0, paper.p_low)
        return {
            "label": label,
            "pred": standard.pred,
            "clean_correct": clean_correct,
            "correct": standard.pred == label,
            "abstained": standard.pred == ABSTAIN,
            "radius": standard.radius,
            "rms_mm": 1000 * standard.radius / max(joints, 1) ** 0.5 if of_joints else math.nan,
            "p_low": standard.p_low,
            "paper_pred": paper.pred if paper else ABSTAIN,
            "paper_radius": math.nan if paper is None else paper.radius if paper.pred == label else -1.0,
        }

    def _clean_correct(self, batch: SkeletonBatch) -> list[bool]:
        """Whether the victim classifies each clip correctly without noise; false if the logits are not finite."""
        with torch.no_grad():
            logits = self.victim.view(batch, "clean", self.seed)(batch.x)
        correct: list[bool] = ((logits.argmax(dim=1) == batch.y) & logits.isfinite().all(dim=1)).tolist()
        return correct

    def _counts(self, batch: SkeletonBatch, purpose: str, draws: int, state: Path) -> Tensor:
        """(N, K + 1) counts of the predicted classes, on the CPU; resumes from the counts in ``state``."""
        at_once, index = self.smoothing.at_once, batch.index.tolist()
        counts, first = torch.zeros(len(batch), len(self.dataset.classes) + 1, dtype=torch.long), 0
        stored = load_state(state)
        if stored is None or stored["index"].tolist() != index:
            stored = {"index": np.array(index)}
        elif _are_valid(stored, purpose, counts, draws):
            counts, first = torch.from_numpy(stored[purpose]), int(stored[f"{purpose}_done"])
        due = Due()
        for start in range(first, draws, at_once):
            numbers = range(start, min(start + at_once, draws))
            counts = counts + self._count(batch, purpose, numbers).cpu()
            if due or numbers.stop == draws:
                stored |= {purpose: counts.numpy(), f"{purpose}_done": np.array(numbers.stop)}
                save_state(state, stored)
                due.saved()
        return counts

    def _count(self, batch: SkeletonBatch, purpose: str, draws: range) -> Tensor:
        """(N, K + 1) counts of the predicted classes over the draws with these numbers."""
        return count_classes(self._logits(purpose), batch, draws=draws, **self._how(purpose))

    def _logits(self, purpose: str) -> Callable[[Tensor, SkeletonBatch], Tensor]:
        """The victim as a function of clips and their batch."""
        return lambda x, batch: self.victim.view(batch, purpose, self.seed)(x)

    def _how(self, purpose: str) -> dict[str, Any]:
        """The settings of a count."""
        how = self.smoothing
        classes = len(self.dataset.classes)
        return {
            "sigma": how.sigma,
            "at_once": how.at_once,
            "num_classes": classes,
            "seed": self.seed,
            "purpose": purpose,
            "space": space_of(how),
        }


def _are_valid(stored: dict[str, np.ndarray], purpose: str, counts: Tensor, draws: int) -> bool:
    """Whether the stored counts have the shape of ``counts`` and sum to the stated number of draws."""
    if purpose not in stored or f"{purpose}_done" not in stored:
        return False
    values, done = stored[purpose], stored[f"{purpose}_done"]
    same = values.shape == tuple(counts.shape) and values.dtype == np.int64 and done.shape == ()
    return same and 0 < int(done) <= draws and bool((values.sum(axis=1) == done).all())
