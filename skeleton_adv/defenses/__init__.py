"""Defenses: modules that wrap a network and keep its signature, ``(x, context) -> logits``."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton


def none(network: nn.Module) -> nn.Module:
    """No defense: the network itself."""
    return network


def is_fitted(defense: Callable[[nn.Module], nn.Module]) -> bool:
    """Whether a defense is fitted on training clips: it takes ``fitted``, the tensors that its method ``fit`` yields.

    ``fit(view, pool, state)`` is a ``core.pool.Fit``. If ``fit_calls_network`` is false, one fit serves every network.
    """
    return "fitted" in signature(defense).parameters


def check_in_space(name: str, skeleton: Skeleton) -> None:
    """Raise ``SettingError`` if a defense that needs joints in space receives joints in an image."""
    if len(skeleton.coords) < 3:
        raise SettingError(
            f"defense={name} has no meaning for {skeleton.name}, whose joints are in an image, where bones have no "
            "constant length: choose another defense, or a dataset with joints in space"
        )


def check_option(defense: Callable[[nn.Module], nn.Module], chosen: str) -> None:
    """Raise ``SettingError`` if the values of a defense describe another option than ``chosen``.

    A defense with several options lists them in ``OPTIONS``; its ``named(**values)`` returns the option that these
    values describe.
    """
    target: Any = getattr(defense, "func", defense)
    if not hasattr(target, "named") or chosen not in target.OPTIONS:
        return
    defaults = {name: parameter.default for name, parameter in signature(defense).parameters.items()}
    values = {name: defaults[name] for name in signature(target.named).parameters}
    option = target.named(**values)
    if chosen != option:
        shown = " and ".join(f"defense.{name}={value}" for name, value in values.items())
        raise SettingError(f"defense={chosen} with {shown} is the same as defense={option}: use defense={option}")


def check_defense(defense: Callable[[nn.Module], nn.Module], chosen: str, skeleton: Skeleton) -> None:
    """Raise ``SettingError`` if the settings of a defense have no meaning, or none for this skeleton.

    A defense declares ``in_space`` if it needs joints in space. Ours are built once, without a network, so that a
    wrong setting is refused before any work; a user's own may need the network itself.
    """
    target: Any = getattr(defense, "func", defense)
    if getattr(target, "in_space", False):
        check_in_space(chosen, skeleton)
    check_option(defense, chosen)
    if str(getattr(target, "__module__", "")).startswith("skeleton_adv."):
        defense(nn.Identity())
