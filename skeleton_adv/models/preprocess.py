"""The preprocessing of victims, as differentiable modules."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Fraction, checked
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.dataset import Space
from skeleton_adv.models.streams import Stream, StreamOf


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


class Denoised(nn.Module):
    """CTR-GCN's preprocessing (Uason-Chen/CTR-GCN), which several later networks share.

    The person who moves most comes first. Every person is translated so that the first person's ``center`` is at 0 in
    the first frame in which that person exists; absent persons stay 0. A clip with ``WHOLE`` frames is cut to the
    central fraction ``crop`` of its recorded frames, as in the authors' feeder; a shorter one was cropped before. The
    frames are then resized linearly to ``length`` (None: the dataset's ``num_frames``, rounded up to a multiple of
    ``multiple``). ``aligned``: InfoGCN's preparation, which also rotates each person so that in the first frame the
    lower spine points along z and the hips along x. ``stream``: what the network receives. Only the order of persons
    and the set of existing frames are not differentiable. Clips in image coordinates are only resized.

    Raises ``SettingError`` if ``length`` is None for whole clips, and if ``aligned`` lacks a joint.
    """

    @checked
    def __init__(
        self,
        skeleton: Skeleton,
        num_frames: Count = 64,
        length: Count | None = 64,
        multiple: Count = 1,
        crop: Fraction = 0.95,
        aligned: bool = False,
        stream: Stream = "joint",
    ) -> None:
        super().__init__()
        if length is None and num_frames >= WHOLE:
            raise SettingError(
                f"preprocess.length=null with clips of num_frames={num_frames}, which have as many frames as were "
                "recorded: set preprocess.length=64"
            )
        self.length = length or -(-num_frames // multiple) * multiple
        self.center, self.flat, self.crop = skeleton.center, len(skeleton.coords) < 3, crop
        self.spine, self.hips = (skeleton.root, skeleton.center), (0, 0)
        if aligned and not self.flat:
            if not {"left_hip", "right_hip"} <= {*skeleton.joints}:
                raise SettingError(
                    f"preprocess.aligned=true rotates clips by the joints left_hip and right_hip; {skeleton.name} has "
                    "none of that name: name them so, or choose another model"
                )
            self.hips = (skeleton.joints.index("left_hip"), skeleton.joints.index("right_hip"))
        self.aligned = aligned and not self.flat
        self.stream = StreamOf(skeleton, stream)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V, M)
        if not self.flat:
            x = translated(x, self.center)
        if self.aligned:
            x = self._rotated(x)
        stream: Tensor = self.stream(self._resized(x))
        return stream

    def _rotated(self, x: Tensor) -> Tensor:
        """Each person's frame of reference: across the hips, forward, and up the spine, at the first frame."""
        up = _unit(x[:, :, 0, self.spine[1]] - x[:, :, 0, self.spine[0]])  # (N, 3, M)
        across = x[:, :, 0, self.hips[0]] - x[:, :, 0, self.hips[1]]
        across = _unit(across - (across * up).sum(dim=1, keepdim=True) * up)
        axes = torch.stack([across, torch.linalg.cross(across, up, dim=1), up], dim=1)  # (N, 3 axes, 3, M)
        # The axes are orthonormal: their inverse is the transpose. A person who is absent at first has axes of 0.
        return torch.einsum("nacm,nctvm->natvm", axes, x)

    def _resized(self, x: Tensor) -> Tensor:
        frames = x.shape[2]
        if frames < WHOLE:
            return x if frames == self.length else torch.einsum("nctvm,st->ncsvm", x, _linear(x, frames, self.length))
        recorded = (x.detach() != 0).any(dim=3).any(dim=1).any(dim=2).sum(dim=1)  # (N,)
        start = ((1 - self.crop) * recorded / 2).long()
        return torch.einsum("nctvm,nst->ncsvm", x, _linear(x, recorded - 2 * start, self.length, start))


