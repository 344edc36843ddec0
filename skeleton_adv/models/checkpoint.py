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
from skeleton_adv.core.progress import log
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.dataset import Dataset
from skeleton_adv.data.memory import Memory
from skeleton_adv.models.agcn import TwoStreamAGCN
from skeleton_adv.models.layouts import LAYOUTS, Layout, by_stream, canonical, recognised, unwrapped
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.pyskl.fused import Fused
from skeleton_adv.models.streams import Fusion
from skeleton_adv.models.weights import fill, load_weights, read_state_dict, take_constants

PARTS = ("architecture", "preprocess")


def load_checkpoint(source: str | Path | Mapping[str, Tensor]) -> nn.Module:
    """The network of a checkpoint, without its preprocessing; ``load_victim`` returns both.

    The layout, and the widths, joints and classes, are inferred from keys and shapes; the attribute ``layout`` of the
    network and a line of the log name it. Supported are the layouts in ``docs/victims.md``, with or without wrappers
    (``state_dict``, ``module.``) and constant entries, and ``.safetensors``; weights of several streams under
    ``joint.``, ``bone.``, ``joint_motion.`` and ``bone_motion.`` become one network. Without its preprocessing, most
    predictions on clips of a dataset are wrong: UTD-MHAD's HCN is correct on 8.4 % of the test clips instead of 93.5 %.

    Keys and shapes show neither the stream of a network nor which version of HCN uses HCN-pytorch's names; that layout
    gets HCN-pytorch's motion. Raises ``CheckpointError`` naming the keys that do not fit; never executes a pickle.
    """
    source_name = str(source) if isinstance(source, str | Path) else "the state dict"
    weights = read_state_dict(Path(source)) if isinstance(source, str | Path) else dict(source)
    weights = unwrapped(weights)
    parts = by_stream(weights)
    layouts = {stream: recognised(part) for stream, part in parts.items()}
    first = next(iter(layouts.values()))
    if first is None or {*layouts.values()} != {first}:
        raise CheckpointError(
            f"{source_name} has no supported layout (its first entry is {next(iter(weights), 'missing')}): supported "
            f"are {', '.join(layout.name for layout in LAYOUTS)}"
        )
    try:
        model = build(first, parts)
    except (KeyError, ZeroDivisionError, IndexError, ValueError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        problem = f"{error} is missing" if isinstance(error, KeyError) else "a weight has an unexpected shape"
        raise CheckpointError(f"{source_name} does not fit {first.name}: {problem}: use the complete file") from None
    fill(model, canonical(weights), source_name, first.name)
    take_constants(model, weights)
    log(f"{source_name}: weights of {first.name}")
    model.layout = first.name  # type: ignore[assignment]
    return model.eval()


def build(layout: Layout, parts: Mapping[str, Mapping[str, Tensor]]) -> nn.Module:
    """An untrained network with the sizes of these weights, or the sum of one per stream."""
    made: dict[str, nn.Module] = {stream: layout.from_weights(part) for stream, part in parts.items()}
    if "" in made:
        return made[""]
    if layout.network == "agcn.AGCN" and {*parts} == {"joint", "bone"}:
        return TwoStreamAGCN.from_weights(layout.canonical(parts["joint"]))
    skeletons = [getattr(network, "skeleton", None) for network in made.values()]
    if not isinstance(skeletons[0], Skeleton):
        raise CheckpointError(f"weights of several streams of {layout.name} are not supported: load them one by one")
    # The authors of pyskl add probabilities, all others logits.
    return (Fused if layout.network.startswith("pyskl.") else Fusion).of(made, skeletons[0])


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
        dataset = _described(content, own) if own else _known(about, content)
        network = build_network(parts["architecture"], parts["preprocess"], dataset)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise CheckpointError(
            f"{about} lacks a usable setting of the model or dataset ({error}): use a checkpoint of task=train"
        ) from None
    load_weights(network, path)
    return network.eval(), dataset


def _known(about: Path, content: Mapping[str, Any]) -> Dataset:
    """A dataset of this program by its settings; classes that it would read from its files are those recorded."""
    data = _constructor(about, content["settings"]["dataset"], "data", Dataset)
    kind: Any = data.func  # type: ignore[attr-defined]
    if kind.classes_in_files:
        recorded = type(kind.__name__, (kind,), {"all_classes": tuple(map(str, content["classes"]))})
        data = partial(recorded, **data.keywords)  # type: ignore[attr-defined]
    root = {"root": ""} if "root" in signature(data).parameters else {}  # no clip is read
    dataset: Dataset = data(**root)
    return dataset


def _described(content: Mapping[str, Any], facts: Mapping[str, Any]) -> Dataset:
    """A user's own dataset, without its clips, from the facts that were recorded about it."""
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
    own = {key: value for key, value in settings.items() if not key.startswith("_")}
    parts = {key: value for key, value in own.items() if isinstance(value, dict) and "_target_" in value}
    return partial(target, **own | {key: _constructor(about, part, group, kind) for key, part in parts.items()})
