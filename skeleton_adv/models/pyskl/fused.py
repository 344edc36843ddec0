"""The fusion of pyskl's networks of several streams."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Self

from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.pyskl.parts import log_mean_softmax
from skeleton_adv.models.stages import Stages, channel_axis_of, layers_of, side_by_side
from skeleton_adv.models.streams import STREAMS, Stream


class Fused(nn.Module):
    """Several of pyskl's networks, each trained on one stream, whose probabilities are added (arXiv 2205.09443).

    ``member`` builds one of them from the facts of a dataset; the weights of each are named after its stream. Input:
    per stream (N, C, T, V, M), or (N, clips, C, T, V, M), which ``Front`` returns for the same streams. Output
    (N, num_classes): the log of the weighted mean of the softmax of all streams. Raises ``SettingError`` unless there
    is one positive weight per stream.
    """

    log_probabilities = True

    @checked
    def __init__(
        self,
        member: Callable[..., nn.Module],
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        streams: Sequence[Stream] = STREAMS,
        weights: Sequence[float] = (2, 2, 1, 1),
    ) -> None:
        super().__init__()
        if len(weights) != len(streams) or len({*streams}) < len(streams) or not min(weights, default=0) > 0:
            raise SettingError(
                f"streams={list(streams)} with weights={list(weights)}: give one positive weight per stream, each "
                "stream once"
            )
        facts = {"skeleton": skeleton, "num_classes": num_classes, "num_persons": num_persons, "channels": channels}
        taken = signature(member).parameters
        self.names, self.weights = tuple(streams), tuple(map(float, weights))
        for one in streams:
            self.add_module(one, member(**{name: value for name, value in facts.items() if name in taken}))
        self.logits = nn.Identity()  # names the fusion of all streams

    @property
    def layers(self) -> Mapping[str, bool]:
        """The layers of each network, and the fusion."""
        own: dict[str, bool] = {}
        for one in self.names:
            layers = layers_of(self.get_submodule(one))
            own |= {f"{one}.{layer}": by_person for layer, by_person in layers.items()}
        return own | {"logits": False}

    @property
    def feature_stages(self) -> Stages:
        """The stages of all networks, side by side."""
        return side_by_side({name: self.get_submodule(name) for name in self.names})

    @property
    def channel_axis(self) -> int:
        """That of the networks."""
        return channel_axis_of(self.get_submodule(self.names[0]))

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.logits(log_mean_softmax(self.streams(*inputs), self.weights))
        return logits

    def streams(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The logits (N, num_classes) of each stream, computed from its input."""
        if len(inputs) != len(self.names):
            raise SettingError(
                f"this network fuses {len(self.names)} streams, but its preprocessing gives {len(inputs)}: set "
                f"preprocess.stream to {list(self.names)}"
            )
        return tuple(self.get_submodule(name)(x) for name, x in zip(self.names, inputs, strict=True))

    @classmethod
    def of(cls, networks: Mapping[str, nn.Module], skeleton: Skeleton) -> Self:
        """The fusion of these networks by their streams, with pyskl's weights."""
        weights = [share for one, share in zip(STREAMS, (2, 2, 1, 1), strict=True) if one in networks]
        ordered = [one for one in STREAMS if one in networks]
        members = iter([networks[one] for one in ordered])
        return cls(lambda: next(members), skeleton, streams=ordered, weights=weights)
