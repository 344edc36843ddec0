"""A composed configuration -> the job that it describes; every name and value is checked before anything is built."""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from skeleton_adv.command.cli import check_values
from skeleton_adv.command.compose import composed, config_folders, groups, split
from skeleton_adv.command.job import Job, Model, Role, Runtime, Session, Task
from skeleton_adv.command.targets import Trust, check_settings, check_targets
from skeleton_adv.command.threat import Threat
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.data.subjects import labelled
from skeleton_adv.train.training import Training

GROUPS = {"model": "model", "surrogate": "model@surrogate"}  # the names under which networks are chosen
# Settings of every task; all others are a task's own.
COMMON = ("task", "dataset", "model", "training", "surrogate", "surrogate_training", "runtime", "launcher")


def build_job(
    config: DictConfig,
    choices: Mapping[str, str],
    overrides: list[str],
    typed: list[str],
    find_task: Callable[[str], type[Task]],
    sweep: Mapping[str, Any] | None = None,
    session: Session | None = None,
) -> Job:
    """Check every name and value of a composed configuration, then build its objects.

    ``overrides`` are those of one run, ``typed`` the words of the command line (values that only an experiment's file
    sweeps are left out). ``find_task`` returns a task's class by its name; ``sweep``: see ``sweep_of``.
    """
    config, unit = (threat := Threat.of(choices)).applied(config, overrides)
    settings = _plain(config)
    experiment = settings.pop("experiment", None)
    trust = Trust(_typed_targets(overrides, typed), _trusted_modules(settings.pop("trust", None), typed))
    task = find_task(str(settings.get("task")))
    _check_settings(settings, task)
    check_targets(settings, trust)
    objects = _instantiated(settings)
    _check_kinds(objects, settings)
    threat.check_unit(unit, objects["dataset"])
    names = _names(choices, trust.targets) | {"experiment": experiment}
    roles = _roles(objects, settings, names, trust, typed)
    return Job(
        name=settings["task"],
        task=_made(task, objects),
        dataset=labelled(objects["dataset"]),
        victim=roles["model"],
        surrogate=roles.get("surrogate"),
        runtime=Runtime(**objects["runtime"]),
        settings=settings,
        choices=names,
        command=_command(overrides, typed),
        launcher=objects.get("launcher"),
        sweep=sweep,
        session=session or Session(),
    )


def _plain(config: DictConfig) -> Any:
    """All values of a configuration; raises ``SettingError`` if one is missing."""
    check_values(config)
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def _instantiated(settings: Any) -> Any:
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        raise SettingError(str(error.__cause__ or error)) from None


def _typed_targets(overrides: Sequence[str], typed: Sequence[str]) -> dict[str, str]:
    """The typed overrides that end in ``_target_``, with their values."""
    keys = {word.partition("=")[0] for word in typed}
    pairs = [word.partition("=")[::2] for word in overrides]
    return {key.lstrip("+"): value for key, value in pairs if key in keys and key.endswith("_target_")}


def _trusted_modules(value: Any, typed: Sequence[str]) -> list[str]:
    """The modules of ``trust=``; raises ``SettingError`` if a file sets it, or if it names no module."""
    if value is None:
        return []
    modules = [str(module) for module in (value if isinstance(value, list) else [value])]
    if not any(word.lstrip("+").startswith("trust=") for word in typed):
        raise SettingError(f"trust={value} is set in a file: only the command line may trust a module")
    for module in modules:
        if not all(part.isidentifier() for part in module.split(".")):
            raise SettingError(f"trust={module} is not the name of a module, such as trust=my_module")
    return modules


def sweep_of(params: Mapping[str, Any] | None, typed: Sequence[str]) -> dict[str, Any] | None:
    """What a sweep varies (key -> its values as text), which keys were typed, and its jobs; None if it varies nothing.

    ``params`` come from an experiment's file; ``typed``, the words of the command line, has precedence.
    """
    swept = {str(key): str(value) for key, value in (params or {}).items()}
    words = {word.partition("=")[0].lstrip("+") for word in typed}
    for word in (word for word in typed if "=" in word and not word.startswith("-")):
        key = word.partition("=")[0].lstrip("+")
        override = OverridesParser.create().parse_override(word)
        if override.is_sweep_override():
            swept[key] = word.partition("=")[2]
        else:
            swept.pop(key, None)
    swept.pop("runtime.shard", None)  # shards are parts of one run
    parsed = [OverridesParser.create().parse_override(f"{key}={value}") for key, value in swept.items()]
    counts = [len(list(one.sweep_string_iterator())) if one.is_sweep_override() else 1 for one in parsed]
    of_typed = [key for key in swept if key in words]
    return {"params": swept, "typed": of_typed, "jobs": math.prod(counts)} if swept else None


def _check_settings(settings: dict[str, Any], task: type[Task]) -> None:
    """Raise ``SettingError`` unless each part of the settings has allowed names and values."""
    own = {name: value for name, value in settings.items() if name not in COMMON}
    check_settings("", task, own)
    for name in ("runtime", "model", "dataset", "training"):
        if name not in settings:
            raise SettingError(f"{name} is missing: choose one with {name}=...")
    holders: list[tuple[str, Callable[..., Any]]] = [("runtime", Runtime), ("model", Model)]
    holders += [("surrogate", Model)] if settings.get("surrogate") is not None else []
    holders += [(name, kind) for name, kind in _setting_groups(task).items() if name in settings]
    for name, kind in holders:
        check_settings(f"{name}.", kind, settings[name])


