"""Which functions and classes a configuration may call, decided by name before anything is imported.

A YAML file may only name targets of its own group: another person's file can run neither their own code nor an
unrelated function of this package. The command line may trust more: one function or class as ``..._target_=``, or
all files' use of a module as ``trust=my_module``. Only then is the current folder searched for modules.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import Parameter, isclass, signature
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from skeleton_adv.command.cli import SPECIAL
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import check_call, nearest

# Arguments that the program passes to an attack, a network or a defense; these are not settings.
RESERVED = (
    *("model", "batch", "targeted", "trace", "pool", "fitted", "network", "skeleton"),
    *("num_joints", "channels", "num_classes", "num_frames", "num_persons"),
)

_ANY = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)


class Place(NamedTuple):
    """A part of the configuration that a call builds: its package, and whether the program makes a later call."""

    key: str
    package: str
    partial: bool  # the program calls it later, with more arguments; otherwise it is a class and is built at once
    takes: tuple[str, ...] = ()  # parameters that it must have
    refuses: tuple[str, ...] = ()  # parameters that it must not have


PLACES = (
    Place("attack.constraints.", "skeleton_adv.constraints", partial=False),
    Place("attack.", "skeleton_adv.attacks", partial=True, takes=("model", "batch")),
    Place("constraint.", "skeleton_adv.constraints", partial=False),
    Place("dataset.", "skeleton_adv.data", partial=False),
    Place("defense.", "skeleton_adv.defenses", partial=True, takes=("network",)),
    Place("detector.", "skeleton_adv.detectors", partial=False),
    Place("model.architecture.", "skeleton_adv.models", partial=True, takes=("num_classes",)),
    Place("model.preprocess.", "skeleton_adv.models", partial=True, refuses=("num_classes",)),  # of a network
    Place("surrogate.architecture.", "skeleton_adv.models", partial=True, takes=("num_classes",)),
    Place("surrogate.preprocess.", "skeleton_adv.models", partial=True, refuses=("num_classes",)),
    Place("recipe.", "skeleton_adv.train", partial=False),
    Place("training.", "skeleton_adv.train", partial=False),
    Place("surrogate_training.", "skeleton_adv.train", partial=False),
    Place("launcher.", "skeleton_adv.launch", partial=False),
)
MADE = (  # each of these is one call
    *("attack.", "dataset.", "defense.", "detector.", "recipe.", "training.", "surrogate_training.", "launcher."),
    *("model.architecture.", "model.preprocess.", "surrogate.architecture.", "surrogate.preprocess."),
)


@dataclass(frozen=True)
class Trust:
    """What the command line trusts beyond this package.

    ``targets``: keys that end in ``_target_``, with their values; ``modules``: those that any file may name.
    """

    targets: Mapping[str, str] = field(default_factory=dict)
    modules: Collection[str] = ()

    def covers(self, key: str, name: str) -> bool:
        """Whether ``name`` may be imported for the setting ``key``, wherever it is from."""
        return self.targets.get(key) == name or any(name.startswith(f"{module}.") for module in self.modules)


def check_targets(settings: Mapping[str, Any], trust: Trust) -> None:
    """Raise ``SettingError`` unless every ``_target_`` is allowed in its place and accepts its settings."""
    _check(settings, "", trust)


def _check(node: Any, key: str, trust: Trust) -> None:
    if isinstance(node, str) and "${" in node:
        raise SettingError(f"{key.rstrip('.')}={node} is not a plain value: an interpolation cannot contain another")
    if isinstance(node, list):
        for number, item in enumerate(node):
            _check(item, f"{key}{number}.", trust)
    if not isinstance(node, Mapping):
        return
    if "_target_" in node:
        _check_target(node, key, trust)
    elif key in MADE:
        place = key.rstrip(".")
        raise SettingError(f"{place} has no _target_, so it cannot be built: choose an option with {_choice(key)}=...")
    for name, item in node.items():
        _check(item, f"{key}{name}.", trust)


def _check_target(node: Mapping[str, Any], key: str, trust: Trust) -> None:
    """Raise ``SettingError`` unless the call of one node is allowed and fits."""
    name = node["_target_"]
    if not isinstance(name, str):
        raise SettingError(f"{key}_target_={name} must be the name of a class or function")
    for special in ("_partial_", "_recursive_"):
        if not isinstance(node.get(special, True), bool):
            raise SettingError(f"{key}{special}={node[special]} must be true or false")
    place = next((place for place in PLACES if key.startswith(place.key)), None)
    trusted = trust.covers(f"{key}_target_", name)
    if not trusted:
        _check_name(name, key, place, node)
    partial = bool(node.get("_partial_"))
    if place is not None and key == place.key and key in MADE and partial != place.partial:
        why = "the program calls it later" if place.partial else "it is built before the run"
        raise SettingError(f"{key}_partial_ must be {str(place.partial).lower()}: {why}")
    if trusted:
        _search_current_folder()
    target = _located(key, name)
    if not trusted and place is not None:
        _check_origin(target, name, key, place, partial)
    own = {setting: value for setting, value in node.items() if setting not in SPECIAL}
    check_settings(key, target, own, RESERVED if partial else None)


def _search_current_folder() -> None:
    """Let modules in the current folder be imported, but none that has the name of an installed one."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _check_name(name: str, key: str, place: Place | None, node: Mapping[str, Any]) -> None:
    """Raise ``SettingError``, before any import, unless a file may name ``name`` here."""
    module = name.rpartition(".")[0]
    trust = f"if you trust it, add {key}_target_={name} or trust={module} to the command line"
    if place is None:
        raise SettingError(f"{key}_target_={name}: this setting is not called; {trust}")
    if not name.startswith(f"{place.package}.") or not all(part.isidentifier() for part in name.split(".")):
        raise SettingError(f"{key}_target_={name} lies outside {place.package}: {trust}")
    if "_args_" in node:
        raise SettingError(f"{key}_args_ is not allowed in a file: name each setting")


