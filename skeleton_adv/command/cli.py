"""The command line before and around Hydra: plain help, hints for misspelt names, one-line errors."""

import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-dir", "-cd", "--info", "-i"),
)
MODES = ("--cfg", "-c", "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc", "--info", "-i")  # one at most
SPECIAL = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
TAKE_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i", "--config-dir", "-cd")


def groups(*folders: Path) -> dict[str, dict[str, str]]:
    """Group -> option -> what the first line of its YAML file says of it."""
    found: dict[str, dict[str, str]] = {}
    for folder in (CONF, *folders):
        for path in sorted(folder.rglob("*.yaml")):
            if path.parent != folder:
                group, *rest = path.relative_to(folder).with_suffix("").parts
                comments = (line for line in path.read_text().splitlines() if not line.startswith("# @"))
                found.setdefault(group, {}).setdefault("/".join(rest), next(comments, "").removeprefix("# "))
    return found


def help_text(arguments: list[str]) -> str:
    """The groups and options in plain words, those of ``--config-dir`` among them."""
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
    for group, options in groups(*_config_folders(arguments)).items():
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
    overrides = [_parse(word) for word in _split(arguments)[0]]
    folders = _config_folders(arguments)
    options = groups(*folders)
    for override in overrides:
        if override.key_or_group in options:
            _check_options(override, list(options[override.key_or_group]))
    chosen = [override for override in overrides if override.key_or_group in options]
    config = _compose(tuple(map(_first, chosen)), folders)
    sweeping = bool({"-m", "--multirun"} & {*arguments}) or config.get("experiment") is not None
    for override in overrides:
        key = override.key_or_group
        if override.is_sweep_override() and not sweeping:
            raise SettingError(f"{override.input_line} names several values: add -m to run them all")
        if key not in options and not override.is_delete() and not override.is_add() and not key.startswith("hydra"):
            _check_key(config, key, list(options))
    _check_hydra(config, _compose((), folders), chosen)
    _compose(tuple(map(_first, overrides)), folders)


def _check_hydra(config: DictConfig, usual_config: DictConfig, chosen: list[Override]) -> None:
    """Raise ``SettingError`` if an option's file sets more of Hydra than what is swept: it could run anything."""
    now, usual = (OmegaConf.to_container(composed.hydra) for composed in (config, usual_config))
    assert isinstance(usual, dict) and isinstance(now, dict)
    for node in (usual, now):
        for name in ("mode", "overrides", "runtime"):  # the last two are what was typed
            node.pop(name)
        node["sweeper"].pop("params")
        node["job"].pop("override_dirname", None)
    for name in map(str, now):
        if now[name] != usual.get(name):
            raise SettingError(
                f"{' '.join(map(_first, chosen))} sets hydra.{name} in its file, which may set hydra.mode and "
                "hydra.sweeper.params only: if you trust it, set the rest on the command line"
            )


def flags_last(arguments: list[str]) -> list[str]:
    """The same command with its flags behind: Hydra's parser refuses values on both sides of a flag."""
    values, flags = _split(arguments)
    return values + flags


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The values, and the flags with what they take."""
    values: list[str] = []
    flags: list[str] = []
    for before, word in pairwise(["", *arguments]):
        taken = before in TAKE_VALUE and "=" not in word
        (flags if word.startswith("-") or taken else values).append(word)
    return values, flags


def _config_folders(arguments: list[str]) -> tuple[Path, ...]:
    """The folders of ``--config-dir``, whose files are options too."""
    pairs = [word.partition("=")[::2] if "=" in word else (word, after) for word, after in pairwise([*arguments, ""])]
    return tuple(Path(value).resolve() for name, value in pairs if name in ("--config-dir", "-cd"))


def _check_flags(arguments: list[str]) -> None:
    for flag in arguments:
        if flag.startswith("-") and flag.partition("=")[0] not in FLAGS:
            raise SettingError(f"unknown option '{flag}': {nearest(flag, [f for f in FLAGS if f.startswith('--')])}")
    for folder in _config_folders(arguments):
        if not folder.is_dir():
            raise SettingError(f"--config-dir {folder} is not a folder")
    modes = [word for word in arguments if word.partition("=")[0] in MODES]
    if len(modes) > 1:
        raise SettingError(f"{modes[0]} and {modes[1]} exclude each other: give one of them")


def _check_options(override: Override, options: list[str]) -> None:
    group = override.key_or_group
    for choice in [] if override.is_delete() else _choices(override):
        name = "null" if choice is None else str(choice)
        if name not in options:
            raise SettingError(f"{group}={name} is not an option: {nearest(name, options)}")


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
    if not override.is_sweep_override():
        return [override.value()]
    try:
        listed = list(override.sweep_string_iterator())
    except (HydraException, ValueError):
        listed = []
    if not listed:
        raise SettingError(f"{override.input_line} names no values that can be run one by one: list them with commas")
    return listed


@cache
def _compose(overrides: tuple[str, ...], folders: tuple[Path, ...]) -> DictConfig:
    """The whole configuration, Hydra's own part included."""
    listed = ",".join(f"'file://{folder}'" for folder in folders)
    places = [f"hydra.searchpath=[{listed}]"] if folders else []
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", [*overrides, *places], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise SettingError(" ".join(str(error).split())) from None


def _check_key(config: DictConfig, key: str, options: list[str]) -> None:
    """Raise ``SettingError`` unless the dotted ``key`` exists, naming the nearest that does."""
    node: Any = config
    for depth, part in enumerate(key.split(".")):
        node = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else node
        names = [name for name in node if name not in (*SPECIAL, "hydra")] if isinstance(node, dict) else []
        if not isinstance(node, dict) or part not in node:
            prefix = "".join(f"{p}." for p in key.split(".")[:depth])
            choices = [prefix + str(name) for name in names] + ([] if depth else options)
            raise SettingError(f"unknown key '{key}': {nearest(key, sorted(set(choices)))}")
        node = node[part]


def fail(error: BaseException) -> None:
    """One line on the standard error stream."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        text += "; other places can be set: runtime.output_dir, cache_dir, checkpoint_dir, table_dir, model.checkpoint"
    print(f"error: {text}", file=sys.stderr, flush=True)


def translated(arguments: list[str]) -> list[str]:
    """A stand-in until the real one arrives."""
    found = []
    for word in arguments:
        key, _, value = word.partition("=")
        if key == "model.noise":
            found += ["training=none"] if value in ("0", "0.0") else ["training=noise", f"training.sigma={value}"]
        else:
            found.append(word)
    return found
