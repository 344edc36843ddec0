"""The nearest clip that satisfies several constraints at once: ADMM on vectors that each have one simple set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.constraints.base import Constraint
from skeleton_adv.constraints.split import Split
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import joints_last

TIGHTER = 1e-3  # by which tolerances are lower while clips are moved, so that rounding does not lead out of them
WEIGHT = 0.1  # of the distance, beside the constraints: larger converges to nearer clips, smaller to feasible ones
STEPS = 100  # towards the nearest clip, and then towards a feasible one near it
TRIES = 4  # from ever shorter displacements, for clips that were not feasible in the end


@dataclass
class Splitting:
    """Where a projection is: the vectors of each constraint, in their sets, and the scaled duals."""

    vectors: list[Tensor]
    duals: list[Tensor]


class Projection:
    """Moves clips to the nearest ones that satisfy all of ``constraints``, relative to the clean clips of ``batch``.

    It minimises ``WEIGHT / 2 |y - z|^2`` for coordinates y such that the vectors ``A_k y`` of each constraint (bones,
    velocities, displacements of the joints of an angle) are in their set S_k, by ADMM (Boyd et al., Distributed
    Optimization and Statistical Learning via ADMM, 2011, section 5):

        y   = argmin WEIGHT / 2 |y - z|^2 + 1/2 sum_k |A_k y - u_k + l_k|^2
        u_k = nearest point of S_k to A_k y + l_k;    l_k = l_k + A_k y - u_k

    The linear system is ``kron(joints, 1) + kron(1, frames)``, of which the eigenvectors are products of those of two
    small matrices, so it is solved exactly. Entries that no attack may move are one more set. Bones and speeds
    have lower limits, so the sets are not convex, and a point where ADMM stops is a local minimum.

    Raises ``SettingError`` if a constraint cannot be projected on.
    """

    def __init__(self, constraints: Mapping[str, Constraint], batch: SkeletonBatch) -> None:
        self.batch, self._constraints = batch, list(constraints.values())
        exact = batch.to(dtype=torch.float64)
        self.clean = joints_last(exact.x, batch.skeleton)  # (N, C, T, M, V)
        self._splits = [_split(name, constraint, exact) for name, constraint in constraints.items()]
        movable = joints_last(exact.movable, batch.skeleton)
        if not bool(movable.all()):
            one = torch.eye(self.clean.shape[-1]).to(self.clean)
            self._splits.append(Split(one, lambda y: torch.where(movable, y, self.clean)))
        self._system = _Eigen.of(self._splits, self.clean)

    def begin(self, y: Tensor) -> Splitting:
        """The start of a projection at coordinates y (N, C, T, M, V)."""
        vectors = [split.of(y) for split in self._splits]
        nearest = [split.nearest(vector) for split, vector in zip(self._splits, vectors, strict=True)]
        return Splitting(nearest, [torch.zeros_like(vector) for vector in vectors])

    def step(self, at: Splitting, towards: Tensor) -> Tensor:
        """One step of ADMM towards coordinates (N, C, T, M, V); changes ``at`` and returns y."""
        right = WEIGHT * towards
        for split, vectors, duals in zip(self._splits, at.vectors, at.duals, strict=True):
            right = right + split.back(vectors - duals)
        y = self._system.solve(right, WEIGHT)
        for k, split in enumerate(self._splits):
            moved = split.of(y) + at.duals[k]
            at.vectors[k] = split.nearest(moved)
            at.duals[k] = moved - at.vectors[k]
        return y

    def feasible(self, x: Tensor) -> Tensor:
        """(N,) bool: which clips x (N, C, T, V, M) satisfy all constraints, judged in float64."""
        inside = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for constraint in self._constraints:
            inside &= constraint.satisfied(x, self.batch)
        return inside

    def project(self, x: Tensor) -> Tensor:
        """Feasible clips near x (N, C, T, V, M); those that are feasible already are returned as they are.

        A clip at which ADMM does not end feasibly is tried again with half of its displacement, up to ``TRIES``
        times; after that, it is the clean clip, which is feasible.
        """
        x = torch.where(self.batch.movable, x, self.batch.x)
        done = self.feasible(x)
        best = torch.where(_each(done), x, self.batch.x)
        displacement = self.coordinates(x) - self.clean
        for attempt in range(TRIES):
            found, inside = self.polished(self.clean + displacement / 2**attempt)
            best = torch.where(_each(inside & ~done), found, best)
            done = done | inside
            if bool(done.all()):
                break
        return best

    def polished(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Clips (N, C, T, V, M) near coordinates z (N, C, T, M, V), and which of them (N,) are feasible.

        After ``STEPS`` steps towards z, ADMM starts again from where it is and goes on to the nearest feasible clip.
        """
        y = z
        for _ in range(2):
            at, z = self.begin(y), y
            for _ in range(STEPS):
                y = self.step(at, z)
        x = self.clips(y)
        return x, self.feasible(x)

    def coordinates(self, x: Tensor) -> Tensor:
        """Clips (N, C, T, V, M) as coordinates (N, C, T, M, V) in float64."""
        return joints_last(x.double(), self.batch.skeleton)

    def clips(self, y: Tensor) -> Tensor:
        """Coordinates as clips of the batch; entries that no attack may move are the clean ones."""
        batch = self.batch
        moved = y.transpose(3, 4).to(batch.x.dtype)
        if moved.shape[1] < batch.x.shape[1]:
            moved = batch.x.index_copy(1, torch.tensor(batch.skeleton.coords, device=moved.device), moved)
        return torch.where(batch.movable, moved, batch.x)


@dataclass(frozen=True)
class _Eigen:
    """The linear system of a projection, in the eigenvectors of its two factors."""

    joints: Tensor  # (V, V) eigenvectors
    frames: Tensor  # (T, T)
    values: Tensor  # (T, 1, V) sums of their eigenvalues

    @staticmethod
    def of(splits: Sequence[Split], y: Tensor) -> "_Eigen":
        frames, joints = (torch.zeros(size, size).to(y) for size in (y.shape[2], y.shape[4]))
        for split in splits:
            if split.joints is None:
                difference = torch.eye(len(frames)).to(y).diff(dim=0)
                frames = frames + difference.T @ difference
            else:
                joints = joints + split.joints @ split.joints.T
        (along, over), (a, b) = zip(*(torch.linalg.eigh(matrix) for matrix in (frames, joints)), strict=True)
        return _Eigen(b, a, along[:, None, None] + over)

    def solve(self, right: Tensor, weight: float) -> Tensor:
        inside = torch.einsum("nctmv,ts,vu->ncsmu", right, self.frames, self.joints) / (weight + self.values)
        return torch.einsum("ncsmu,ts,vu->nctmv", inside, self.frames, self.joints)


def project(constraints: Mapping[str, Constraint], x: Tensor, batch: SkeletonBatch) -> Tensor:
    """Clips that satisfy all of ``constraints``, near x (N, C, T, V, M)."""
    return Projection(constraints, batch).project(x)


def _split(name: str, constraint: Constraint, batch: SkeletonBatch) -> Split:
    split = constraint.split(batch, TIGHTER)
    if split is None:
        raise SettingError(f"constraint.{name}: clips cannot be projected on a limit of this kind; leave it out")
    return split


def _each(clips: Tensor) -> Tensor:
    return clips.view(-1, 1, 1, 1, 1)
