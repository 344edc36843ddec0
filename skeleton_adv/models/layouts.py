"""The layouts of public checkpoints: the network of each, and the names of its entries in this package."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.models.streams import STREAMS


@dataclass(frozen=True, eq=False)
class Layout:
    """A layout of weights.

    - ``name``: network and repository, for messages
    - ``sign``: a pattern that only keys of this layout start with
    - ``network``: its class, as ``module.Class`` in this package, which has ``from_weights``
    - ``rename``: the name of each key in this package
    - ``ignored``: a pattern of keys that are constants, or act in training only
    - ``model``: the option of ``model=`` for these weights
    - ``settings``: the settings that keys and shapes do not show
    - ``spare``: a layer that may have rows for more classes than its dataset has, which are never used
    """

    name: str
    sign: str
    network: str
    model: str
    rename: Callable[[str], str] = str
    ignored: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    spare: str | None = None

    def canonical(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names of this package's modules."""
        kept = [key for key in weights if not (self.ignored and re.search(self.ignored, key))]
        return {self.rename(key): weights[key] for key in kept}

    def from_weights(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """An untrained network with the sizes of these weights; ``KeyError`` if one that they require is missing."""
        weights = {self.rename(key): value for key, value in weights.items()}
        module, _, name = self.network.rpartition(".")
        network: nn.Module = getattr(import_module(f"skeleton_adv.models.{module}"), name).from_weights(
            weights, **self.settings
        )
        return network


def recognised(weights: Mapping[str, Tensor]) -> Layout | None:
    """The layout of these weights; None if it is unknown. Wrappers of names are already removed."""
    return next((layout for layout in LAYOUTS if any(re.match(layout.sign, key) for key in weights)), None)


def unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without what wrappers such as ``DataParallel`` put before every name.

    Raises ``CheckpointError`` if two entries then have the same name.
    """
    found = {re.sub(r"(^|\.)module\.", r"\1", key): value for key, value in weights.items()}
    if found and all(key.startswith("model.") for key in found):
        found = {key.removeprefix("model."): value for key, value in found.items()}
    if len(found) < len(weights):
        raise CheckpointError("two entries of the weights have the same name without `module.`: use one network's file")
    return found


def canonical(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of this package's modules; those of an unknown layout keep their names.

    Weights of several streams, each under its stream's name, are renamed stream by stream.
    """
    weights = unwrapped(weights)
    found: dict[str, Tensor] = {}
    for stream, part in by_stream(weights).items():
        layout = recognised(part)
        own = layout.canonical(part) if layout else part
        found |= {f"{stream}.{key}" if stream else key: value for key, value in own.items()}
    return found


def by_stream(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The weights of each stream by its name, or all weights under an empty name if they are those of one network."""
    if not all(key.partition(".")[0] in STREAMS for key in weights):
        return {"": dict(weights)}
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        stream, _, rest = key.partition(".")
        found.setdefault(stream, {})[rest] = value
    return found


def skeleton_with(joints: int, channels: int) -> Skeleton:
    """The known skeleton with this number of joints; of several, the first with this number of channels.

    Raises ``CheckpointError`` if there is none.
    """
    alike = [skeleton for skeleton in SKELETONS.values() if skeleton.num_joints == joints]
    if not alike:
        known = sorted({skeleton.num_joints for skeleton in SKELETONS.values()})
        raise CheckpointError(f"the weights are for {joints} joints: known skeletons have {known}")
    fitting = [skeleton for skeleton in alike if channels in (skeleton.channels, len(skeleton.coords))]
    return (fitting or alike)[0]


# The HCN authors' later code (skelact) and HCN-PrototypeLoss-PyTorch have other names for HCN-pytorch's layers.
_SKELACT = {"cls_head.fc": "fc8", **{f"backbone.{name}.0": f"{name}.0" for name in ("conv5", "conv6", "fc7")}} | {
    f"backbone.net_{branch}.{place}": name.format(suffix)
    for branch, suffix in (("l", ""), ("m", "m"))
    for place, name in ((0, "conv1{}.0"), (2, "conv2{}"), (4, "conv3{}.0"), (6, "conv4{}.0"))
}
_PROTOTYPE = {
    "conv_cooccurrence.0": "conv5.0",
    "conv_cooccurrence.4": "conv6.0",
    "classifier.0": "fc7.0",
    "classifier.3": "fc8",
} | {
    f"conv_{branch}.conv_block_{place}": name.format(suffix)
    for branch, suffix in (("position", ""), ("motion", "m"))
    for place, name in (
        *(("base.0", "conv1{}.0"), ("base.2", "conv2{}")),
        *(("center.0", "conv3{}.0"), ("center.2", "conv4{}.0")),
    )
}


def _by_layer(names: Mapping[str, str]) -> Callable[[str], str]:
    """A function that replaces the name of a layer in a key; other keys stay."""

    def rename(key: str) -> str:
        layer, _, last = key.rpartition(".")
        return f"{names.get(layer, layer)}.{last}"

    return rename


def _agcn(key: str) -> str:
    """Released weights of 2s-AGCN have names of two earlier versions: issues 32 and 67 of its repository."""
    return re.sub(r"^l(\d+)a\b", r"l\1", key).replace(".conv_res.", ".down.")


# In this order: the sign of a layout may also fit a layout further down.
LAYOUTS = (
    Layout("HCN (HCN-pytorch)", r"conv1m?\.0\.|conv[2-6]m?\.|fc[78]\.", "hcn.HCN", "hcn_pytorch"),
    Layout(
        "HCN (skelact)",
        r"backbone\.net_[lm]\.",
        "hcn.HCN",
        "hcn_skelact",
        _by_layer(_SKELACT),
        settings={"motion": "zero_first"},
    ),
    Layout(
        *("HCN (HCN-PrototypeLoss-PyTorch)", r"conv_position\.|conv_cooccurrence\.", "hcn.HCN", "hcn_prototype"),
        _by_layer(_PROTOTYPE),
        settings={"motion": "nearest"},
    ),
    Layout("2s-AGCN (one stream)", r"l\d+a?\.gcn1\.conv_[ab]\.\d", "agcn.AGCN", "agcn_joint", _agcn, r"\.adjacency$"),
    Layout("ST-GCN", r"st_gcn_networks\.", "stgcn.STGCN", "stgcn", ignored=r"^A$"),
    # FR-Head's released weights of NTU RGB+D 60 were trained with the 120 classes of NTU RGB+D 120.
    Layout("FR-Head", r"ren_(low|mid|high|fin)\.", "ctrgcn.CTRGCN", "ctrgcn", ignored=r"^ren_|(^|\.)A$", spare="fc"),
    Layout("CTR-GCN", r"l\d+\.gcn1\.convs\.", "ctrgcn.CTRGCN", "ctrgcn", ignored=r"(^|\.)A$"),
    Layout("MS-G3D", r"(gcn3d|sgcn)\d\.", "msg3d.MSG3D", "msg3d"),
    Layout("InfoGCN", r"l\d+\.agcn\.", "infogcn.InfoGCN", "infogcn", ignored=r"^A_vector$"),
    # A released file contains the last level of each unit twice.
    Layout("HD-GCN", r"l\d+\.gcn1\.(conv_down|aha)\.", "hdgcn.HDGCN", "hdgcn", ignored=r"\.gcn1\.conv_d\."),
    Layout("Shift-GCN", r"l\d+\.gcn1\.[LF]", "shiftgcn.ShiftGCN", "shiftgcn", ignored=r"\.gcn1\.shift_(in|out)$"),
    Layout("STTFormer", r"blocks\.\d\.(alphas|att0s)", "sttformer.STTFormer", "sttformer", ignored=r"\.pes\.pe$"),
    Layout(
        *("SkateFormer", r"stages\.\d\.blocks\.", "skateformer.SkateFormer", "skateformer"),
        ignored=r"relative_position_index$",
    ),
    Layout("SGN", r"(tem|spa)_embed\.|compute_g1\.", "sgn.SGN", "sgn"),
    Layout("pyskl's MS-G3D", r"backbone\.(gcn3d|sgcn)\d\.", "pyskl.msg3d.MSG3D", "pyskl_msg3d", ignored=r"\.A$"),
    Layout("pyskl's CTR-GCN", r"backbone\.net\.", "pyskl.ctrgcn.CTRGCN", "pyskl_ctrgcn", ignored=r"^backbone\.A$"),
    Layout("pyskl's SGN", r"backbone\.(compute_A1|t_embed)\.", "pyskl.sgn.SGN", "own"),
    Layout("pyskl's ST-GCN", r"backbone\.gcn\.\d+\.gcn\.PA", "pyskl.stgcn.STGCN", "pyskl_stgcn", ignored=r"\.A$"),
    Layout(
        *("pyskl's AAGCN", r"backbone\.gcn\.\d+\.gcn\.conv_ta\.", "pyskl.aagcn.AAGCN", "pyskl_aagcn"),
        ignored=r"^backbone\.A$",
    ),
    Layout("pyskl's DG-STGCN", r"backbone\.gcn\.\d+\.tcn\.add_coeff", "pyskl.dgstgcn.DGSTGCN", "pyskl_dgstgcn"),
    Layout("pyskl's ST-GCN++", r"backbone\.gcn\.\d+\.tcn\.transform", "pyskl.stgcnpp.STGCNPP", "pyskl_stgcnpp"),
)
