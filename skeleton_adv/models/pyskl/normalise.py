"""The pre-normalisation of pyskl, as differentiable modules.

Both return clips whose existing frames come first, and the number of these frames.
"""

import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton

NEGLIGIBLE = 1e-6  # a vector or axis whose absolute entries sum to less has no direction
ABSENT = 1e-8  # a frame of a person does not exist if no coordinate exceeds this
UNSEEN = 0.01  # the largest score of a joint that the detector did not see


class PreNormalize3D(nn.Module):
    """pyskl's ``PreNormalize3D`` (arXiv 2205.09443): order persons, drop frames, centre and rotate by the first frame.

    The person with the most frames comes first, and only this person's frames are kept. The clip is translated so
    that this person's ``center`` is at 0 in the first frame, and, with ``align_spine``, rotated so that the spine
    points along z and the shoulders along x there. The order of persons and the existing frames are constants of a
    clip; the rest is differentiable. With ``half``, the clips and the translated clips are rounded to float16, and so
    is the length of the spine, exactly as in pyskl, whose files are float16; the gradient is that of exact
    arithmetic. Raises ``SettingError`` if the skeleton has no shoulders.
    """

    def __init__(self, skeleton: Skeleton, half: bool = True, align_spine: bool = True) -> None:
        super().__init__()
        joints = skeleton.joints
        self.rounds, self.align_spine, self.center = half, align_spine, skeleton.center
        if align_spine and not {"left_shoulder", "right_shoulder"} <= {*joints}:
            raise SettingError(
                f"this preprocessing rotates clips by the joints left_shoulder and right_shoulder; {skeleton.name} "
                "has none of that name: name them so, or set preprocess.align_spine=false"
            )
        self.spine = (skeleton.root, skeleton.center)
        self.shoulders = (joints.index("left_shoulder"), joints.index("right_shoulder")) if align_spine else (0, 0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, T, V, M), metres -> the same shape, and (N,) the number of frames."""
        x, count = _kept(rounded(x) if self.rounds else x)
        exists = (x != 0).any(dim=1, keepdim=True)
        moved = x - x[:, :, :1, self.center : self.center + 1, :1]
        x = torch.where(exists, rounded(moved) if self.rounds else moved, 0)
        if not self.align_spine:
            return x, count
        vector = _vector(x, *self.spine)
        spine = self._spine_rotation(rounded(vector) if self.rounds else vector)
        x = torch.einsum("ndc,nctvm->ndtvm", spine, x)
        shoulders = _rotation(_vector(x, *self.shoulders), _axis(x, 0))
        return torch.einsum("ndc,nctvm->ndtvm", shoulders, x), count

    def _spine_rotation(self, vector: Tensor) -> Tensor:
        """(N, 3, 3): the rotation of ``vector`` (N, 3) to z; with ``half``, its angle is that of a float16 vector."""
        exact = _rotation(vector, _axis(vector, 2))
        if not self.rounds:
            return exact
        with torch.no_grad():
            value = _by_angle(vector, _axis(vector, 2), _half_cosine(vector))
        return exact + (value - exact).detach()


class PreNormalize2D(nn.Module):
    """pyskl's ``PreNormalize2D`` (arXiv 2205.09443): x and y from -1 to 1 over the image, y down.

    Joints with a score of at most 0.01 are at 0. Frames after the last one with a person do not exist.
    """

    scale: Tensor

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.score = score_channel(skeleton)
        scale = torch.ones(skeleton.channels)
        scale[skeleton.coords[0]], scale[skeleton.coords[1]] = 2, -2  # the attack space is half as wide, and y is up
        self.register_buffer("scale", scale.view(-1, 1, 1, 1), persistent=False)
        self.coords = [channel in skeleton.coords for channel in range(skeleton.channels)]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, T, V, M), fractions of the image -> the same shape, and (N,) the number of frames."""
        present = (x.detach() != 0).flatten(3).any(dim=3).any(dim=1)  # (N, T)
        frame = torch.arange(1, x.shape[2] + 1, device=x.device)
        count = torch.where(present, frame, 0).amax(dim=1)
        x = x * self.scale.to(x.dtype)
        if self.score is not None:
            unseen = x[:, self.score : self.score + 1] <= UNSEEN
            coordinate = torch.tensor(self.coords, device=x.device).view(1, -1, 1, 1, 1)
            x = torch.where(unseen & coordinate, 0, x)
        return x, torch.where(count > 0, count, x.shape[2])


