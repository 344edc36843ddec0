"""Checks of what Python callers pass, beyond those of the command line; each error is one line."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_adv.core.errors import SettingError

WAYS = {
    "victim": "make it with sa.Victim(module, skeleton=..., num_frames=...) or sa.load_victim(...)",
    "surrogate": "make it with sa.Victim(module, skeleton=..., num_frames=...) or sa.load_victim(...)",
    "clips": "make them with sa.clips(array, labels, skeleton=..., unit=...) or sa.load_clips(...)",
}


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise ``SettingError`` unless ``value`` is of a class of this interface."""
    if not isinstance(value, kind):
        raise SettingError(f"{name} is of type {type(value).__name__}, not sa.{kind.__name__}: {WAYS[name]}")


def check_words(overrides: Sequence[str]) -> None:
    """Raise ``SettingError`` unless ``overrides`` are words of a command line."""
    if isinstance(overrides, str) or not all(isinstance(word, str) for word in overrides):
        raise SettingError(f'overrides={overrides!r} must be a list of words, such as ["defense.sigma=0.02"]')


def check_image_size(image_size: Any) -> None:
    """Raise ``SettingError`` unless ``image_size`` is a width and a height, or None."""
    pair = isinstance(image_size, list | tuple) and len(image_size) == 2
    if image_size is not None and not (pair and all(isinstance(side, int | float) and side > 0 for side in image_size)):
        raise SettingError(f"image_size={image_size!r} must be (width, height) in pixels, such as (1280, 720)")


def values_of(value: Any) -> list[Any] | None:
    """The values of a setting that has several: a list, a tuple, a range or a one-dimensional array; otherwise None."""
    if isinstance(value, list | tuple | range):
        return list(value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        plain: list[Any] = value.tolist()
        return plain
    return None
