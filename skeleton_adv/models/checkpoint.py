"""Checkpoints of this program and of the public implementations, read without executing anything."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError, UserError
from skeleton_adv.core.files import read_json
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.data.dataset import Dataset
from skeleton_adv.data.memory import Memory
from skeleton_adv.models.agcn import AGCN, TwoStreamAGCN
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.layouts import canonical, is_skelact
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.weights import fill, load_weights, read_state_dict

PARTS = ("architecture", "preprocess")


def load_checkpoint(source: str | Path | Mapping[str, Tensor]) -> nn.Module:
    """The network of a checkpoint, without its preprocessing; ``load_victim`` returns both.

    Layout, widths, joints and classes are inferred from the keys and shapes. On clips of a dataset without
    preprocessing, most predictions are wrong: UTD-MHAD's HCN is correct on 8.4 % of the test clips instead of 93.5 %.

    Supported are HCN-pytorch's ``.pth.tar``, the HCN authors' later layout (whose motion starts with a zero
    frame), 2s-AGCN's bare state dict with or without ``module.`` and with the renamed keys of the released weights,
    both streams of 2s-AGCN in one file under ``joint.`` and ``bone.``, and ``.safetensors``.
    Keys and shapes do not show the motion of HCN or the stream of 2s-AGCN: HCN-pytorch's layout is given
    HCN-pytorch's motion, and a single stream of 2s-AGCN is taken as a joint stream.
    Raises ``CheckpointError`` naming the keys that do not fit; never executes a pickle.
    """
    source_name = source if isinstance(source, str | Path) else "the state dict"
    weights = read_state_dict(Path(source)) if isinstance(source, str | Path) else dict(source)
    skelact = is_skelact(weights)
    weights = canonical(weights)
    try:
        model = _build(weights, skelact)
    except (KeyError, ZeroDivisionError, IndexError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else "a weight has an unexpected shape"
        raise CheckpointError(f"{source_name} has no supported layout: {problem}") from None
    fill(model, weights, str(source_name), type(model).__name__)
    return model.eval()


def load_victim(path: str | Path) -> Network:
    """The recogniser of a checkpoint of this program: preprocessing and network, in evaluation mode.

    The recogniser takes clips (N, C, T, V, M) as ``load_batch`` returns them for the dataset settings in the
    checkpoint's JSON (the frames, persons and space of its training) and returns logits (N, num_classes). Both
    parts are built from this JSON, which is beside the weights. Raises ``CheckpointError`` if there is no JSON, or
    if it names anything other than models and datasets of this program.
    """
    return load_victim_and_dataset(Path(path))[0]


def load_victim_and_dataset(path: Path) -> tuple[Network, Dataset]:
    """The recogniser of ``load_victim``, and the dataset that it was trained on, without its files."""
    about = path.with_suffix(".json")
    if not about.exists():
        raise CheckpointError(
            f"{path} has no {about.name} beside it, which describes its victim: use load_checkpoint for public "
            "checkpoints, without their preprocessing"
        )
    content = read_json(about, CheckpointError)
    settings = content.get("settings", {})
    try:
        parts = {name: _constructor(about, settings["model"][name], "models", nn.Module) for name in PARTS}
        own = settings["dataset"].get("facts")
        dataset = _described(content, own) if own else _known(about, settings["dataset"])
        network = build_network(parts["architecture"], parts["preprocess"], dataset)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise CheckpointError(
            f"{about} lacks a usable setting of the model or dataset ({error}): use a checkpoint of task=train"
        ) from None
    load_weights(network, path)
    return network.eval(), dataset


def _known(about: Path, settings: Mapping[str, Any]) -> Dataset:
    """A dataset of this program by its settings."""
    data = _constructor(about, settings, "data", Dataset)
    root = {"root": ""} if "root" in signature(data).parameters else {}  # no clip is read
    dataset: Dataset = data(**root)
    return dataset


def _described(content: Mapping[str, Any], facts: Mapping[str, Any]) -> Dataset:
    """A user's own dataset, without its clips, from the facts that were recorded of it."""
    settings = content["settings"]["dataset"]
    shape = {name: settings[name] for name in ("num_frames", "num_persons", "test_crop", "space")}
    return Memory(
        body=Skeleton.from_dict(facts["skeleton"]),
        arrays=(),
        listed=(),
        names_of_classes=tuple(map(str, content["classes"])),
        title=str(content["dataset"]),
        recorded_fps=float(facts["fps"]),
        coordinates=facts["unit"],
        **shape,
    )


def _constructor(about: Path, settings: Mapping[str, Any], group: str, kind: type) -> Callable[..., Any]:
    """A class of this program, named by ``_target_``, with its settings; no other object is imported or called."""
    name = str(settings["_target_"])
    module, _, attribute = name.rpartition(".")
    if not re.fullmatch(rf"skeleton_adv\.{group}(\.[a-z]\w*)*", module):
        raise CheckpointError(
            f"{about} names {name}, which is not in skeleton_adv.{group}: build the network yourself and use "
            "load_weights"
        )
    try:
        target = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        raise CheckpointError(f"{about} names {name}, which does not exist: correct its _target_") from None
    if not (isinstance(target, type) and issubclass(target, kind) and target.__module__.startswith("skeleton_adv.")):
        raise CheckpointError(f"{about} names {name}, which is no class of skeleton_adv.{group}: correct its _target_")
    return partial(target, **{key: value for key, value in settings.items() if not key.startswith("_")})


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
    """An untrained model with the widths of these weights."""
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
    # Of two skeletons with this number of joints, the first with this number of channels: that of public weights.
    fitting = [skeleton for skeleton in alike if channels in (skeleton.channels, len(skeleton.coords))]
    skeleton = (fitting or alike)[0]
    persons = weights["data_bn.weight"].shape[0] // (joints * channels)
    return skeleton, weights["fc.weight"].shape[0], persons, channels, weights["l1.tcn1.bn.weight"].shape[0]
