"""The command line before and around Hydra: plain help, hints for misspelt names, one-line errors."""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from inspect import signature
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from textwrap import wrap
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from skeleton_adv.errors import SettingError
from skeleton_adv.ranges import check_call, nearest

_PACKAGE = Path(__file__).parent
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-dir", "-cd", "--info", "-i"),
)
TAKE_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i", "--config-dir", "-cd")
# What the program gives to an attack, a network or a defense when it calls it; no settings.
RESERVED = (
    *("model", "batch", "targeted", "trace", "network", "skeleton"),
    *("num_joints", "channels", "num_classes", "num_frames", "num_persons"),
)
SPECIAL = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def groups() -> dict[str, dict[str, str]]:
    """Group -> option -> what the first line of its YAML file says of it."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        if path.parent != CONF:
            group, *rest = path.relative_to(CONF).with_suffix("").parts
            comments = (line for line in path.read_text().splitlines() if not line.startswith("# @"))
            found.setdefault(group, {})["/".join(rest)] = next(comments).removeprefix("# ")
    return found


def help_text() -> str:
    """The groups and options in plain words."""
    lines = [
        "Attack, defend and certify skeleton-based action recognition.",
        "",
        "  python -m skeleton_adv attack=admm model=hcn                one run",
        "  python -m skeleton_adv -m attack.beta=0.1,1,10              a sweep",
        "  python -m skeleton_adv experiment=table1 dataset=utd_mhad   a table of the paper",
        "  python -m skeleton_adv task=train dataset=utd_mhad          a victim",
        "  python -m skeleton_adv.tables outputs/runs                  tables from what has run",
        "",
        "Choose an option of a group with group=option; set any value with group.key=value.",
        "The default of a group is marked with *. model@surrogate=OPTION makes the attack on another model than",
        "the one that judges it (transfer); surrogate.KEY=VALUE then sets that one's values.",
    ]
    defaults = _defaults()
    for group, options in groups().items():
        lines += ["", f"{group}="]
        if group == "recipe":  # one for every pair of the two: their titles would fill a page
            lines += wrap(", ".join(options), 110, initial_indent="    ", subsequent_indent="    ")
            lines += ["    (that of model and dataset is taken by itself)"]
            continue
        for option, title in options.items():
            mark = "*" if option == defaults.get(group) else " "
            lines.append(f"  {mark} {option:<18} {title}")
    settings = (CONF / "config.yaml").read_text().partition("\n\n")[2].partition("\nhydra:")[0]
    lines += ["", "Other settings, with their defaults (set the nested ones as runtime.limit=100):", ""]
    lines += [f"    {line}".rstrip() for line in settings.splitlines()]
    lines += ["Also: --cfg job (show the whole configuration), -m (run all combinations of comma lists)."]
    return "\n".join(lines)


def _defaults() -> dict[str, str]:
    listed = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"), resolve=False)["defaults"]  # type: ignore[index, call-overload]
    return {str(key): value for entry in listed if isinstance(entry, dict) for key, value in entry.items()}


def check_arguments(arguments: list[str]) -> None:
    """Raise ``SettingError`` with the nearest right name for anything misspelt, before Hydra starts."""
    _check_flags(arguments)
    values = {b for a, b in pairwise(arguments) if a in TAKE_VALUE}
    overrides = [_parse(word) for word in arguments if not word.startswith("-") and word not in values]
    options = groups()
    for override in overrides:
        if override.key_or_group in options:
            _check_options(override, list(options[override.key_or_group]))
    chosen = [override for override in overrides if override.key_or_group in options]
    config = _compose(tuple(map(_first, chosen)))
    sweeping = bool({"-m", "--multirun"} & {*arguments}) or config.get("experiment") is not None
    for override in overrides:
        key = override.key_or_group
        if override.is_sweep_override() and not sweeping:
            raise SettingError(f"{override.input_line} names several values: add -m to run them all")
        if key not in options and not override.is_delete() and not override.is_add() and not key.startswith("hydra"):
            _check_key(config, key)
    _compose(tuple(map(_first, overrides)))


def _check_flags(arguments: list[str]) -> None:
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name = flag.partition("=")[0]
        if flag.startswith("-") and name not in FLAGS:
            raise SettingError(f"unknown option '{flag}': {nearest(flag, [f for f in FLAGS if f.startswith('--')])}")
        folder = flag.partition("=")[2] or value
        if name in ("--config-dir", "-cd") and not Path(folder).is_dir():
            raise SettingError(f"--config-dir {folder} is not a folder")


def _check_options(override: Override, options: list[str]) -> None:
    group = override.key_or_group
    for choice in [] if override.is_delete() else _choices(override):
        if choice is None and group in ("experiment", "recipe"):
            continue
        if str(choice) not in options:
            raise SettingError(f"{group}={choice} is not an option: {nearest(str(choice), options)}")


def _first(override: Override) -> str:
    """The override with the first of its values, if it sweeps several."""
    line = override.input_line or ""
    if not override.is_sweep_override():
        return line
    value = _choices(override)[0]
    return f"{line.partition('=')[0]}={'null' if value is None else value}"


def _parse(argument: str) -> Override:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        raise SettingError(
            f"'{argument}' is not of the form key=value (quote values that hold =, commas or spaces)"
        ) from None


def _choices(override: Override) -> list[Any]:
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.value()]


@cache
def _compose(overrides: tuple[str, ...]) -> DictConfig:
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", list(overrides))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise SettingError(" ".join(str(error).split())) from None


def _check_key(config: DictConfig, key: str) -> None:
    """Raise ``SettingError`` unless the dotted ``key`` exists, naming the nearest that does."""
    node: Any = config
    for depth, part in enumerate(key.split(".")):
        node = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else node
        names = [name for name in node if name not in SPECIAL] if isinstance(node, dict) else []
        if not isinstance(node, dict) or part not in node:
            prefix = "".join(f"{p}." for p in key.split(".")[:depth])
            choices = [prefix + str(name) for name in names] + (list(groups()) if not depth else [])
            raise SettingError(f"unknown key '{key}': {nearest(key, sorted(set(choices)))}")
        node = node[part]


def build_job(config: DictConfig, choices: Mapping[str, str], overrides: list[str]) -> Any:
    """Check every name and value of a composed configuration, then make its objects; returns a ``Job``."""
    from skeleton_adv.certification import Smoothing
    from skeleton_adv.job import Job, Model, Runtime

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
    allowed = {override.partition("=")[2] for override in overrides if "_target_=" in override}
    _check_targets(settings, "", allowed)
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
        choices={group: option for group, option in choices.items() if "/" not in group},
        command=_command(overrides),
    )
    job.check()
    if experiment is not None:
        _check_experiment(experiment, job.dataset.name)
    return job


def _check_experiment(experiment: str, dataset: str) -> None:
    """Raise ``SettingError`` if an experiment's table is not of such a dataset."""
    from skeleton_adv.tables import TABLES  # brings pandas

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
    return " ".join(["python -m skeleton_adv", *named])


def fail(error: BaseException) -> None:
    """One line on the standard error stream."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        text += "; other places can be set: runtime.output_dir, cache_dir, checkpoint_dir, table_dir, model.checkpoint"
    print(f"error: {text}", file=sys.stderr, flush=True)
