"""Weights on disk: written whole, with a JSON of facts beside them, and read without executing code."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.files import digest, read_json, write_json, write_whole
from skeleton_adv.core.progress import log
from skeleton_adv.models.layouts import canonical, recognised, unwrapped
from skeleton_adv.models.network import Network
from skeleton_adv.models.one_class import width_of, with_one_class_head
from skeleton_adv.models.posterior import described

# NumPy scalars, which HCN-pytorch stores with its weights; they contain no code.
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    _SCALAR,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")),
]


STATE_DICTS = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights


def save_weights(network: Network, path: Path, about: Mapping[str, Any], half: bool = False) -> None:
    """Write the weights of the model as ``.safetensors``, and beside them a JSON with their facts and SHA-256.

    ``half``: as ``as_stored`` gives them.
    """
    from safetensors.torch import save

    weights = {key: value.detach().cpu().contiguous() for key, value in network.model.state_dict().items()}
    stored = save({key: as_stored(value) if half else value for key, value in weights.items()})
    # The facts are written first, so that weights never exist without facts.
    write_json(path.with_suffix(".json"), {**about, "weights": hashlib.sha256(stored).hexdigest()})
    write_whole(path, stored)


def as_stored(weight: Tensor) -> Tensor:
    """A weight as float16; as it is if it contains whole numbers, or values that float16 cannot hold."""
    rounded = weight.half() if weight.is_floating_point() else weight
    return weight if (weight.isfinite() & ~rounded.isfinite()).any() else rounded


def load_weights(network: Network, path: Path) -> dict[str, Any]:
    """Load a checkpoint of this program or a public one into the network's model; return the JSON beside it.

    The model gets the parts that a training of this program has added.
    Raises ``CheckpointError`` if the file is damaged, if its SHA-256 differs from ``weights`` in its JSON (which
    older JSONs lack), or if its keys, shapes or values do not fit.
    """
    about = path.with_suffix(".json")
    known = read_json(about, CheckpointError) if about.exists() else {}
    if path.exists() and known.get("weights", digest(path)) != digest(path):
        raise CheckpointError(
            f"model.checkpoint={path} is not the file that {about.name} describes (its SHA-256 differs): "
            "restore both, or train it again"
        )
    way_out = ". Use the model widths, dataset and dataset.num_frames of its training"
    weights = read_state_dict(path)
    dim = width_of(weights)
    extended = described(weights, network.model) if dim is None else with_one_class_head(network.model, dim)
    if extended is not None:
        network.model = extended
        fill(network.model, weights, f"model.checkpoint={path}", "this model and dataset", way_out)
        return known
    if is_foreign(network):
        fill(network.model, _without_wrapper(weights), f"model.checkpoint={path}", "this network", way_out)
        return known
    layout = recognised(unwrapped(weights))
    motion = layout.settings.get("motion") if layout else None
    if layout and motion not in (None, getattr(network.model, "motion", motion)):
        raise CheckpointError(f"model.checkpoint={path} has the layout of {layout.name}: choose model={layout.model}")
    found = canonical(weights)
    if layout and layout.spare:
        found = _used(found, layout.spare, network.num_classes, path)
    fill(network.model, found, f"model.checkpoint={path}", "this model and dataset", way_out)
    take_constants(network.model, unwrapped(weights))
    return known


def take_constants(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model the constant entries of a checkpoint, which it takes or compares with its own."""
    take: Any = getattr(model, "take_constants", None)
    if take is not None:
        take(weights)


def _used(weights: Mapping[str, Tensor], layer: str, classes: int | None, path: Path) -> dict[str, Tensor]:
    """The weights without the rows of classes that the dataset does not have."""
    rows = {key: value for key, value in weights.items() if key in (f"{layer}.weight", f"{layer}.bias")}
    spare = [len(value) - classes for value in rows.values() if classes is not None and len(value) > classes]
    if not spare:
        return dict(weights)
    log(f"{path}: the last {spare[0]} classes of {layer} are not in the dataset and are left out")
    return {**weights, **{key: value[:classes] for key, value in rows.items()}}


def is_foreign(network: Network) -> bool:
    """Whether a network's model is from outside this package."""
    return not type(network.model).__module__.startswith("skeleton_adv.")


def _without_wrapper(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the ``module.`` that ``DataParallel`` puts before every name."""
    wrapped = all(key.startswith("module.") for key in weights)
    return {key.removeprefix("module.") if wrapped else key: value for key, value in weights.items()}


def fill(model: nn.Module, weights: Mapping[str, Tensor], source: str, purpose: str, way_out: str = "") -> None:
    """Load weights into a model, in the precision of the model.

    Raises ``CheckpointError`` naming keys that do not fit, or whose values are not finite.
    """
    own = model.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}  # torch 0.3 did not save them
    unfit = [
        f"{key} ({_shape_of(weights, key)} in the file, {_shape_of(own, key)} in the model)"
        for key in sorted({*own, *weights} - (counters - set(weights)))
        if _shape_of(own, key) != _shape_of(weights, key)
    ]
    if unfit:
        more = f" and {len(unfit) - 3} more" if len(unfit) > 3 else ""
        raise CheckpointError(f"{source} does not fit {purpose}: {'; '.join(unfit[:3])}{more}{way_out}")
    broken = [key for key, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{source} contains weights that are not finite: {broken[0]} and {len(broken) - 1} more; train it again"
        )
    model.load_state_dict({**own, **{key: value.to(own[key].dtype) for key, value in weights.items()}})


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights in a file by name.

    Raises ``CheckpointError`` if the file is not a safe checkpoint.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            with torch.serialization.safe_globals(_NUMPY):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not _is_pickle(path):
            raise CheckpointError(
                f"{path} is not a checkpoint: use a .safetensors file or a PyTorch file of weights"
            ) from None
        raise CheckpointError(
            f"{path} contains more than weights and is not executed: save its weights alone, with "
            "torch.save(network.state_dict(), path)"
        ) from None
    except Exception as error:  # safetensors, zip and pickle each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise CheckpointError(
            f"{path} is not a readable checkpoint ({reason}): use a .safetensors file or a PyTorch file of weights"
        ) from None
    for key in STATE_DICTS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} contains no state dict: it must map names to tensors, or contain 'state_dict'")
    return {str(key): value for key, value in content.items()}


def _is_pickle(path: Path) -> bool:
    """Whether a file starts as PyTorch's formats do: a zip archive, or a pickle."""
    with open(path, "rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _shape_of(weights: Mapping[str, Tensor], key: str) -> str:
    """The shape of an entry as text, such as 64x3x1x1."""
    return "x".join(map(str, weights[key].shape)) or "scalar" if key in weights else "absent"
