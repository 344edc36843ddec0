"""The best clip so far, per clip: what an attack that tries many clips returns."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch


@dataclass(frozen=True)
class Best:
    """The best of an attack's tries, per clip: one that fools the model if there is any, with the lowest score."""

    x: Tensor  # (N, C, T, V, M)
    score: Tensor  # (N,), infinite before the first clip
    found: Tensor  # (N,) bool: whether the clip fools the model

    @staticmethod
    def none(batch: SkeletonBatch) -> "Best":
        """The clean clips, before any other is tried."""
        nothing = torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
        return Best(batch.x, nothing, torch.zeros_like(nothing, dtype=torch.bool))

    @staticmethod
    def of_state(state: Mapping[str, Tensor], name: str) -> "Best":
        """The best clips that a stage has left under this name."""
        return Best(*(state[f"{name}_{part}"] for part in ("x", "score", "found")))

    def as_state(self, name: str) -> dict[str, Tensor]:
        """The best clips as part of the state of an attack in stages."""
        return {f"{name}_{part}": value for part, value in vars(self).items()}

    def accepts(self, score: Tensor, found: Tensor, among: Tensor) -> Tensor:
        """(N,) bool: the clips ``among`` (N,) that clips with this score (N,) and success (N,) improve."""
        return among & ((found & ~self.found) | ((found == self.found) & (score < self.score)))

    def improved(self, x: Tensor, score: Tensor, found: Tensor, among: Tensor) -> "Best":
        """The better of these and of x (N, C, T, V, M), per clip; only clips ``among`` (N,) change."""
        better = self.accepts(score, found, among)
        return Best(
            torch.where(broadcast(better), x.detach(), self.x),
            torch.where(better, score.detach(), self.score),
            self.found | (better & found),
        )
