"""Streams: joints, bones and their motions as a network's input, and networks that add the logits of several."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import bone_links
from skeleton_adv.models.stages import Stages, channel_axis_of, layers_of, side_by_side

Stream = Literal["joint", "bone", "joint_motion", "bone_motion"]
STREAMS: tuple[Stream, ...] = get_args(Stream)


class Bones(nn.Module):
    """Joints (N, C, T, V, M) -> each joint minus the next joint towards the root, in all channels; 0 at the root."""

    bones: Tensor

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        matrix = torch.zeros(skeleton.num_joints, skeleton.num_joints)
        for joint, origin in bone_links(skeleton):
            matrix[joint, joint], matrix[origin, joint] = 1, -1
        self.register_buffer("bones", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x.transpose(3, 4) @ self.bones.to(x.dtype)).transpose(3, 4)


class StreamOf(nn.Module):
    """One stream of joints (N, C, T, V, M); gradients flow through it.

    A bone is a joint minus the next joint towards the root (Shi et al., arXiv 1805.07694), and motion is the next frame
    minus this one, 0 in the last frame (Shi et al., arXiv 1912.06971).
    """

    @checked
    def __init__(self, skeleton: Skeleton, stream: Stream = "joint") -> None:
        super().__init__()
        self.bones = Bones(skeleton) if stream.startswith("bone") else nn.Identity()
        self.moves = stream.endswith("motion")

    def forward(self, x: Tensor) -> Tensor:
        x = self.bones(x)
        return torch.cat([x[:, :, 1:] - x[:, :, :-1], torch.zeros_like(x[:, :, :1])], dim=2) if self.moves else x


class Fusion(nn.Module):
    """The weighted sum of the logits of networks that are trained on one stream each.

    ``member`` builds one of them from the facts of a dataset; the weights of each are named after its stream. Input
    (N, C, T, V, M), output logits (N, num_classes).
    Raises ``SettingError`` if the numbers of ``weights`` and ``streams`` differ, or if a stream is named twice.
    """

    @checked
    def __init__(
        self,
        member: Callable[..., nn.Module],
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        num_frames: Count = 64,
        streams: Sequence[str] = ("joint", "bone"),
        weights: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        if len(weights) != len(streams) or len(set(streams)) < len(streams) or not streams:
            raise SettingError(
                f"streams={list(streams)} with weights={list(weights)}: give one weight per stream, each stream once"
            )
        facts = {
            **{"skeleton": skeleton, "num_joints": skeleton.num_joints, "num_classes": num_classes},
            **{"num_persons": num_persons, "channels": channels, "num_frames": num_frames},
        }
        taken = inspect.signature(member).parameters
        self.names, self.weights = tuple(streams), tuple(float(weight) for weight in weights)
        self.inputs = nn.ModuleDict({name: StreamOf(skeleton, name) for name in streams})  # type: ignore[arg-type]
        for name in streams:
            self.add_module(name, member(**{key: value for key, value in facts.items() if key in taken}))
        self.logits = nn.Identity()  # names the weighted sum

    @classmethod
    def of(cls, networks: Mapping[str, nn.Module], skeleton: Skeleton) -> Self:
        """The sum, with weight 1, of these networks by their streams."""
        made = iter(networks.values())
        return cls(lambda: next(made), skeleton, streams=[*networks], weights=[1.0] * len(networks))

    @property
    def layers(self) -> Mapping[str, bool]:
        """The layers of each network, and the sum."""
        own: dict[str, bool] = {}
        for name in self.names:
            layers = layers_of(self.get_submodule(name))
            own |= {f"{name}.{layer}": by_person for layer, by_person in layers.items()}
        return own | {"logits": False}

    @property
    def feature_stages(self) -> Stages:
        """The stages of all networks, side by side."""
        return side_by_side({name: self.get_submodule(name) for name in self.names})

    @property
    def channel_axis(self) -> int:
        """That of the networks."""
        return channel_axis_of(self.get_submodule(self.names[0]))

    def forward(self, x: Tensor) -> Tensor:
        terms = [weight * logits for weight, logits in zip(self.weights, self.streams(x), strict=True)]
        total: Tensor = self.logits(torch.stack(terms).sum(dim=0))
        return total

    def streams(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits (N, num_classes) of each network."""
        return tuple(self.get_submodule(name)(self.inputs[name](x)) for name in self.names)
