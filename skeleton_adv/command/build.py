"""A composed configuration -> the job that it describes, with every name and value checked before anything is made."""

import shlex
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.command.cli import SPECIAL
from skeleton_adv.command.job import GROUP, Job, Model, Runtime
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import check_call
from skeleton_adv.tables import TABLES

# What the program gives to an attack, a network or a defense when it calls it; no settings.
RESERVED = (
    *("model", "batch", "targeted", "trace", "network", "skeleton"),
    *("num_joints", "channels", "num_classes", "num_frames", "num_persons"),
)


def build_job(config: DictConfig, choices: Mapping[str, str], overrides: list[str], typed: list[str]) -> Job:
    """Check every name and value of a composed configuration, then make its objects.

    ``overrides`` are one run's, ``typed`` the words of the command line: what only a file sweeps is not among them.
    """
    try:
        settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise SettingError(str(error).splitlines()[0]) from None
    experiment = settings.pop("experiment", None)
    settings.setdefault("recipe", None)
    settings.setdefault("surrogate", None)
    _check_call("", Job, settings, given=("settings", "choices", "command"))
    for name, hold in (("runtime", Runtime), ("smoothing", Smoothing), ("model", Model), ("surrogate", Model)):
        if name != "surrogate" or settings[name] is not None:
            _check_call(f"{name}.", hold, settings[name])
    asked = {word.partition("=")[0] for word in typed}
    pairs = [word.partition("=")[::2] for word in overrides]
    typed_targets = {key.lstrip("+"): value for key, value in pairs if key in asked and key.endswith("_target_")}
    _check_targets(settings, "", {*typed_targets.values()})
    try:
        objects = instantiate(settings, _convert_="all")
        objects |= {"runtime": Runtime(**objects["runtime"]), "model": Model(**objects["model"])}
        objects["smoothing"] = Smoothing(**objects["smoothing"])
        objects["surrogate"] = Model(**objects["surrogate"]) if objects["surrogate"] else None
    except InstantiationException as error:
        raise SettingError(str(error.__cause__ or error)) from None
    job = Job(
        **objects,
        settings=settings,
        choices=_names(choices, typed_targets),
        command=_command(overrides),
    )
    job.check()
    if experiment is not None:
        _check_experiment(experiment, job.dataset.name)
    return job


def _names(choices: Mapping[str, str], typed_targets: Mapping[str, str]) -> dict[str, str]:
    """The option of each group; what was typed in its place goes by its own name, or a table would take it for it."""
    own = {group: group for group in ("attack", "defense", "dataset")}
    own |= {f"{role}.architecture": group for role, group in GROUP.items()}
    named = {
        own[key]: value for typed, value in typed_targets.items() if (key := typed.removesuffix("._target_")) in own
    }
    return {group: option for group, option in choices.items() if "/" not in group} | named


def _check_experiment(experiment: str, dataset: str) -> None:
    """Raise ``SettingError`` if an experiment's table is not of such a dataset."""
    for table in TABLES:
        if table.name == experiment and not table.fits(dataset):
            fitting = ", ".join(one.name for one in TABLES if one.fits(dataset))
            raise SettingError(f"experiment={experiment} is not of such data as {dataset}: take {fitting}")


def _check_targets(node: Any, key: str, allowed: set[str]) -> None:
    """Every ``_target_`` below ``node`` is this package's own, or was named on the command line, and fits."""
    if isinstance(node, str) and "${" in node:
        raise SettingError(f"{key.rstrip('.')}={node} is not a plain value: interpolations are resolved once only")
    if isinstance(node, list):
        for place, item in enumerate(node):
            _check_targets(item, f"{key}{place}.", allowed)
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        name = str(node["_target_"])
        target = _locate(key, name)
        own = name.startswith("skeleton_adv.") and getattr(target, "__module__", "").startswith("skeleton_adv.")
        if name not in allowed and (not own or "_args_" in node):
            raise SettingError(
                f"{key}_target_={name} lies outside skeleton_adv: if you trust it, set it on the command line"
            )
        partial = bool(node.get("_partial_"))
        _check_call(key, target, {k: v for k, v in node.items() if k not in SPECIAL}, RESERVED if partial else None)
    for name, item in node.items():
        _check_targets(item, f"{key}{name}.", allowed)


def _check_call(key: str, target: Callable[..., Any], settings: Any, given: tuple[str, ...] | None = None) -> None:
    """Raise ``SettingError`` unless ``target`` can be called with ``settings`` and what is ``given`` later.

    What is given later is not the user's to set; with ``RESERVED`` more may come, and nothing is missing.
    """
    if not isinstance(settings, dict):
        raise SettingError(
            f"{key.rstrip('.')}={settings} must hold settings: {', '.join(signature(target).parameters)}"
        )
    taken = sorted({*(given or ())} & {*settings} & {*signature(target).parameters})
    if taken:
        raise SettingError(f"{key}{taken[0]} is not a setting: the program gives it")
    check_call(target, settings, key)
    required = [n for n, p in signature(target).parameters.items() if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    missing = [name for name in required if name not in settings and name not in (given or ())]
    if missing and given is not RESERVED:
        raise SettingError(f"{key}{missing[0]} is missing")


def _locate(key: str, target: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = resolve_name(target)
    except Exception as error:  # an import may fail in any way
        raise SettingError(f"{key}_target_={target} cannot be imported: {str(error).splitlines()[0]}") from None
    if not callable(found):
        raise SettingError(f"{key}_target_={target} is nothing that can be called")
    return found


def _command(overrides: list[str]) -> str:
    """The command that makes these numbers, without the places of one machine."""
    local = ("runtime.", "dataset.root=", "hydra")
    kept = [o for o in overrides if not o.startswith(local) or o.startswith("runtime.limit=")]
    named = [f"model.checkpoint={Path(o).name}" if o.startswith("model.checkpoint=") else o for o in kept]
    return f"python -m skeleton_adv {shlex.join(named)}".strip()
