"""The victim: a recogniser and its defense as one differentiable module, and the access to it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv.core.access import Access
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import AttackError
from skeleton_adv.models.deep import deep, network_within
from skeleton_adv.models.network import returns_features


class Victim:
    """A defended network, frozen and in evaluation mode; attacks see it through a ``View``.

    ``on_call`` is called with every call of the victim. ``classifies`` is false if the network returns
    features instead of logits, as the surrogate of a no-box attack does.
    """

    def __init__(
        self,
        network: nn.Module,
        defense: Callable[[nn.Module], nn.Module],
        device: str,
        on_call: Callable[[], None] = lambda: None,
    ) -> None:
        self.module = defense(network).to(device).eval().requires_grad_(False)
        self.randomised = bool(getattr(self.module, "randomised", False))  # draws fresh noise at every call
        self.classifies = not returns_features(network)
        self.device, self._on_call = device, on_call

    def view(self, batch: SkeletonBatch, purpose: str, seed: int, first: int = 0) -> "View":
        """A view of the victim for one purpose on these clips; its first pass is the draw with the number ``first``."""
        context = Context(batch.mask, batch.movable, batch.index, seed, purpose, batch.skeleton)
        return View(self.module, context, self._on_call, first)


class View:
    """The victim on a batch's clips: ``view(x)`` gives logits, and queries are counted.

    ``forwards`` and ``gradients`` count passes over the batch, which is passes over each clip; a pass of an ensemble
    counts once per member;
    ``answers`` are the returned logits, (N, K) each. An attack receives the result of ``limited``.
    """

    def __init__(
        self, module: nn.Module, context: Context, on_call: Callable[[], None] = lambda: None, first: int = 0
    ) -> None:
        self._module, self._context, self._on_call, self._first = module, context, on_call, first
        self.forwards = self.gradients = 0
        self.answers: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        logits = self._passed(self._module, x, len(self._members) or 1)
        self.answers.append(logits.detach().clone())  # the caller may write into its own
        return logits

    @property
    def _members(self) -> tuple[nn.Module, ...]:
        """The networks of an ensemble; none if it is a single network."""
        return getattr(self._module, "members", ())

    def _passed(self, module: nn.Module, x: Tensor, networks: int) -> Tensor:
        """The logits of the victim or of one of its members; counts the passes through its ``networks``."""
        logits: Tensor = module(x, replace(self._context, draw=self._first + self.forwards))
        self.forwards += networks
        self._on_call()
        if logits.requires_grad:
            logits.register_hook(partial(self._count_gradient, networks))  # type: ignore[no-untyped-call]
        return logits

    @property
    def has_posterior(self) -> bool:
        """Whether networks can be drawn from a posterior over the victim's weights."""
        return bool(getattr(self._module, "has_posterior", False))

    def sampled(self, x: Tensor, draws: int, scale: float) -> Tensor:
        """(H, N, K) logits of networks from the victim's posterior (``Network.sampled``), or its own (1, N, K)."""
        if not self.has_posterior:
            return self(x)[None]
        network: Any = self._module
        logits: Tensor = network.sampled(x, replace(self._context, draw=self._first + self.forwards), draws, scale)
        passes = network.passes(draws)
        self.forwards += passes
        self._on_call()
        self.answers.append(logits.detach().mean(dim=0))
        if logits.requires_grad:
            logits.register_hook(partial(self._count_gradient, passes))  # type: ignore[no-untyped-call]
        return logits

    def deep(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """The features (N, D) of each stage of the victim (``models.deep``), and its logits (N, K), in one pass.

        A victim that gives no features, such as an ensemble, has one stage, its logits.
        """
        if network_within(self._module) is None:
            logits = self(x)
            return (logits,), logits
        seen = x.view_as(x)  # its gradient is that of one pass, whichever features it comes from
        found = deep(self._module, seen, replace(self._context, draw=self._first + self.forwards))
        self.forwards += 1
        self._on_call()
        self.answers.append(found.logits.detach().clone())
        if seen.requires_grad:
            seen.register_hook(partial(self._count_gradient, 1))  # type: ignore[no-untyped-call]
        return found.stages, found.logits

    def limited(self, access: Access) -> Callable[[Tensor], Tensor]:
        """A function that returns no more than ``access`` allows, and whose calls count as this view's.

        ``gradients``: logits (N, K) that can be differentiated; ``scores``: logits that cannot; ``labels``:
        predicted classes (N,), -1 where logits are not finite; ``none``: calls are refused. Raises
        ``AttackError`` at a call that requests more than is allowed.
        """

        def gradients(x: Tensor) -> Tensor:
            return self(x)

        if self._members:  # see attacks.members
            gradients.__members__ = tuple(partial(self._passed, one, networks=1) for one in self._members)  # type: ignore[attr-defined]
        gradients.__posterior__ = self.sampled  # type: ignore[attr-defined]  # see attacks.posterior
        gradients.__deep__ = self.deep  # type: ignore[attr-defined]  # see attacks.deep

        def scores(x: Tensor) -> Tensor:
            if x.requires_grad and torch.is_grad_enabled():
                raise AttackError(
                    f"the attack asked for gradients, but declares that it needs {access}: declare "
                    '@needs("gradients"), or detach its clips'
                )
            with torch.no_grad():
                return self(x)

        def labels(x: Tensor) -> Tensor:
            logits = scores(x)
            return torch.where(logits.isfinite().all(dim=1), logits.argmax(dim=1), -1)

        def none(x: Tensor) -> Tensor:
            raise AttackError("the attack called the victim, but declares that it needs none: declare its access")

        return {"gradients": gradients, "scores": scores, "labels": labels, "none": none}[access]

    def _count_gradient(self, networks: int, gradient: Tensor) -> None:
        self.gradients += networks
