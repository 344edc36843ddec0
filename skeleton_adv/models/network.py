"""A recogniser: its own preprocessing and its network, as one differentiable module."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.clips import Dataset
from skeleton_adv.models import posterior
from skeleton_adv.models.stages import layers_of


class Network(nn.Module):
    """A recogniser with its own preprocessing: attack space (N, C, T, V, M) -> logits (N, K).

    ``num_classes`` is K; None: any. Raises ``SettingError`` if the model returns anything else.
    """

    def __init__(self, preprocess: nn.Module, model: nn.Module, num_classes: int | None = None) -> None:
        super().__init__()
        self.preprocess, self.model, self.num_classes = preprocess, model, num_classes

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        logits: Tensor = self.model(*self.prepared(x, context))
        fits = isinstance(logits, Tensor) and logits.shape == (len(x), self.num_classes or logits.shape[-1])
        if not fits:
            raise SettingError(self._misfit(logits, len(x)))
        return logits

    @property
    def has_posterior(self) -> bool:
        """Whether ``sampled`` draws networks; otherwise it returns the logits of this one."""
        return posterior.has_posterior(self.model)

    def sampled(self, x: Tensor, context: Context, draws: int, scale: float) -> Tensor:
        """(H, N, K) logits of H networks from the posterior over weights; H is ``draws`` times the appended parts.

        ``scale`` multiplies the standard deviations. Weights depend on the seed, purpose and draw of ``context``.
        """
        if not self.has_posterior:
            logits: Tensor = self(x, context)
            return logits[None]
        stream = (context.seed, context.purpose, context.draw)
        return posterior.sampled(self.model, self.prepared(x, context), draws, scale, stream)

    def passes(self, draws: int) -> int:
        """How many passes over the clips ``sampled`` takes."""
        return posterior.passes(self.model, draws) if self.has_posterior else 1

    def prepared(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, ...]:
        """What the model receives: clips, and anything else that its preprocessing returns.

        A preprocessing that declares ``takes_context`` receives the purpose too, so that it can sample a clip more
        often for a judgement than for an attack.
        """
        found = self.preprocess(x, context) if getattr(self.preprocess, "takes_context", False) else self.preprocess(x)
        return found if isinstance(found, tuple) else (found,)

    @property
    def log_probabilities(self) -> bool:
        """Whether attacks receive the log of a mean of probabilities instead of logits, as a part declares."""
        return any(getattr(part, "log_probabilities", False) for part in (self.preprocess, self.model))

    @property
    def returns_features(self) -> bool:
        """Whether the outputs are features of clips, not logits of classes, as the model declares."""
        return returns_features(self.model)

    @property
    def remarks(self) -> list[str]:
        """Facts about this network that a reader of an attack's results requires, one sentence each."""
        remark = getattr(self.preprocess, "remark", "")
        found = [remark] if isinstance(remark, str) and remark else []
        if self.log_probabilities:
            found.append(
                "attacks receive the log of a mean of probabilities: differences of logits (margins, the losses of "
                "C&W and DLR) are those of this mean, and its gradient is small where the network is confident"
            )
        return found

    def _misfit(self, logits: Any, clips: int) -> str:
        found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        wanted = f"({clips}, {self.num_classes or 'num_classes'})"
        return (
            f"the network {type(self.model).__name__} returns {found} for {clips} clips: it must return logits "
            f"{wanted}, one per class of the clips"
        )

    def streams(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits of each separately trained part of the model; usually there is one."""
        streams: Callable[[Tensor], tuple[Tensor, ...]] | None = getattr(self.model, "streams", None)
        return streams(*self.prepared(x)) if streams else (self(x),)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The outputs of the model's layers on x (N, C, T, V, M), by name and in order; the last are the logits (N, K).

        The model declares them as ``layers``: names of its submodules, each with True if it sees persons one
        by one, and its output is then (N, M, ...), else (N, ...). One pass; gradients flow. A model that
        declares none has only ``logits``.
        """
        return self.features_within(lambda: self(x), len(x))

    def features_within(self, call: Callable[[], Tensor], clips: int) -> dict[str, Tensor]:
        """The outputs of the model's layers while ``call`` runs this network on ``clips`` clips.

        A defense may run it several times; the outputs are then means over these passes. ``call`` returns the logits.
        """
        layers = layers_of(self.model)
        found: dict[str, list[Tensor]] = {name: [] for name in layers}

        def keep(name: str, by_person: bool) -> Callable[[nn.Module, Any, Tensor], None]:
            def hook(module: nn.Module, arguments: Any, output: Tensor) -> None:
                found[name].append(output.view(clips, -1, *output.shape[1:]) if by_person else output)

            return hook

        hooks = [
            self.model.get_submodule(name).register_forward_hook(keep(name, by_person))
            for name, by_person in layers.items()
        ]
        try:
            logits = call()
        finally:
            for handle in hooks:
                handle.remove()
        outputs = {name: torch.stack(seen).mean(dim=0) if seen[1:] else seen[0] for name, seen in found.items()}
        return outputs or {"logits": logits}


def build_network(
    architecture: Callable[..., nn.Module], preprocess: Callable[..., nn.Module], dataset: Dataset
) -> Network:
    """An untrained network for a dataset, from the dataset facts that the constructors accept.

    Any module works, even from outside the package: ``skeleton``, ``num_joints``, ``channels``,
    ``num_classes``, ``num_frames``, ``num_persons`` and ``space`` are passed to constructors that name them.
    ``preprocess`` is such a constructor too, or a plain function from clips to clips.
    """
    facts = {
        "skeleton": dataset.skeleton,
        "num_joints": dataset.skeleton.num_joints,
        "channels": dataset.skeleton.channels,
        "num_classes": len(dataset.classes),
        "num_frames": dataset.num_frames,
        "num_persons": dataset.num_persons,
        "space": dataset.space,
    }

    def accepted(build: Callable[..., nn.Module]) -> dict[str, Any]:
        return {name: facts[name] for name in inspect.signature(build).parameters if name in facts}

    front = Function(preprocess) if _maps_clips(preprocess, facts) else preprocess(**accepted(preprocess))
    model = architecture(**accepted(architecture))
    network = Network(front, model, None if returns_features(model) else len(dataset.classes))
    return channels_last(network)


def returns_features(model: Callable[..., Any]) -> bool:
    """Whether the outputs of a model, or of the models of a constructor, are features: no logits of classes."""
    while isinstance(model, partial):
        model = model.func
    return bool(getattr(model, "returns_features", False))


def channels_last(network: Network) -> Network:
    """The network with its weights of two-dimensional convolutions stored with channels last.

    Convolutions with few channels run a third faster so on a CPU; values do not change.
    """
    for weight in (*network.parameters(), *network.buffers()):
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


class Function(nn.Module):
    """A plain function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.function(x)
        return mapped


def _maps_clips(build: Callable[..., Any], facts: Mapping[str, Any]) -> bool:
    """Whether a callable maps clips to clips: its one required parameter is none of the facts of a dataset."""
    if inspect.isclass(build) or inspect.isclass(getattr(build, "func", None)):
        return False
    required = [name for name, p in inspect.signature(build).parameters.items() if p.default is p.empty]
    return len(required) == 1 and required[0] not in facts