def score_channel(skeleton: Skeleton) -> int | None:
    """The channel of the detector's score, if there is one."""
    others = [channel for channel in range(skeleton.channels) if channel not in skeleton.coords]
    return others[0] if others else None


def rounded(x: Tensor) -> Tensor:
    """x rounded to float16, in its own precision; the gradient is that of the identity."""
    return x + (_half(x.detach()) - x.detach())


def _half(x: Tensor) -> Tensor:
    # NumPy computes in float32 and rounds the result.
    y: Tensor = x.float().half().to(x.dtype)
    return y


def _kept(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (N, C, T, V, M) with the person with the most frames first, and this person's frames before all others.

    The second value is (N,) the number of this person's frames; a clip without a person keeps all frames.
    """
    present = (x.detach().abs() > ABSENT).any(dim=3).any(dim=1)  # (N, T, M)
    order = present.sum(dim=1).argsort(dim=1, descending=True, stable=True)  # (N, M)
    first = present.gather(2, order[:, None, :1].expand(-1, x.shape[2], 1))[:, :, 0]  # (N, T)
    if x.shape[4] > 1:
        x = x.gather(4, order.view(len(x), 1, 1, 1, -1).expand_as(x))
    frames = (~first).to(torch.int8).argsort(dim=1, stable=True)
    count = first.sum(dim=1)
    if (count < x.shape[2]).any():
        x = x.gather(2, frames.view(len(x), 1, -1, 1, 1).expand_as(x))
    return x, torch.where(count > 0, count, x.shape[2])


def _vector(x: Tensor, start: int, end: int) -> Tensor:
    """(N, 3): from joint ``start`` to ``end`` of the first person in the first frame."""
    return x[:, :, 0, end, 0] - x[:, :, 0, start, 0]


def _axis(like: Tensor, number: int) -> Tensor:
    """(N, 3): the unit vector of an axis for each of N clips."""
    axis = torch.zeros(len(like), 3, dtype=like.dtype, device=like.device)
    axis[:, number] = 1
    return axis


def _rotation(vector: Tensor, axis: Tensor) -> Tensor:
    """(N, 3, 3): the smallest rotation of ``vector`` (N, 3) to the unit ``axis`` (N, 3), by Rodrigues' formula.

    It is the identity if the vector is negligible or on the line of the axis.
    """
    unit = vector / vector.norm(dim=1, keepdim=True).clamp(min=1e-30)
    skew = _skew(torch.linalg.cross(unit, axis, dim=1))
    cosine = (unit * axis).sum(dim=1).clamp(min=-1 + 1e-7)
    turned = torch.eye(3, dtype=unit.dtype, device=unit.device) + skew + skew @ skew / (1 + cosine)[:, None, None]
    return torch.where(_still(vector, axis), torch.eye(3, dtype=unit.dtype, device=unit.device), turned)


def _by_angle(vector: Tensor, axis: Tensor, cosine: Tensor) -> Tensor:
    """(N, 3, 3): the rotation in the plane of ``vector`` and ``axis`` (N, 3) by the angle with this cosine (N,)."""
    across = torch.linalg.cross(vector, axis, dim=1)
    skew = _skew(across / across.norm(dim=1, keepdim=True).clamp(min=1e-30))
    angle = torch.arccos(cosine)[:, None, None]
    eye = torch.eye(3, dtype=vector.dtype, device=vector.device)
    turned = eye + angle.sin() * skew + (1 - angle.cos()) * (skew @ skew)
    return torch.where(_still(vector, axis) | (angle < NEGLIGIBLE), eye, turned)


def _still(vector: Tensor, axis: Tensor) -> Tensor:
    """(N, 1, 1): whether a vector (N, 3) is negligible, or parallel or opposite to the axis."""
    across: Tensor = torch.linalg.cross(vector, axis, dim=1).abs().sum(dim=1)
    return ((vector.abs().sum(dim=1) < NEGLIGIBLE) | (across < NEGLIGIBLE))[:, None, None]


def _half_cosine(vector: Tensor) -> Tensor:
    """(N,): the cosine of the angle between ``vector`` (N, 3) and z, with the norm and the quotient in float16."""
    length = _half(_half(vector.float().square().sum(dim=1)).sqrt())
    return _half(vector[:, 2].float() / length.clamp(min=1e-7)).clamp(-1, 1).to(vector.dtype)


def _skew(vector: Tensor) -> Tensor:
    """(N, 3, 3): the matrix of the cross product with ``vector`` (N, 3)."""
    x, y, z = vector.unbind(1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