def _setting_groups(task: type[Task]) -> dict[str, type[Any]]:
    """Fields of a task that are groups of settings, with the class that holds them."""
    hints = get_type_hints(task)
    return {field.name: hints[field.name] for field in fields(task) if is_dataclass(hints[field.name])}  # type: ignore[arg-type]


def _made(task: type[Task], objects: Mapping[str, Any]) -> Task:
    values = {field.name: objects[field.name] for field in fields(task) if field.name in objects}  # type: ignore[arg-type]
    return task(
        **values | {name: kind(**values[name]) for name, kind in _setting_groups(task).items() if name in values}
    )


def _role(
    key: str,
    objects: Mapping[str, Any],
    settings: Mapping[str, Any],
    names: Mapping[str, Any],
) -> Role:
    training = "training" if key == "model" else "surrogate_training"
    plain = {name: settings[key][name] for name in ("architecture", "preprocess")}
    return Role(key, str(names.get(GROUPS[key])), Model(**objects[key]), objects[training], plain)


def _roles(
    objects: Mapping[str, Any],
    settings: Mapping[str, Any],
    names: Mapping[str, Any],
    trust: Trust,
    typed: Sequence[str],
) -> dict[str, Role]:
    """The networks by their keys."""
    roles = {key: _role(key, objects, settings, names) for key in GROUPS if settings.get(key)}
    return {key: _with_members(role, trust, config_folders([*typed])) for key, role in roles.items()}


def _with_members(role: Role, trust: Trust, folders: tuple[Path, ...]) -> Role:
    """The role with the networks of its ensemble; raises ``SettingError`` if they are not options of ``model``."""
    names = role.model.members
    if names is None:
        return role
    options = [one for one, text in groups(*folders)["model"].items() if one != role.option]
    if role.model.checkpoint:
        raise SettingError(f"{role.key}.checkpoint has no effect on an ensemble: each member uses its own weights")
    if not isinstance(names, list) or len(names) < 2:
        raise SettingError(f"{role.key}.members={names} must list at least two models, such as [hcn,agcn_small]")
    members = []
    for member in names:
        name, _, copy = str(member).partition("@")
        if copy and not copy.isdecimal():
            raise SettingError(f"{role.key}.members: {member} must end with the seed of its training, as in {name}@1")
        if name not in options:
            raise SettingError(f"{role.key}.members: {name} is not a model: {nearest(name, options)}")
        settings: Any = OmegaConf.to_container(composed((f"model={name}",), folders)["model"], resolve=True)
        check_targets({"model": settings}, trust)
        model = Model(**_instantiated(settings) | {"seed": int(copy or role.model.seed)})
        plain = {part: settings[part] for part in ("architecture", "preprocess")}
        members.append(Role(role.key, name, model, role.training, plain))
    return replace(role, members=tuple(members))


def _check_kinds(objects: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` if a part is of the wrong kind."""
    parts = {name: objects[name] for name in ("attack", "defense") if name in objects}
    parts["dataset"] = getattr(objects["dataset"], "clips", None)
    for training in ("training", "surrogate_training"):
        if training in objects and not (isinstance(objects[training], Training) and hasattr(objects[training], "name")):
            raise SettingError(f"{training}={settings[training]} is no way of training: choose one with {training}=...")
    if not objects.get("surrogate") and (idle := objects.get("surrogate_training")) and idle.identity():
        raise SettingError("surrogate_training: there is no surrogate: choose one with model@surrogate=...")
    for role in ("model", "surrogate"):
        if objects.get(role):
            parts |= {f"{role}.{name}": objects[role].get(name) for name in ("architecture", "preprocess")}
    for name, part in parts.items():
        if not callable(part):
            raise SettingError(f"{name} is not set: choose one with {name.partition('.')[0]}=...")
    constraints = objects.get("constraint", {"": None})
    if not isinstance(constraints, Mapping) or not constraints:
        raise SettingError(f"constraint={settings['constraint']} must map names to constraints: choose constraint=...")
    for name, constraint in constraints.items():
        if name and (not isinstance(constraint, Constraint) or not name.isidentifier()):
            raise SettingError(
                f"constraint.{name}={settings['constraint'][name]} is not a constraint: choose constraint=..."
            )


def _names(choices: Mapping[str, str], typed_targets: Mapping[str, str]) -> dict[str, Any]:
    """The option of each group; a typed ``_target_`` has its own name, so that tables tell them apart."""
    own = {group: group for group in ("attack", "defense", "dataset", "training")}
    own |= {f"{role}.architecture": group for role, group in GROUPS.items()}
    named = {
        own[key]: value for typed, value in typed_targets.items() if (key := typed.removesuffix("._target_")) in own
    }
    options = {group: option for group, option in choices.items() if "/" not in group and group != "launcher"}
    return options | named


def _command(overrides: list[str], typed: list[str]) -> str:
    """The command that reproduces these numbers, without paths of this machine except a typed ``--config-dir``."""
    local = ("runtime.", "dataset.root=", "hydra", "launcher")
    kept = [o for o in overrides if not o.startswith(local) or o.startswith("runtime.limit=")]
    named = [f"model.checkpoint={Path(o).name}" if o.startswith("model.checkpoint=") else o for o in kept]
    flags = split(typed)[1]
    folders = [word for before, word in pairwise(["", *flags]) if "--config-dir" in (before, word.partition("=")[0])]
    return f"python -m skeleton_adv {shlex.join([*folders, *named])}".strip()