def _check_origin(target: Any, name: str, key: str, place: Place, partial: bool) -> None:
    """Raise ``SettingError`` if ``target`` is only imported by the package, or is a function that would be called."""
    origin = getattr(target, "__module__", None) or "nowhere"
    if origin != place.package and not origin.startswith(f"{place.package}."):
        raise SettingError(f"{key}_target_={name} lies outside {place.package}: it is defined in {origin}")
    if not partial and not isclass(target):
        raise SettingError(f"{key}_target_={name} must be a class, or have _partial_: true")
    taken = {*signature(target).parameters} if key == place.key else {*place.takes}
    if {*place.refuses} & taken:
        raise SettingError(f"{key}_target_={name} does not fit here: it accepts {', '.join(place.refuses)}")
    if not {*place.takes} <= taken:
        raise SettingError(f"{key}_target_={name} does not fit here: it does not accept {', '.join(place.takes)}")


def _choice(key: str) -> str:
    """The group that is chosen to fill a key."""
    group = key.partition(".")[0]
    return {"surrogate": "model@surrogate", "surrogate_training": "training@surrogate_training"}.get(group, group)


def check_settings(key: str, target: Callable[..., Any], settings: Any, given: tuple[str, ...] | None = None) -> None:
    """Raise ``SettingError`` unless ``target`` accepts ``settings`` and the arguments that are ``given`` later.

    Users cannot set arguments that are given later. With ``RESERVED``, more of them may follow, so none is missing.
    """
    try:
        parameters = signature(target).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return
    if not isinstance(settings, dict):
        raise SettingError(f"{key.rstrip('.')}={settings} must contain settings: {', '.join(parameters)}")
    taken = sorted({*(given or ())} & {*settings} & {*parameters})
    if taken:
        raise SettingError(f"{key}{taken[0]} is not a setting: the program sets it")
    check_call(target, settings, key, given or ())
    required = [
        name
        for name, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    missing = [name for name in required if name not in settings and name not in (given or ())]
    if missing and given is not RESERVED:
        raise SettingError(f"{key}{missing[0]} is missing")


def _member(module: ModuleType, part: str, name: str) -> Any:
    """A module inside ``module``; raises ``SettingError`` with the nearest name if there is none."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # a module that it imports is missing
            raise
        known = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise SettingError(f"{module.__name__} contains no {part}: {nearest(part, known)}") from None


def _located(key: str, name: str) -> Callable[..., Any]:
    """The object that ``name`` names, located as Hydra does: attributes first, then modules."""
    first, *rest = name.split(".")
    try:
        found: Any = import_module(first)
        for place, part in enumerate(rest):
            try:
                found = getattr(found, part)
            except AttributeError:
                if not isinstance(found, ModuleType):
                    raise
                found = _member(found, part, ".".join([first, *rest[: place + 1]]))
    except SettingError as error:
        raise SettingError(f"{key}_target_={name}: {error}") from None
    except Exception as error:  # an import may fail in any way
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SettingError(f"{key}_target_={name} cannot be imported: {reason}") from None
    if not callable(found):
        raise SettingError(f"{key}_target_={name} cannot be called")
    return found  # type: ignore[no-any-return]
