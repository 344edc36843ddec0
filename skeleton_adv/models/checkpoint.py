"""Checkpoints of this program and of the public implementations, read without executing anything."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.models.agcn import AGCN, TwoStreamAGCN
from skeleton_adv.models.hcn import HCN

# The HCN authors' later code (skelact) names the same layers otherwise.
_SKELACT = {"cls_head.fc": "fc8"} | {
    f"backbone.net_{branch}.{place}": f"conv{number}{suffix}"
    for branch, suffix in (("l", ""), ("m", "m"))
    for place, number in ((0, "1"), (2, "2"), (4, "3"), (6, "4"))
}
_BARE = ("conv2", "conv2m", "fc8")  # layers that are no first member of a sequence in HCN-pytorch
# NumPy scalars, which HCN-pytorch puts beside its weights; they hold no code.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    _SCALAR,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")),
]


def load_checkpoint(source: str | Path | Mapping[str, Tensor]) -> nn.Module:
    """The network that a checkpoint is of, with its weights: layout, widths, joints and classes read off the keys.

    Reads HCN-pytorch's ``.pth.tar``, the HCN authors' later layout (whose motion starts with a zero
    frame), 2s-AGCN's bare state dict with or without ``module.`` and the released weights' renamed
    keys, both streams of 2s-AGCN in one file under ``joint.`` and ``bone.``, and ``.safetensors``.
    HCN-pytorch's own motion is assumed for its layout, and a joint stream for 2s-AGCN's: no shape tells.
    Raises ``CheckpointError`` naming the keys that do not fit; never executes a pickle.
    """
    named = source if isinstance(source, str | Path) else "the state dict"
    weights = read_state_dict(Path(source)) if isinstance(source, str | Path) else dict(source)
    skelact = is_skelact(weights)
    weights = canonical(weights)
    try:
        model = _build(weights, skelact)
    except (KeyError, ZeroDivisionError, IndexError) as error:
        raise CheckpointError(f"{named} is of no layout known here: it lacks or misshapes {error}") from None
    fill(model, weights, f"{named} does not fit {type(model).__name__}", "")
    return model.eval()


def fill(model: nn.Module, weights: Mapping[str, Tensor], complaint: str, way_out: str) -> None:
    """Give a model its weights in its own precision; raises ``CheckpointError`` naming keys that do not fit."""
    own = model.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # torch 0.3 did not save them
    unfit = [
        f"{key} ({_shape_of(weights, key)} in the file, {_shape_of(own, key)} in the model)"
        for key in sorted({*own, *weights} - (counters - set(weights)))
        if _shape_of(own, key) != _shape_of(weights, key)
    ]
    if unfit:
        more = f" and {len(unfit) - 3} more" if len(unfit) > 3 else ""
        raise CheckpointError(f"{complaint}: {'; '.join(unfit[:3])}{more}{way_out}")
    model.load_state_dict({**own, **{key: value.to(own[key].dtype) for key, value in weights.items()}})


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """A file's weights by name, with ``module.`` and what precedes it stripped.

    Raises ``CheckpointError`` if it is no safe checkpoint.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            with torch.serialization.safe_globals(_NUMPY):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0][:120]
        raise CheckpointError(f"{path} holds more than weights and is not executed ({reason})") from None
    except Exception as error:  # safetensors, zip and pickle each have their own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise CheckpointError(f"{path} is not a readable checkpoint ({reason})") from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no state dict: it must map names to tensors, or hold 'state_dict'")
    return {str(key).rpartition("module.")[2]: value for key, value in content.items()}


def is_skelact(weights: Mapping[str, Tensor]) -> bool:
    """Whether these weights are of the HCN authors' later code, whose motion and preprocessing are others."""
    return any(key.startswith("backbone.") for key in weights)


def canonical(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names that the modules here have."""
    return {_canonical(key): value for key, value in weights.items()}


def _canonical(key: str) -> str:
    layer, _, last = key.rpartition("module.")[2].rpartition(".")
    if layer in _SKELACT or layer.startswith("backbone."):
        layer = _SKELACT.get(layer, layer.removeprefix("backbone."))
        return f"{layer}.{last}" if layer in _BARE or layer.endswith(".0") else f"{layer}.0.{last}"
    layer = re.sub(r"^l(\d+)a\b", r"l\1", layer)  # released 2s-AGCN weights, issues 32 and 67 of its repository
    return f"{layer.replace('.conv_res.', '.down.')}.{last}"


def _hcn(weights: Mapping[str, Tensor], skelact: bool) -> HCN:
    conv2, features = weights["conv2.weight"].shape[0], weights["fc7.0.weight"].shape[1]
    return HCN(
        num_joints=weights["conv3.0.weight"].shape[1],
        num_classes=weights["fc8.weight"].shape[0],
        num_frames=16 * (features // (256 * (conv2 // 16))),
        channels=weights["conv1.0.weight"].shape[1],
        conv2=conv2,
        fc7=weights["fc7.0.weight"].shape[0],
        motion="zero_first" if skelact else "resize",
    )


def _build(weights: Mapping[str, Tensor], skelact: bool) -> nn.Module:
    """An untrained model of the widths that these weights have."""
    if "joint.data_bn.weight" in weights:
        joint = {key.removeprefix("joint."): value for key, value in weights.items() if key.startswith("joint.")}
        return TwoStreamAGCN(*_agcn(joint))
    return AGCN(*_agcn(weights)) if "data_bn.weight" in weights else _hcn(weights, skelact)


def _agcn(weights: Mapping[str, Tensor]) -> tuple[Skeleton, int, int, int, int]:
    """Skeleton, classes, persons, channels and width of one stream."""
    joints, channels = weights["l1.gcn1.PA"].shape[-1], weights["l1.gcn1.conv_a.0.weight"].shape[1]
    skeletons = {skeleton.num_joints: skeleton for skeleton in (NTU25, KINECT20, OPENPOSE18)}
    if joints not in skeletons:
        raise CheckpointError(f"l1.gcn1.PA is of {joints} joints: graphs of {sorted(skeletons)} are known")
    persons = weights["data_bn.weight"].shape[0] // (joints * channels)
    return skeletons[joints], weights["fc.weight"].shape[0], persons, channels, weights["l1.tcn1.bn.weight"].shape[0]


def _shape_of(weights: Mapping[str, Tensor], key: str) -> str:
    """An entry's shape in words, such as 64x3x1x1."""
    return "x".join(map(str, weights[key].shape)) or "scalar" if key in weights else "absent"
