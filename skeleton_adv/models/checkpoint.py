"""Checkpoints of this program and of the public implementations, read without executing anything."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.files import read_json
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.data.dataset import Dataset
from skeleton_adv.models.agcn import AGCN, TwoStreamAGCN
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.layouts import canonical, is_skelact
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.weights import fill, load_weights, read_state_dict

PARTS = ("architecture", "preprocess")


def load_checkpoint(source: str | Path | Mapping[str, Tensor]) -> nn.Module:
    """The network of a checkpoint, without its preprocessing: ``load_victim`` returns both.

    Layout, widths, joints and classes are inferred from the keys. On a dataset's clips without preprocessing,
    its predictions are mostly wrong: UTD-MHAD's HCN is correct on 8.4 % of the test clips instead of 93.5 %.

    Reads HCN-pytorch's ``.pth.tar``, the HCN authors' later layout (whose motion starts with a zero
    frame), 2s-AGCN's bare state dict with or without ``module.`` and the released weights' renamed
    keys, both streams of 2s-AGCN in one file under ``joint.`` and ``bone.``, and ``.safetensors``.
    HCN-pytorch's own motion is assumed for its layout, and a joint stream for 2s-AGCN's: shapes do not show these.
    Raises ``CheckpointError`` naming the keys that do not fit; never executes a pickle.
    """
    named = source if isinstance(source, str | Path) else "the state dict"
    weights = read_state_dict(Path(source)) if isinstance(source, str | Path) else dict(source)
    skelact = is_skelact(weights)
    weights = canonical(weights)
    try:
        model = _build(weights, skelact)
    except (KeyError, ZeroDivisionError, IndexError) as error:
        raise CheckpointError(f"{named} has no layout known here: it lacks or misshapes {error}") from None
    fill(model, weights, str(named), type(model).__name__)
    return model.eval()


def load_victim(path: str | Path) -> Network:
    """The recogniser of a checkpoint of this program: preprocessing and network, in evaluation mode.

    Takes clips (N, C, T, V, M) as ``load_batch`` gives them for the dataset settings of its JSON (frames,
    persons and space are those it was trained with) and returns logits (N, num_classes). Both parts are made
    from that JSON, which is beside the weights. Raises ``CheckpointError`` if there is none, or if it names
    anything but models and datasets of this program.
    """
    return load_victim_and_dataset(Path(path))[0]


def load_victim_and_dataset(path: Path) -> tuple[Network, Dataset]:
    """The recogniser of ``load_victim``, and the dataset that it was trained on, without its files."""
    about = path.with_suffix(".json")
    if not about.exists():
        raise CheckpointError(
            f"{path} has no {about.name} beside it to describe it: load_checkpoint reads public checkpoints, "
            "without their preprocessing"
        )
    settings = read_json(about, CheckpointError).get("settings", {})
    try:
        parts = {name: _made(about, settings["model"][name], "models", nn.Module) for name in PARTS}
        data = _made(about, settings["dataset"], "data", object)
        root = {"root": ""} if "root" in signature(data).parameters else {}  # no clip is read
        dataset = data(**root)
        network = build_network(parts["architecture"], parts["preprocess"], dataset)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{about} does not say how {path.name} was made ({error}): it is no victim") from None
    load_weights(network, path)
    return network.eval(), dataset


def _made(about: Path, settings: Mapping[str, Any], group: str, kind: type) -> Callable[..., Any]:
    """A class of this program, named by ``_target_``, with its settings; nothing else is imported or called."""
    name = str(settings["_target_"])
    module, _, attribute = name.rpartition(".")
    if not re.fullmatch(rf"skeleton_adv\.{group}(\.[a-z]\w*)*", module):
        raise CheckpointError(f"{about} names {name}, which is not in skeleton_adv.{group}: build it yourself")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        raise CheckpointError(f"{about} names {name}, which does not exist") from None
    if not (isinstance(found, type) and issubclass(found, kind) and found.__module__.startswith("skeleton_adv.")):
        raise CheckpointError(f"{about} names {name}, which cannot be its {group}")
    return partial(found, **{key: value for key, value in settings.items() if not key.startswith("_")})


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
    alike = [skeleton for skeleton in SKELETONS.values() if skeleton.num_joints == joints]
    if not alike:
        known = sorted({skeleton.num_joints for skeleton in SKELETONS.values()})
        raise CheckpointError(f"l1.gcn1.PA has {joints} joints: known graphs have {known}")
    # Of two bodies with as many joints, the first that records so many channels: the skeletons of public weights.
    fitting = [skeleton for skeleton in alike if channels in (skeleton.channels, len(skeleton.coords))]
    skeleton = (fitting or alike)[0]
    persons = weights["data_bn.weight"].shape[0] // (joints * channels)
    return skeleton, weights["fc.weight"].shape[0], persons, channels, weights["l1.tcn1.bn.weight"].shape[0]
