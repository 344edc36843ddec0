"""Square attack: random search with windows of frames and joints; it uses scores only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.best import Best
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.stages import Staged, State, kept
from skeleton_adv.attacks.windows import Windows
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import Budget, broadcast, unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import uniform
from skeleton_adv.core.ranges import Count, Fraction, Positive, Whole, checked

# The share of a window is halved after each of these queries, of 10,000 (Sec. 3.3 and released code).
HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


STAGE = 50  # queries


def _staged(
    targeted: bool, norm: Norm, eps: float, queries: int, share: float, seed: int, trace: bool
) -> Staged | None:
    """Stages of ``STAGE`` queries; a clip that is fooled is done. None if all queries are traced."""

    def search(model: Model, batch: SkeletonBatch) -> Search:
        return Search(model, batch, Ball(norm, eps).of(batch), targeted, queries, share, seed)

    def begin(model: Model, batch: SkeletonBatch) -> State:
        found = Progress(Best.none(batch), torch.zeros_like(batch.x), torch.zeros_like(batch.y))
        return {"done": found.best.found, "stage": torch.zeros_like(batch.y), **found.as_state()}

    def advance(model: Model, batch: SkeletonBatch, state: State) -> State:
        stage, before = int(state["stage"].max()), Progress.of_state(state)
        numbers = queries_of(stage, queries)
        found = search(model, batch).part(before, ~before.best.found, numbers)
        done = found.best.found | (numbers.stop == queries)
        return kept(state, {**state, **found.as_state(), "stage": state["stage"] + 1, "done": done})

    def end(batch: SkeletonBatch, state: State) -> AttackResult:
        found = Progress.of_state(state)
        return AttackResult(found.best.x, found.best.found, columns={"queries": found.used})

    return None if trace else Staged(begin, advance, end)


def queries_of(stage: int, queries: int) -> range:
    """The numbers of the queries of a stage."""
    return range(stage * STAGE, min((stage + 1) * STAGE, queries))


@needs("scores", {"queries": "int"}, stages=_staged)
@checked
def square(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    queries: Count = 5000,
    share: Fraction = 0.8,
    seed: Whole = 0,
    trace: bool = False,
) -> AttackResult:
    """Square Attack: a query-efficient black-box adversarial attack via random search (Andriushchenko et al., arXiv
    1912.00049), Algorithms 1 and 2, on the margin.

    Each query changes one window of the displacement and is accepted, per clip, if it lowers the margin or fools the
    model. A window is a run of consecutive frames of a connected set of joints of one person (``Windows``): about the
    square root of ``share`` of the frames and of the joints; the share is halved nine times, as in the paper.
    ``linf``: each coordinate moves by +eps or -eps metres in the whole window. ``l2`` and ``rms``: the squared
    displacement of a second window, and the rest of the budget, move to the first.

    The attack ends when each clip is fooled; the column ``queries`` is the number of queries until then, per clip. With
    ``trace``, it always ends after ``queries``, and the trace contains the lowest margin so far.
    Differs from the paper: coordinates have no bounds; the start moves each coordinate of each joint by the same amount
    in all frames; in ``l2``, a window is one bump that falls from its middle outwards, not two halves of opposite sign.
    """
    staged = _staged(targeted, norm, eps, queries, share, seed, trace)
    if staged:
        return staged.whole(model, batch)
    search = Search(model, batch, Ball(norm, eps).of(batch), targeted, queries, share, seed)
    best, used, history = search.run(torch.ones_like(batch.y, dtype=torch.bool), trace=True)
    return AttackResult(best.x, best.found, {"loss": torch.stack(history)}, {"queries": used})


@dataclass(frozen=True)
class Progress:
    """What the search has found after some of its queries."""

    best: Best
    delta: Tensor  # (N, C, T, V, M), the accepted displacements
    used: Tensor  # (N,) int, the queries until the clip was fooled

    @staticmethod
    def of_state(state: State) -> "Progress":
        return Progress(Best.of_state(state, "square"), state["delta"], state["used"])

    def as_state(self) -> dict[str, Tensor]:
        """The progress as part of the state of an attack in stages."""
        return {**self.best.as_state("square"), "delta": self.delta, "used": self.used}


@dataclass(frozen=True)
class Search:
    """The square attack on the clips of a batch."""

    model: Model
    batch: SkeletonBatch
    budget: Budget
    targeted: bool = False
    queries: int = 5000
    share: float = 0.8
    seed: int = 0

    def run(self, among: Tensor, trace: bool = False) -> tuple[Best, Tensor, list[Tensor]]:
        """The best clips, the queries (N,) of each, and its lowest margin (N,) after each query.

        Ends when each clip ``among`` (N,) is fooled, unless all queries are traced.
        """
        begun = Progress(Best.none(self.batch), torch.zeros_like(self.batch.x), torch.zeros_like(self.batch.y))
        history: list[Tensor] = []
        found = self.part(begun, among, range(self.queries), history if trace else None)
        return found.best, found.used, history

    def part(self, begun: "Progress", among: Tensor, queries: range, history: list[Tensor] | None = None) -> "Progress":
        """The search after the queries with these numbers; a ``history`` receives the lowest margins."""
        batch, windows = self.batch, Windows(self.batch, self.seed)
        best, delta, used = begun.best, begun.delta, begun.used
        with torch.no_grad():
            for query in queries:
                moved = self._changed(delta, windows, query) if query else self._start()
                x = batch.x + moved
                logits = self.model(x)
                score, success = margin(logits, batch.y, self.targeted), fooled(logits, batch.y, self.targeted)
                left = among & ~best.found
                delta = torch.where(broadcast(best.accepts(score, success, left)), moved, delta)
                best, used = best.improved(x, score, success, left), used + left
                if history is not None:
                    history.append(best.score)
                elif query % 10 == 9 and bool((best.found | ~among).all()):
                    break
        return Progress(best, delta, used)

    def _start(self) -> Tensor:
        """Displacements (N, C, T, V, M) at the border of the budget, equal in all frames."""
        n, c, _, v, m = self.batch.x.shape
        signs = _signs(self.batch, (n, c, 1, v, m), self.seed, "square start", 0)
        return self._filled(torch.where(self.batch.movable, signs, 0))

    def _changed(self, delta: Tensor, windows: Windows, query: int) -> Tensor:
        """The displacements (N, C, T, V, M) of the next query."""
        batch, (n, c, *_) = self.batch, self.batch.x.shape
        share = self.share / 2 ** sum(query * 10000 > limit * self.queries for limit in HALVED)
        signs = _signs(batch, (n, c, 1, 1, 1), self.seed, "square signs", query)
        if self.budget.norm == "linf":
            window, _ = windows.draw(share, "square window", query)
            return torch.where(window & batch.movable, self.budget.radius * signs, delta)
        into, weight = windows.draw(share, "square window", query, least=3)
        out_of, _ = windows.draw(share, "square second window", query, least=3)
        spare = (self.budget.radius.square() - delta.flatten(1).square().sum(dim=1).view(-1, 1, 1, 1, 1)).clamp(min=0)
        mass = _by_channel(torch.where(into | out_of, delta, 0)) + spare / len(batch.skeleton.coords)
        bump = torch.where(batch.movable, weight, 0) * signs
        new = _unit_by_channel(bump) + _unit_by_channel(torch.where(into, delta, 0))
        new = _unit_by_channel(torch.where(into, new, 0)) * mass.sqrt()
        return self._filled(torch.where(into, new, torch.where(out_of, 0, delta)))

    def _filled(self, delta: Tensor) -> Tensor:
        """Displacements (N, C, T, V, M) scaled to the border of the budget."""
        return self.budget.radius * (delta if self.budget.norm == "linf" else unit(delta))


def _signs(batch: SkeletonBatch, shape: tuple[int, ...], seed: int, purpose: str, draw: int) -> Tensor:
    """Random signs of this shape (N, ...)."""
    return 2 * (uniform(batch.x.new_empty(shape), batch.index, seed, purpose, draw) > 0.5).to(batch.x) - 1


def _by_channel(delta: Tensor) -> Tensor:
    """(N, C, 1, 1, 1) the squared l2 of displacements (N, C, T, V, M) in each channel."""
    return delta.square().sum(dim=(2, 3, 4), keepdim=True)


def _unit_by_channel(delta: Tensor) -> Tensor:
    return delta / _by_channel(delta).sqrt().clamp(min=1e-12)