def translated(x: Tensor, center: int) -> Tensor:
    """x (N, C, T, V, M), the person who moves most first, with this person's ``center`` at 0 in its first frame.

    All persons are translated alike; joints that do not exist stay 0.
    """
    x = x.gather(4, _by_motion(x).view(len(x), 1, 1, 1, -1).expand_as(x))
    present = (x.detach() != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)  # (N, 1, T, 1, M)
    first = present[:, 0, :, 0, 0].to(torch.int8).argmax(dim=1)  # 0 if the first person is absent from all frames
    origin = x[:, :, :, center, 0].gather(2, first.view(-1, 1, 1).expand(-1, x.shape[1], 1))
    exists = (x.detach() != 0).any(dim=1, keepdim=True)
    return torch.where(exists, x - origin[..., None, None], 0)


def _by_motion(x: Tensor) -> Tensor:
    """(N, M) the numbers of the persons of x, the one whose coordinates vary most first."""
    return _variance(x).sum(dim=1).argsort(dim=1, descending=True, stable=True)


def _unit(vector: Tensor) -> Tensor:
    """Vectors (N, 3, M) of length 1; 0 stays 0."""
    return vector / vector.square().sum(dim=1, keepdim=True).clamp(min=1e-30).sqrt()


def _linear(x: Tensor, count: Tensor | int, length: int, start: Tensor | int = 0) -> Tensor:
    """(length, T), or (N, length, T): the linear resize of ``count`` frames from ``start``, without aligned corners."""
    count = torch.as_tensor(count, device=x.device)[..., None].clamp(min=1)
    at = (torch.arange(length, device=x.device) + 0.5) * (count.to(x.dtype) / length) - 0.5
    at = at.clamp(min=0)
    low = at.long()
    high = torch.minimum(low + 1, count - 1)
    share = (at - low)[..., None]
    first = torch.as_tensor(start, device=x.device)[..., None]
    ends = (F.one_hot(frame + first, x.shape[2]).to(x.dtype) for frame in (low, high))
    return next(ends) * (1 - share) + next(ends) * share


class PreNormalize(nn.Module):
    """2s-AGCN's ``pre_normalization``: order persons by energy, centre each frame, rotate by the first frame.

    The person who moves most comes first. Every frame is translated so that this person's ``center`` is
    at 0. Then the clip is rotated so that the spine in the first frame points along z, and then so that
    the shoulders in the first frame point along x. Entries that are exactly 0 do not exist and stay 0. All steps are
    differentiable except the order of persons. The frames of a clip with ``WHOLE`` frames are first repeated
    until they fill the clip, as in the authors' pipeline; a repeated frame is a copy of the frame that an
    attack moves. In the ``normalised`` space, only this repetition remains. Clips in image
    coordinates are returned unchanged, as in the authors' pipeline for Kinetics. ``stream``: what the network receives.
    """

    @checked
    def __init__(self, skeleton: Skeleton, space: Space = "camera", stream: Stream = "joint") -> None:
        super().__init__()
        joints = skeleton.joints
        self.stream = StreamOf(skeleton, stream)
        self.center, self.flat, self.normalised = skeleton.center, len(skeleton.coords) < 3, space == "normalised"
        self.spine = (skeleton.root, skeleton.center)
        if not self.flat and not {"left_shoulder", "right_shoulder"} <= {*joints}:
            raise SettingError(
                f"this preprocessing rotates clips by the joints left_shoulder and right_shoulder; {skeleton.name} "
                "has none of that name: name them so, or choose a model without it, such as hcn"
            )
        self.shoulders = (0, 0) if self.flat else (joints.index("left_shoulder"), joints.index("right_shoulder"))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V, M)
        stream: Tensor = self.stream(x if self.flat else self._normal(x))
        return stream

    def _normal(self, x: Tensor) -> Tensor:
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
    return _variance(x).sqrt().sum(dim=1)


def _variance(x: Tensor) -> Tensor:
    """(N, C, M) variance over the frames and joints in which a person is present."""
    present = (x.detach() != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)  # (N, 1, T, 1, M)
    count = (present.sum(dim=(2, 3)) * x.shape[3]).clamp(min=1)
    values = torch.where(present, x.detach(), 0)
    mean = values.sum(dim=(2, 3)) / count
    return torch.where(present, values - mean[:, :, None, None], 0).square().sum(dim=(2, 3)) / count


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
