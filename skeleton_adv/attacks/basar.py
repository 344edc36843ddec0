"""BASAR: random exploration, aimed probing and manifold projection, from labels only."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, Pool, needs
from skeleton_adv.attacks.boundary import around
from skeleton_adv.attacks.manifold import Manifold
from skeleton_adv.attacks.starts import fools, nearest_start
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal
from skeleton_adv.core.ranges import Count, Whole, checked

TRIALS = 5  # random explorations per round
ROUNDS = 300  # of trials without a success, after which the search on a clip ends
PROBES = 500  # aimed probes per step
LINE = 60  # points of the search between a clip and its projection
LEAST = 1e-3  # smallest weight of the accelerations
BLEND, EXPLORE, PROBE, PROJECT, SEARCH, DONE = range(6)


@needs("labels", {"projected": "bool"}, passes=lambda queries, **_: queries, pool=True, minimises="l2")
@checked
def basar(
    model: Model,
    batch: SkeletonBatch,
    *,
    pool: Pool,
    targeted: bool = False,
    queries: Count = 2000,
    starts: Count = 20,
    project_every: Whole = 250,
    seed: Whole = 0,
    trace: bool = False,
) -> AttackResult:
    """BASAR: Black-box Attack on Skeletal Action Recognition (Diao et al., CVPR 2021, arXiv 2103.05266), in positions.

    Starts from a training clip of another class (if targeted, of the target class), blended with the clean clip. Each
    step consists of

    - random exploration: five noisy clips on the sphere around the clean clip, repeated with adapted noise until
      one fools the victim; the first of each wrong class is a candidate;
    - aimed probing: each candidate moves towards the clean clip until a move fools the victim; the nearest is kept;
    - manifold projection (``Manifold``), every ``project_every`` steps and at the end; 0: no projections. Bone lengths
      stay within 4 % of the clean ones if the mean distance per frame is at least 1 m, within 2 % if it is at least
      0.1 m, otherwise within 1 %. The weight w is 1, 0.1, 0.01 and 0.001 in turn, until the projected clip fools the
      victim; if none does, the clip moves back from its projection until it does.

    ``queries`` is the exact number per clip. All clips query at the same time, each in its own state. The column
    ``projected`` says whether the returned clip is a full projection. With ``trace``, the result contains the l2 in
    metres after each query.
    Differs from the paper and its code: distances are l2 over the clip in place of means over frames, also for the
    sphere, onto which candidates are put back; noise has unit norm per frame, where the code cuts it to V of T
    rows; a step that would lengthen the distance is not taken; starts also include noise (``nearest_start``); joint
    positions instead of Euler angles, for motion capture too; no IPOPT.
    """
    starts = min(starts, queries)
    x, length = nearest_start(model, batch, pool, targeted, seed, starts)
    walk = _Walk(batch, x, length.isfinite(), project_every, seed)
    lengths = [length] * starts
    rest = min(LINE + 4, queries // 4) if project_every else 0  # for the final projection
    last = max(starts, queries - rest)
    for query in range(starts, queries):
        if query == last:
            walk.end()
        proposal = walk.propose(query)
        classes = model(proposal)
        walk.learn(proposal, classes, fools(classes, batch.y, targeted))
        if trace:
            lengths.append(torch.where(length.isfinite(), (walk.x - batch.x).flatten(1).norm(dim=1), length))
    return AttackResult(
        walk.x, length.isfinite(), {"l2": torch.stack(lengths)} if trace else None, {"projected": walk.projected}
    )


class _Walk:
    """The states of all clips: each proposes one clip per query and learns the answer."""

    def __init__(self, batch: SkeletonBatch, x: Tensor, found: Tensor, project_every: int, seed: int) -> None:
        self.batch, self.x, self.start, self.every, self.seed = batch, x, x, project_every, seed
        self.manifold = Manifold(batch) if project_every else None
        number, one = torch.zeros_like(batch.index), torch.ones_like(batch.x[:, 0, 0, 0, 0])
        self.found, self.phase = found, torch.where(found, BLEND, DONE)
        self.final, self.projected = torch.zeros_like(found), torch.zeros_like(found)
        self.blend, self.size, self.aim = 0.95 * one, 0.1 * one, 0.9 * one
        self.trial, self.wins, self.failed, self.step, self.current, self.probes = (number.clone() for _ in range(6))
        self.candidates = batch.x[:, None].repeat(1, TRIALS, 1, 1, 1, 1)
        self.classes = torch.full_like(number[:, None].expand(-1, TRIALS), -1)
        self.best, self.shortest, self.near = x, torch.full_like(one, torch.inf), x
        self.weight, self.power = one, one

    def end(self) -> None:
        """Begin the final projection, wherever a clip is."""
        self.phase = torch.where(self.found, PROJECT, DONE)
        self.final = torch.ones_like(self.final)
        self.weight = torch.ones_like(self.weight)

    def propose(self, query: int) -> Tensor:
        """The clips (N, C, T, V, M) to query."""
        clean, phase = self.batch.x, broadcast(self.phase)
        noise = torch.where(self.batch.movable, normal(clean, self.batch.index, self.seed, "basar", query), 0)
        frames = noise.square().sum(dim=(1, 3, 4), keepdim=True).sqrt().clamp(min=1e-30)
        proposal = torch.where(phase == EXPLORE, around(clean, self.x, noise / frames, self.size), self.x)
        blended = self.start + broadcast(self.blend) * (clean - self.start)
        candidate = self._candidate()
        probed = candidate + broadcast(self.aim) * (clean - candidate)
        proposal = torch.where(phase == BLEND, blended, torch.where(phase == PROBE, probed, proposal))
        if self.manifold and bool((self.phase == PROJECT).any()):  # a projection costs more than a query
            near = self.manifold.project(self.x, self.weight, self._share())
            self.near = torch.where(phase == PROJECT, near, self.near)
        between = self.x + broadcast(self.power) * (self.near - self.x)
        return torch.where(phase == PROJECT, self.near, torch.where(phase == SEARCH, between, proposal))

    def learn(self, proposal: Tensor, classes: Tensor, success: Tensor) -> None:
        """Update each clip by the answer to its proposal."""
        phase = self.phase
        self._blended(phase == BLEND, proposal, success)
        self._explored(phase == EXPLORE, proposal, classes, success)
        self._probed(phase == PROBE, proposal, success)
        self._returned(phase == PROJECT, phase == SEARCH, proposal, success)

    def _blended(self, active: Tensor, proposal: Tensor, success: Tensor) -> None:
        self.x = torch.where(broadcast(active & success), proposal, self.x)
        self.blend = torch.where(active & ~success, 0.9 * self.blend, self.blend)
        self.phase = torch.where(active & (success | (self.blend < 0.02)), EXPLORE, self.phase)

    def _explored(self, active: Tensor, proposal: Tensor, classes: Tensor, success: Tensor) -> None:
        fresh = active & success & (self.classes != classes[:, None]).all(dim=1)
        slot = (self.classes >= 0).sum(dim=1, keepdim=True) == torch.arange(TRIALS, device=classes.device)
        put = slot & fresh[:, None]  # (N, TRIALS)
        self.candidates = torch.where(put[:, :, None, None, None, None], proposal[:, None], self.candidates)
        self.classes = torch.where(put, classes[:, None], self.classes)
        self.trial, self.wins = self.trial + active.long(), self.wins + (active & success).long()
        over = active & (self.trial == TRIALS)
        won = self.wins > 0  # a fifth and four fifths of the trials change the size of the noise
        change = torch.where(self.wins <= 1, 0.9, torch.where(self.wins >= 4, 1 / 0.9, 1.0)).to(self.size.dtype)
        self.size = torch.where(over, (self.size * change).clamp(max=0.4), self.size)
        self.failed = torch.where(over, torch.where(won, 0, self.failed + 1), self.failed)
        self.trial, self.wins = (torch.where(over, 0, count) for count in (self.trial, self.wins))
        begun = over & won
        self.current, self.probes = (torch.where(begun, 0, count) for count in (self.current, self.probes))
        self.shortest = torch.where(begun, torch.inf, self.shortest)
        ended = over & (self.failed >= ROUNDS)
        self.phase = torch.where(begun, PROBE, torch.where(ended, DONE, self.phase))

    def _probed(self, active: Tensor, proposal: Tensor, success: Tensor) -> None:
        distance = self._distance(proposal)
        better = active & success & (distance < self.shortest)
        self.best, self.shortest = (
            torch.where(broadcast(better), proposal, self.best),
            torch.where(better, distance, self.shortest),
        )
        aim = torch.where(success, (2 * self.aim).clamp(max=0.9), self.aim / 2)
        self.aim, self.probes = torch.where(active, aim, self.aim), self.probes + active.long()
        self.current = self.current + (active & success).long()
        over = active & ((self.current >= (self.classes >= 0).sum(dim=1)) | (self.probes >= PROBES))
        nearer = over & (self.shortest < self._distance(self.x))
        self.x = torch.where(broadcast(nearer), self.best, self.x)
        self.projected = self.projected & ~nearer
        self.step = self.step + over.long()
        self.classes = torch.where(over[:, None], -1, self.classes)
        mean = self._mean()
        for closest, limit, size in ((0.1, 0.2, 0.1), (0.05, 0.1, 0.05), (0.025, 0.05, 0.025)):
            self.size = torch.where(over & (mean <= closest) & (self.size > limit), size, self.size)
        due = over & (self.step % self.every == 0) if self.every else torch.zeros_like(over)
        self.weight = torch.where(due, 1.0, self.weight)
        self.phase = torch.where(due, PROJECT, torch.where(over, EXPLORE, self.phase))

    def _returned(self, full: Tensor, between: Tensor, proposal: Tensor, success: Tensor) -> None:
        self.x = torch.where(broadcast((full | between) & success), proposal, self.x)
        self.projected = torch.where(full & success, True, self.projected & ~(between & success))
        lighter = torch.where(full & ~success, self.weight / 10, self.weight)
        given_up = full & ~success & (lighter < LEAST / 2)
        self.weight = torch.where(given_up, LEAST, lighter)
        self.power = torch.where(given_up, 0.95, torch.where(between & ~success, 0.95 * self.power, self.power))
        over = (full & success) | (between & (success | (self.power < 0.95**LINE)))
        after = torch.where(self.final, DONE, EXPLORE)
        self.phase = torch.where(given_up, SEARCH, torch.where(over, after, self.phase))

    def _candidate(self) -> Tensor:
        """(N, C, T, V, M) the candidate that is probed."""
        number = self.current.clamp(max=TRIALS - 1).view(-1, 1, 1, 1, 1, 1)
        return self.candidates.gather(1, number.expand(-1, 1, *self.batch.x.shape[1:]))[:, 0]

    def _distance(self, x: Tensor) -> Tensor:
        distance: Tensor = (x - self.batch.x).flatten(1).norm(dim=1)
        return distance

    def _mean(self) -> Tensor:
        """(N,) the mean over frames of the l2 of a frame."""
        return (self.x - self.batch.x).square().sum(dim=(1, 3, 4)).sqrt().mean(dim=1)

    def _share(self) -> Tensor:
        """(N,) the share of their length by which bones may change."""
        mean = self._mean()
        return torch.where(mean >= 1, 0.04, torch.where(mean >= 0.1, 0.02, 0.01)).to(mean.dtype)
