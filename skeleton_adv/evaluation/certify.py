"""Victim x clips -> certificates, counted in parts that survive a kill."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.certificates.radii import ABSTAIN, Certificate, cohen, count_classes, zheng
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Range, check_call
from skeleton_adv.data.clips import Dataset, Prepared, load_batch
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.folder import CertificateRecord

Confidence = Annotated[float, Range("(0, 0.5)")]
SAVE_SECONDS = 30.0  # between savings of a clip's counts


@dataclass(frozen=True)
class Smoothing:
    """How clips are certified. ``sigma`` metres (images: shares) of noise; ``alpha``: the chance of a false radius.

    ``n0`` draws choose a class, ``n`` others bound its probability; ``paper_alpha`` is that of the
    paper's form, which takes the ``n`` for both. ``clips`` and ``at_once``: clips and draws of one pass.
    """

    sigma: Positive = 0.25
    n0: Count = 100
    n: Count = 1000
    alpha: Confidence = 0.001
    paper_alpha: Confidence = 0.05
    clips: Count = 8
    at_once: Count = 16

    def __post_init__(self) -> None:
        check_call(Smoothing, vars(self), "smoothing.")


@dataclass(frozen=True)
class Certification:
    """Certificates of one smoothed victim, in the space after resampling, for existing joints only.

    A clip without any (a detector's lone frames, once resampled) is abstained on.
    """

    dataset: Dataset
    prepared: Prepared
    victim: Victim
    smoothing: Smoothing
    seed: int

    def run(
        self,
        order: Sequence[int],
        done: set[int],
        append: Callable[[list[CertificateRecord]], None],
        progress: Callable[[Iterable[int], int], Iterable[int]],
        state: Path,
    ) -> None:
        """Certify the clips of ``order`` that are not ``done``; ``state`` keeps the counts of those at work."""
        size = self.smoothing.clips
        chunks = [list(order[start : start + size]) for start in range(0, len(order), size)]
        left = [chunk for chunk in chunks if not done.issuperset(chunk)]
        for place in progress(range(len(left)), len(left)):
            records = self._certify(left[place], state)
            append([record for record in records if record.index not in done])
            state.unlink(missing_ok=True)

    def _certify(self, numbers: list[int], state: Path) -> list[CertificateRecord]:
        began = time.perf_counter()
        how, count = self.smoothing, len(numbers)
        padded = [numbers[i % count] for i in range(how.clips)]
        batch = load_batch(self.dataset, self.prepared, padded).to(self.victim.device)
        selection = self._counts(batch, "selection", how.n0, state)
        estimation = self._counts(batch, "estimation", how.n, state)
        clean = self._clean(batch)
        joints = batch.mask.flatten(1).sum(dim=1).tolist()
        seconds = (time.perf_counter() - began) / count
        records = []
        for row, number in enumerate(numbers):
            today = cohen(selection[row], estimation[row], how.sigma, how.alpha)
            paper = zheng(estimation[row], how.sigma, how.paper_alpha)
            if not joints[row]:  # nothing was drawn, and nothing can be moved: the largest radius, and no meaning
                today, paper = Certificate(ABSTAIN, 0.0, today.p_low), Certificate(ABSTAIN, 0.0, paper.p_low)
            label = int(batch.y[row])
            records.append(
                CertificateRecord(
                    index=number,
                    name=self.prepared.clips[number].name,
                    label=label,
                    pred=today.pred,
                    clean_correct=clean[row],
                    correct=today.pred == label,
                    abstained=today.pred == ABSTAIN,
                    radius=today.radius,
                    rms_mm=1000 * today.radius / max(joints[row], 1) ** 0.5,
                    p_low=today.p_low,
                    paper_pred=paper.pred,
                    paper_radius=paper.radius if paper.pred == label else -1.0,
                    draws=how.n0 + how.n,
                    seconds=round(seconds, 4),
                )
            )
        return records

    def _clean(self, batch: SkeletonBatch) -> list[bool]:
        """Which clips the victim gets right without noise."""
        with torch.no_grad():
            right: list[bool] = (self.victim.view(batch, "clean", self.seed)(batch.x).argmax(dim=1) == batch.y).tolist()
        return right

    def _counts(self, batch: SkeletonBatch, purpose: str, draws: int, state: Path) -> Tensor:
        """(N, K) counts on the CPU; what ``state`` holds of them is not counted again."""
        how, index = self.smoothing, batch.index.tolist()
        classes = len(self.dataset.classes)
        counts, first = torch.zeros(len(batch), classes, dtype=torch.long), 0
        held = _load(state)
        if held is not None and held["index"].tolist() == index and f"{purpose}_done" in held:
            counts, first = torch.from_numpy(held[purpose]), int(held[f"{purpose}_done"])
        else:
            held = held if held is not None and held["index"].tolist() == index else {"index": np.array(index)}
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
    """What a file of counts holds; None if there is none, or if a crash has cut it."""
    if not state.exists():
        return None
    try:
        with open(state, "rb") as file, np.load(file, allow_pickle=False) as held:
            return dict(held)
    except (ValueError, KeyError, OSError, EOFError, BadZipFile):
        return None


def _save(state: Path, held: dict[str, np.ndarray]) -> None:
    part = state.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez(file, **held)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    part.replace(state)
