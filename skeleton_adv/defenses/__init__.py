"""Defenses: each wraps a network and keeps its signature, ``(x, context) -> logits``."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import nn

from skeleton_adv.core.errors import SettingError


def none(network: nn.Module) -> nn.Module:
    """No defense: the network itself."""
    return network


def check_option(defense: Callable[[nn.Module], nn.Module], chosen: str) -> None:
    """Raise ``SettingError`` if a defense's values are those of another option than ``chosen``.

    A defense with several options lists them in ``OPTIONS``; ``named(**values)`` returns the one that the values make.
    """
    made: Any = getattr(defense, "func", defense)
    if not hasattr(made, "named") or chosen not in made.OPTIONS:
        return
    values = {name: parameter.default for name, parameter in signature(defense).parameters.items()}
    own = {name: values[name] for name in signature(made.named).parameters}
    meant = made.named(**own)
    if chosen != meant:
        shown = " and ".join(f"defense.{name}={value}" for name, value in own.items())
        raise SettingError(f"defense={chosen} with {shown} is defense={meant}: choose that one")
