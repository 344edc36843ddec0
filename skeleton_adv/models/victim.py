"""What is attacked: preprocessing, network and defense as one differentiable module."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.data.clips import Dataset
from skeleton_adv.models.checkpoint import canonical, fill, is_skelact, read_state_dict


class Network(nn.Module):
    """A recogniser with its own preprocessing: attack space (N, C, T, V, M) -> logits (N, K)."""

    def __init__(self, preprocess: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.preprocess, self.model = preprocess, model

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        logits: Tensor = self.model(self.preprocess(x))
        return logits

    def streams(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits of each part of the model that is trained for itself; mostly there is one."""
        streams: Callable[[Tensor], tuple[Tensor, ...]] | None = getattr(self.model, "streams", None)
        return streams(self.preprocess(x)) if streams else (self(x),)


class Victim:
    """A defended network, frozen and in evaluation mode; attacks see it through a ``View``.

    ``asked`` is called whenever the victim is.
    """

    def __init__(
        self,
        network: nn.Module,
        defense: Callable[[nn.Module], nn.Module],
        device: str,
        asked: Callable[[], None] = lambda: None,
    ) -> None:
        self.module = defense(network).to(device).eval().requires_grad_(False)
        self.randomised = bool(getattr(self.module, "randomised", False))  # draws noise at every look
        self.device, self._asked = device, asked

    def view(self, batch: SkeletonBatch, purpose: str, seed: int) -> "View":
        """The victim as one purpose sees it while it works on these clips."""
        return View(self.module, Context(batch.mask, batch.movable, batch.index, seed, purpose), self._asked)


class View:
    """A white box on a batch's clips: ``view(x)`` gives logits, and queries are counted.

    ``forwards`` and ``gradients`` count passes over the batch, which is passes over each clip;
    ``answers`` are the logits that were given, (N, K) each.
    """

    def __init__(self, module: nn.Module, context: Context, asked: Callable[[], None] = lambda: None) -> None:
        self._module, self._context, self._asked = module, context, asked
        self.forwards = self.gradients = 0
        self.answers: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        logits: Tensor = self._module(x, replace(self._context, draw=self.forwards))
        self.forwards += 1
        self._asked()
        self.answers.append(logits.detach())
        if logits.requires_grad:
            logits.register_hook(self._count_gradient)  # type: ignore[no-untyped-call]
        return logits

    def _count_gradient(self, gradient: Tensor) -> None:
        self.gradients += 1


def build_network(
    architecture: Callable[..., nn.Module], preprocess: Callable[..., nn.Module], dataset: Dataset
) -> Network:
    """An untrained network for a dataset, from whatever of its facts the constructors ask for."""
    facts = {
        "skeleton": dataset.skeleton,
        "num_joints": dataset.skeleton.num_joints,
        "channels": dataset.skeleton.channels,
        "num_classes": len(dataset.classes),
        "num_frames": dataset.num_frames,
        "num_persons": dataset.num_persons,
        "space": dataset.space,
    }

    def asked(build: Callable[..., nn.Module]) -> dict[str, Any]:
        return {name: facts[name] for name in inspect.signature(build).parameters if name in facts}

    network = Network(preprocess(**asked(preprocess)), architecture(**asked(architecture)))
    # Convolutions with few channels run a third faster so on a CPU; values do not change.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load_weights(network: Network, path: Path) -> dict[str, Any]:
    """Fill the network's model from a checkpoint, ours or a public one; return what the JSON beside it says.

    Raises ``CheckpointError`` if the file is damaged, or if its keys or shapes do not fit.
    """
    complaint = f"model.checkpoint={path} does not fit this model and dataset"
    way_out = ". Set the model's widths, dataset.num_frames and the dataset as in its training"
    weights = read_state_dict(path)
    if is_skelact(weights) and getattr(network.model, "motion", None) == "resize":
        raise CheckpointError(f"model.checkpoint={path} is of the HCN authors' later code: choose model=hcn_skelact")
    fill(network.model, canonical(weights), complaint, way_out)
    about = path.with_suffix(".json")
    if not about.exists():
        return {}
    try:
        return dict(json.loads(about.read_text()))
    except ValueError as error:
        raise CheckpointError(f"{about} is damaged ({error}): restore or delete it") from None


def save_weights(network: Network, path: Path, about: dict[str, Any], half: bool = False) -> None:
    """Write the model's weights as ``.safetensors`` and what is known of them as JSON, each atomically."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    weights = {key: value.detach().cpu().contiguous() for key, value in network.model.state_dict().items()}
    stored = {key: value.half() if half and value.is_floating_point() else value for key, value in weights.items()}
    part.write_bytes(save(stored))  # ``save_file`` would let nobody else read it
    words = path.with_suffix(".json.part")
    words.write_text(json.dumps(about, indent=2) + "\n")
    # What is known comes first: weights that stand there are never without it.
    words.replace(path.with_suffix(".json"))
    part.replace(path)
