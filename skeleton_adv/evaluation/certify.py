"""Victim x clips -> certificates, counted in resumable parts."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.certificates.counts import count_classes
from skeleton_adv.certificates.radii import ABSTAIN, Certificate, cohen, zheng
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.files import whole
from skeleton_adv.data.clips import Dataset, Prepared, load_batch
from skeleton_adv.evaluation.chunks import chunks_left, padded
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.schema import CERTIFICATE, Columns

SAVE_SECONDS = 30.0  # between saves of a clip's counts


@dataclass(frozen=True)
class Certification:
    """Certificates of one smoothed victim, in the space after resampling, for existing joints only.

    It abstains on a clip without any (a detector's isolated frames, after resampling).
    """

    dataset: Dataset
    prepared: Prepared
    victim: Victim
    smoothing: Smoothing
    seed: int

    @property
    def columns(self) -> Columns:
        """Names and kinds of a row's values, in order."""
        return CERTIFICATE.columns

    def run(
        self,
        order: Sequence[int],
        done: set[int],
        append: Callable[[list[dict[str, Any]]], None],
        progress: Callable[[Iterable[int], int], Iterable[int]],
        state: Path,
    ) -> None:
        """Certify the clips of ``order`` that are not ``done``; ``state`` keeps the counts of unfinished clips."""
        left = chunks_left(order, self.smoothing.clips, done)
        for place in progress(range(len(left)), len(left)):
            rows = self._certify(left[place], state)
            append([row for row in rows if row["index"] not in done])
        state.unlink(missing_ok=True)  # that of a process, too, that was killed after its last rows

    def _certify(self, numbers: list[int], state: Path) -> list[dict[str, Any]]:
        began = time.perf_counter()
        how = self.smoothing
        batch = load_batch(self.dataset, self.prepared, padded(numbers, how.clips)).to(self.victim.device)
        selection = self._counts(batch, "selection", how.n0, state)
        estimation = self._counts(batch, "estimation", how.n, state)
        clean = self._clean(batch)
        joints = batch.mask.flatten(1).sum(dim=1).tolist()
        seconds = (time.perf_counter() - began) / len(numbers)
        return [
            {
                "index": number,
                "name": self.prepared.clips[number].name,
                **self._columns(selection[row], estimation[row], int(batch.y[row]), clean[row], joints[row]),
                "draws": how.n0 + how.n,
                "seconds": round(seconds, 4),
            }
            for row, number in enumerate(numbers)
        ]

    def _columns(
        self, selection: Tensor, estimation: Tensor, label: int, clean_correct: bool, joints: int
    ) -> dict[str, Any]:
        """One clip's columns, from its counts (K + 1,), its label and how many joints it has in all frames."""
        how, lost = self.smoothing, int(estimation[-1])
        today = cohen(selection[:-1], estimation[:-1], how.sigma, how.alpha, lost)
        paper = zheng(estimation[:-1], how.sigma, how.paper_alpha, lost)
        if not joints:  # nothing was drawn, and nothing can be moved: the largest radius, and no meaning
            today, paper = Certificate(ABSTAIN, 0.0, today.p_low), Certificate(ABSTAIN, 0.0, paper.p_low)
        return {
            "label": label,
            "pred": today.pred,
            "clean_correct": clean_correct,
            "correct": today.pred == label,
            "abstained": today.pred == ABSTAIN,
            "radius": today.radius,
            "rms_mm": 1000 * today.radius / max(joints, 1) ** 0.5,
            "p_low": today.p_low,
            "paper_pred": paper.pred,
            "paper_radius": paper.radius if paper.pred == label else -1.0,
        }

    def _clean(self, batch: SkeletonBatch) -> list[bool]:
        """Which clips the victim classifies correctly without noise; never those with non-finite logits."""
        with torch.no_grad():
            logits = self.victim.view(batch, "clean", self.seed)(batch.x)
        right: list[bool] = ((logits.argmax(dim=1) == batch.y) & logits.isfinite().all(dim=1)).tolist()
        return right

    def _counts(self, batch: SkeletonBatch, purpose: str, draws: int, state: Path) -> Tensor:
        """(N, K + 1) counts on the CPU; counts in ``state`` are not repeated."""
        how, index = self.smoothing, batch.index.tolist()
        counts, first = torch.zeros(len(batch), len(self.dataset.classes) + 1, dtype=torch.long), 0
        held = _load(state)
        if held is None or held["index"].tolist() != index:
            held = {"index": np.array(index)}
        elif _fit(held, purpose, counts, draws):
            counts, first = torch.from_numpy(held[purpose]), int(held[f"{purpose}_done"])
        saved = time.monotonic()
        for start in range(first, draws, how.at_once):
            part = range(start, min(start + how.at_once, draws))
            counts = counts + self._count(batch, purpose, part).cpu()
            if time.monotonic() - saved > SAVE_SECONDS or part.stop == draws:
                held |= {purpose: counts.numpy(), f"{purpose}_done": np.array(part.stop)}
                _save(state, held)
                saved = time.monotonic()
        return counts

    def _count(self, batch: SkeletonBatch, purpose: str, draws: range) -> Tensor:
        def logits(x: Tensor, wide: SkeletonBatch) -> Tensor:
            return self.victim.view(wide, purpose, self.seed)(x)

        return count_classes(
            logits,
            batch,
            sigma=self.smoothing.sigma,
            draws=draws,
            at_once=self.smoothing.at_once,
            num_classes=len(self.dataset.classes),
            seed=self.seed,
            purpose=purpose,
        )


def _load(state: Path) -> dict[str, np.ndarray] | None:
    """The content of a file of counts; None if it does not exist or is truncated."""
    if not state.exists():
        return None
    try:
        with open(state, "rb") as file, np.load(file, allow_pickle=False) as held:
            return dict(held) if "index" in held else None
    except (ValueError, KeyError, OSError, EOFError, BadZipFile):
        return None


def _fit(held: dict[str, np.ndarray], purpose: str, counts: Tensor, draws: int) -> bool:
    """Whether the counts in a file have the shape of ``counts`` and sum to the stated number of draws."""
    if purpose not in held or f"{purpose}_done" not in held:
        return False
    found, done = held[purpose], held[f"{purpose}_done"]
    same = found.shape == tuple(counts.shape) and found.dtype == np.int64 and done.shape == ()
    return same and 0 < int(done) <= draws and bool((found.sum(axis=1) == done).all())


def _save(state: Path, held: dict[str, np.ndarray]) -> None:
    with whole(state) as part, open(part, "wb") as file:
        np.savez(file, **held)  # type: ignore[arg-type]
