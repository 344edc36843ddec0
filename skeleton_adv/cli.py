"""The command line before and around Hydra: plain help, hints for misspelt names, one-line errors."""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
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
        "The default of a group is marked with *.",
    ]
    defaults = _defaults()
    for group, options in groups().items():
        lines += ["", f"{group}="]
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
    plain = [argument for argument in arguments if not argument.startswith("-")]
    for flag in (argument for argument in arguments if argument.startswith("-")):
        if flag.partition("=")[0] not in FLAGS:
            raise SettingError(f"unknown option '{flag}': {nearest(flag, [f for f in FLAGS if f.startswith('--')])}")
    takes_value = {"--cfg", "-c", "--package", "-p", "--info", "-i", "--config-dir", "-cd"}
    values = {b for a, b in pairwise(arguments) if a in takes_value}
    overrides = [_parse(argument) for argument in plain if argument not in values]
    options = groups()
    for override in overrides:
        if override.key_or_group in options and not override.is_delete():
            for choice in _choices(override):
                if str(choice) not in options[override.key_or_group] and choice is not None:
                    hint = nearest(str(choice), list(options[override.key_or_group]))
                    raise SettingError(f"{override.key_or_group}={choice} is not an option: {hint}")
    chosen = [
        f"{o.key_or_group}={_choices(o)[0]}" for o in overrides if o.key_or_group in options and not o.is_delete()
    ]
    config = _compose(tuple(chosen))
    for override in overrides:
        key = override.key_or_group
        if key not in options and not override.is_delete() and not override.is_add() and not key.startswith("hydra"):
            _check_key(config, key)


def _parse(argument: str) -> Override:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        raise SettingError(
            f"'{argument}' is not of the form key=value (quote values that hold =, commas or spaces)"
        ) from None


def _choices(override: Override) -> list[Any]:
    if override.is_choice_sweep():
        return list(override.sweep_string_iterator())
    return [override.value()]


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
    from skeleton_adv.tasks import Job, Model, Runtime

    try:
        settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise SettingError(str(error).splitlines()[0]) from None
    settings.pop("experiment", None)
    check_call(Job, settings)
    for name, hold in (("runtime", Runtime), ("model", Model)):
        check_call(hold, settings[name], f"{name}.")
    allowed = {override.partition("=")[2] for override in overrides if "_target_=" in override}
    _check_targets(settings, "", allowed)
    objects = {"recipe": None, **instantiate(settings, _convert_="all")}
    return Job(
        **{**objects, "runtime": Runtime(**objects["runtime"]), "model": Model(**objects["model"])},
        settings=settings,
        choices={group: option for group, option in choices.items() if "/" not in group},
        command=_command(overrides),
    )


def _check_targets(node: Any, key: str, allowed: set[str]) -> None:
    """Every ``_target_`` below ``node`` lies in this package or was named on the command line, and fits."""
    if isinstance(node, list):
        for place, item in enumerate(node):
            _check_targets(item, f"{key}{place}.", allowed)
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        target = node["_target_"]
        if not target.startswith("skeleton_adv.") and target not in allowed:
            raise SettingError(
                f"{key}_target_={target} lies outside skeleton_adv: if you trust it, set it on the command line"
            )
        check_call(_locate(key, target), {k: v for k, v in node.items() if k not in SPECIAL}, key)
    for name, item in node.items():
        _check_targets(item, f"{key}{name}.", allowed)


def _locate(key: str, target: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = get_object(target)
        return found
    except Exception as error:  # an import may fail in any way
        raise SettingError(f"{key}_target_={target} cannot be imported: {str(error).splitlines()[0]}") from None


def _command(overrides: list[str]) -> str:
    """The command that makes these numbers, without the places of one machine."""
    local = ("runtime.", "dataset.root=", "model.checkpoint=", "hydra")
    return " ".join(["python -m skeleton_adv", *(o for o in overrides if not o.startswith(local))])


def fail(error: BaseException) -> None:
    """One line on the standard error stream."""
    print("error: " + " ".join(str(error).split()), file=sys.stderr, flush=True)
