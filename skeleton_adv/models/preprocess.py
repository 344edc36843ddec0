"""The preprocessing of victims, as differentiable modules."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton


class Unchanged(nn.Module):
    """No preprocessing: the network receives the clips of the attack space."""

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V, M)
        return x


class CenterPerFrame(nn.Module):
    """Subtract the centre joint of the first person, frame by frame, from every joint of every person.

    This is HCN-pytorch's ``origin_transfer``. As in that code, an absent second person moves from 0 to
    minus the centre too, because published weights expect it. Clips in image coordinates are returned unchanged,
    because no public pipeline centres them and a score is not a position.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.joint, self.flat = skeleton.center, len(skeleton.coords) < 3

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V, M)
        if self.flat:
            return x
        return x - x[:, :, :, self.joint : self.joint + 1, :1]


class PreNormalize(nn.Module):
    """2s-AGCN's ``pre_normalization``: order persons by energy, centre each frame, rotate by the first frame.

    The person who moves most comes first. Every frame is translated so that this person's ``center`` is
    at 0. Then the clip is rotated so that the spine in the first frame points along z, and then so that
    the shoulders in the first frame point along x. Entries that are exactly 0 do not exist and stay 0. All steps are
    differentiable except the order of persons. The frames of a clip with ``WHOLE`` frames are first repeated
    until they fill the clip, as in the authors' pipeline; a repeated frame is a copy of the frame that an
    attack moves. In the ``normalised`` space, only this repetition remains. Clips in image
    coordinates are returned unchanged, as in the authors' pipeline for Kinetics.
    """

    def __init__(self, skeleton: Skeleton, space: Literal["camera", "normalised"] = "camera") -> None:
        super().__init__()
        joints = skeleton.joints
        self.center, self.flat, self.normalised = skeleton.center, len(skeleton.coords) < 3, space == "normalised"
        self.spine = (skeleton.root, skeleton.center)
        if not self.flat and not {"left_shoulder", "right_shoulder"} <= {*joints}:
            raise SettingError(
                f"this preprocessing rotates clips by the joints left_shoulder and right_shoulder; {skeleton.name} "
                "has none of that name: name them so, or choose a model without it, such as hcn"
            )
        self.shoulders = (0, 0) if self.flat else (joints.index("left_shoulder"), joints.index("right_shoulder"))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V, M)
        if self.flat:
            return x
        if not self.normalised:
            x = x.gather(4, self.order(x).view(len(x), 1, 1, 1, -1).expand_as(x))
        if x.shape[2] >= WHOLE:
            # A matrix product, because frames that are gathered twice have no deterministic gradient on a GPU.
            x = torch.einsum("nctvm,nsmt->ncsvm", x, F.one_hot(_repeated(x), x.shape[2]).to(x.dtype))
        return x if self.normalised else self.rotated(x)

    def rotated(self, x: Tensor) -> Tensor:
        """x (N, C, T, V, M), whose persons are in order, centred in every frame and rotated by the first frame."""
        exists = (x != 0).any(dim=1, keepdim=True)
        x = torch.where(exists, x - x[:, :, :, self.center : self.center + 1, :1], 0)
        axes = torch.eye(3, dtype=x.dtype, device=x.device)
        x = self._rotate(x, self.spine[0], self.spine[1], axes[2])
        return self._rotate(x, self.shoulders[0], self.shoulders[1], axes[0])

    def order(self, x: Tensor) -> Tensor:
        """(N, M) the numbers of the persons of x, the one who moves most first."""
        return _energy(x).argsort(dim=1, descending=True, stable=True)

    def _rotate(self, x: Tensor, start: int, end: int, axis: Tensor) -> Tensor:
        """x rotated so that the vector from joint ``start`` to ``end`` in the first frame points along ``axis``."""
        vector = x[:, :, 0, end, 0] - x[:, :, 0, start, 0]  # (N, 3)
        return torch.einsum("ndc,nctvm->ndtvm", _rotation(vector, axis.expand_as(vector)), x)


def _repeated(x: Tensor) -> Tensor:
    """(N, T, M) the source of each frame when the frames of a person are repeated to fill all T frames.

    If a person is present in the first frame, the repeated frames include later gaps; otherwise they exclude all
    empty frames.
    """
    present = (x.detach() != 0).any(dim=3).any(dim=1)  # (N, T, M)
    frame = torch.arange(x.shape[2], device=x.device).view(1, -1, 1).expand_as(present)
    end = torch.where(present, frame + 1, 0).amax(dim=1, keepdim=True)
    packed = (~present).to(torch.int8).argsort(dim=1, stable=True)
    count = present.sum(dim=1, keepdim=True)
    with_gaps = frame % end.clamp(min=1)
    return torch.where(present[:, :1], with_gaps, packed.gather(1, frame % count.clamp(min=1)))


def _energy(x: Tensor) -> Tensor:
    """(N, M) standard deviation over the frames and joints in which a person is present, summed over axes."""
    present = (x.detach() != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)  # (N, 1, T, 1, M)
    count = (present.sum(dim=(2, 3)) * x.shape[3]).clamp(min=1)
    values = torch.where(present, x.detach(), 0)
    mean = values.sum(dim=(2, 3)) / count
    variance = torch.where(present, values - mean[:, :, None, None], 0).square().sum(dim=(2, 3)) / count
    return variance.sqrt().sum(dim=1)


def _rotation(vector: Tensor, axis: Tensor) -> Tensor:
    """(N, 3, 3) the smallest rotation that takes the direction of ``vector`` (N, 3) to the unit ``axis``.

    It is the identity if the vector is 0 or already along the axis, as in the authors' code.
    """
    length = vector.norm(dim=1, keepdim=True)
    unit = torch.where(length > 0, vector / length.clamp(min=1e-30), axis)
    across = torch.linalg.cross(unit, axis, dim=1)
    cosine = (unit * axis).sum(dim=1)
    skew = torch.zeros(len(unit), 3, 3, dtype=unit.dtype, device=unit.device)
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -across[:, 2], across[:, 1], -across[:, 0]
    skew = skew - skew.transpose(1, 2)
    identity = torch.eye(3, dtype=unit.dtype, device=unit.device)
    # Rodrigues' formula; only exactly opposite directions, which have no smallest rotation, are excluded.
    return identity + skew + skew @ skew / (1 + cosine).clamp(min=1e-6)[:, None, None]
