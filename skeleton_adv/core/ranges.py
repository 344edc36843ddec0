"""Allowed values, stated once in a signature and checked for Python callers and on the command line."""

import functools
import inspect
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from skeleton_adv.core.errors import SettingError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """An interval in mathematical notation: ``Range("[0, 1)")``."""

    text: str

    def __contains__(self, value: float) -> bool:
        low, high = (float(end) for end in self.text[1:-1].split(","))
        above = value >= low if self.text[0] == "[" else value > low
        below = value <= high if self.text[-1] == "]" else value < high
        return above and below


Positive = Annotated[float, Range("(0, inf)")]
NonNegative = Annotated[float, Range("[0, inf)")]
Fraction = Annotated[float, Range("(0, 1]")]
Probability = Annotated[float, Range("[0, 1)")]
Count = Annotated[int, Range("[1, inf)")]
Whole = Annotated[int, Range("[0, inf)")]


def nearest(name: str, names: list[str]) -> str:
    """A hint for an unknown name: the most similar valid name, and all valid names if there are few."""
    names = sorted(names)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return hint + ("choose from: " + ", ".join(names) if len(names) <= 30 else f"there are {len(names)} choices")


def check_value(key: str, value: Any, hint: Any) -> None:
    """Raise ``SettingError`` naming ``key`` unless ``value`` fits the annotation ``hint``.

    Only plain annotations are checked (numbers, text, choices, ranges, None); all others are accepted.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        check_value(key, value, args[0])
        for bound in args[1:]:
            if isinstance(bound, Range) and value not in bound:
                raise SettingError(f"{key}={value} is out of range: it must be in {bound.text}")
    elif origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return
        problems = [_problem(key, value, arg) for arg in args if arg is not type(None)]
        if problems and all(problems):
            words = [str(word) for arg in args[1:] if get_origin(arg) is Literal for word in get_args(arg)]
            raise SettingError(" or ".join([str(problems[0]), *words]))
    elif origin is Literal:
        if value not in args:
            raise SettingError(f"{key}={value} is not a choice: {nearest(str(value), [str(arg) for arg in args])}")
    elif hint in (int, float, bool, str) and not _is_a(value, hint):
        raise SettingError(f"{key}={value!r} must be {_TYPE_NAMES[hint]}")


_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _is_a(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and value == value
    return isinstance(value, kind)


def _problem(key: str, value: Any, hint: Any) -> SettingError | None:
    try:
        check_value(key, value, hint)
    except SettingError as error:
        return error
    return None


def check_call(
    target: Callable[..., Any], settings: Mapping[str, Any], prefix: str = "", hidden: Collection[str] = ()
) -> None:
    """Raise ``SettingError`` if ``settings`` contain a name that ``target`` lacks, or a value outside its range.

    ``hidden`` parameters are not settings, so hints do not list them.
    """
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    for name, value in settings.items():
        if name not in parameters:
            known = [parameter for parameter in parameters if parameter not in hidden]
            raise SettingError(f"unknown key '{prefix}{name}': {nearest(name, known)}")
        check_value(prefix + name, value, hints.get(name, Any))


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that its annotated ranges are checked at every call."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = inspect.signature(function).bind(*args, **kwargs)
        check_call(function, bound.arguments)
        return function(*args, **kwargs)

    return wrapper
