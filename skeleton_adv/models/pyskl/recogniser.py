"""Which of pyskl's networks weights belong to, and the fusion of streams."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, Self

from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.pyskl.aagcn import AAGCN
from skeleton_adv.models.pyskl.ctrgcn import CTRGCN
from skeleton_adv.models.pyskl.dgstgcn import DGSTGCN
from skeleton_adv.models.pyskl.features import STREAMS
from skeleton_adv.models.pyskl.msg3d import MSG3D
from skeleton_adv.models.pyskl.parts import Recogniser, log_mean_softmax
from skeleton_adv.models.pyskl.sgn import SGN
from skeleton_adv.models.pyskl.stgcn import STGCN
from skeleton_adv.models.pyskl.stgcnpp import STGCNPP
from skeleton_adv.models.streams import Stream

# A key that only this network has, tried in this order, because ST-GCN++'s temporal keys are among DG-STGCN's.
_KEYS: Mapping[str, type[Recogniser]] = {
    "backbone.sgcn1.0.PA": MSG3D,
    "backbone.net.0.gcn1.A": CTRGCN,
    "backbone.compute_A1.conv.weight": SGN,
    "backbone.gcn.0.gcn.PA": STGCN,
    "backbone.gcn.0.gcn.conv_ta.weight": AAGCN,
    "backbone.gcn.0.tcn.add_coeff": DGSTGCN,
    "backbone.gcn.0.tcn.transform.0.weight": STGCNPP,
}


class Fused(nn.Module):
    """Several of pyskl's networks, each trained on one stream, whose probabilities are added (arXiv 2205.09443).

    ``network`` builds one of them from the facts of a dataset; the weights of each are named after its stream. Input:
    per stream (N, C, T, V, M), or (N, clips, C, T, V, M), which ``Front`` returns for the same streams. Output
    (N, num_classes): the log of the weighted mean of the softmax of all streams. Raises ``SettingError`` unless there
    is one positive weight per stream.
    """

    log_probabilities = True

    @checked
    def __init__(
        self,
        network: Callable[..., nn.Module],
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
        taken = signature(network).parameters
        self.names, self.weights = tuple(streams), tuple(map(float, weights))
        for one in streams:
            self.add_module(one, network(**{name: value for name, value in facts.items() if name in taken}))
        self.logits = nn.Identity()  # names the fusion of all streams

    @property
    def layers(self) -> Mapping[str, bool]:
        """The layers of each network, and the fusion."""
        own: dict[str, bool] = {}
        for one in self.names:
            layers: Any = getattr(self.get_submodule(one), "layers", {})
            own |= {f"{one}.{layer}": by_person for layer, by_person in layers.items()}
        return own | {"logits": False}

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.logits(log_mean_softmax(self.streams(*inputs), self.weights))
        return logits

    def streams(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The logits (N, num_classes) of each stream, of the input of each stream."""
        if len(inputs) != len(self.names):
            raise SettingError(
                f"this network fuses {len(self.names)} streams, but its preprocessing gives {len(inputs)}: set "
                f"preprocess.stream to {list(self.names)}"
            )
        return tuple(self.get_submodule(name)(x) for name, x in zip(self.names, inputs, strict=True))

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        parts = {one: _under(f"{one}.", weights) for one in STREAMS if f"{one}.cls_head.fc_cls.weight" in weights}
        if not parts:
            raise KeyError("joint.cls_head.fc_cls.weight")
        built = iter([type_of(part).from_weights(part) for part in parts.values()])
        shares = [share for one, share in zip(STREAMS, (2, 2, 1, 1), strict=True) if one in parts]
        return cls(lambda: next(built), streams=[*parts], weights=shares)


def type_of(weights: Mapping[str, Tensor]) -> type[Recogniser]:
    """The network of pyskl to which these weights belong; raises ``KeyError`` if there is none."""
    for key, network in _KEYS.items():
        if key in weights:
            return network
    raise KeyError(next(iter(_KEYS)))


def is_pyskl(weights: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of one of pyskl's networks, or of several streams of one."""
    return any(key.endswith("cls_head.fc_cls.weight") for key in weights)


def recogniser_of(weights: Mapping[str, Tensor]) -> Recogniser | Fused:
    """An untrained network, or a fusion, with the sizes of these weights; raises ``KeyError`` for a missing key."""
    if "cls_head.fc_cls.weight" in weights:
        return type_of(weights).from_weights(weights)
    return Fused.from_weights(weights)


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
