"""The command line before Hydra: hints for misspelt names, one-line errors for what cannot run."""

import errno
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from skeleton_adv.command import recipes
from skeleton_adv.command.compose import (
    composed,
    config_folders,
    count_of,
    each_of,
    group_key,
    groups,
    open_folders,
    parse,
    split,
    values_of,
)
from skeleton_adv.command.help import help_text
from skeleton_adv.command.options import CONF, option_files
from skeleton_adv.core.ending import shortened
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest

__all__ = ["CONF", "SPECIAL", "check_arguments", "fail", "for_hydra", "groups", "help_text", "translated"]

FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-dir", "-cd", "--info", "-i"),
)
MODES = ("--cfg", "-c", "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc", "--info", "-i")  # one at most
CHOICES = {  # what may follow a flag
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
CHOICES |= {"-c": CHOICES["--cfg"], "-i": CHOICES["--info"]}
MULTIRUN = {"-m", "--multirun"}
SHOWING = {"--cfg", "-c", "--info", "-i", "--shell-completion", "-sc", "--hydra-help"}  # nothing is run
KEY = re.compile(r"[A-Za-z_]\w*(?:[./]\w+)*")  # of a setting or a group
MAX_RUNS = 10_000  # of one command
MASKS = ("joints", "frames", "joint_eps")  # settings that every attack has, see attacks.needs
SPECIAL = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def translated(arguments: list[str]) -> list[str]:
    """The same command in Hydra's terms: ``model.noise=0.25`` is ``training=noise training.sigma=0.25``.

    ``model._target_=my_module.MyNet`` is ``model=own model.architecture._target_=my_module.MyNet``. A mask such as
    ``attack.joints=[head]`` is added to the attack's settings, where no file lists it. ``~/`` at the start of a value
    is the home folder. Raises ``SettingError`` if a sweep contains training with and without
    noise, because these are two options of a group.
    """
    words: list[str] = []
    for word in _own_networks(arguments):
        key, equals, value = word.partition("=")
        if key not in ("model.noise", "surrogate.noise") or not equals:
            added = "+" if key.split(".")[0] == "attack" and key.partition(".")[2].split(".")[0] in MASKS else ""
            words.append(f"{added}{key}{equals}{_at_home(value)}" if equals and not word.startswith("-") else word)
            continue
        group, place = ("training", "training")
        if key == "surrogate.noise":
            group, place = ("training@surrogate_training", "surrogate_training")
        none = [_is_zero(part) for part in value.split(",")]
        if any(none) and not all(none):
            raise SettingError(f"{word} sweeps training with and without noise: run {key}=0 separately")
        if not any(none):
            words += [f"{group}=noise", f"{place}.sigma={value}"]
        elif key == "model.noise":
            words.append(f"{group}=none")
    return words


def _own_networks(arguments: list[str]) -> list[str]:
    words = list(arguments)
    for role, group in (("model", "model"), ("surrogate", "model@surrogate")):
        short = f"{role}._target_="
        if not any(word.startswith(short) for word in words):
            continue
        words = [
            word.replace(short, f"{role}.architecture._target_=", 1) if word.startswith(short) else word
            for word in words
        ]
        if not any(word.startswith(f"{group}=") for word in words):
            words.insert(0, f"{group}=own")
    return words


def _at_home(value: str) -> str:
    parts = (str(Path.home()) + part[1:] if part.startswith("~/") else part for part in value.split(","))
    return ",".join(parts)


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False


def check_arguments(arguments: list[str]) -> None:
    """Raise ``SettingError`` with the nearest right name for anything misspelt, before Hydra starts."""
    _check_flags(arguments)
    overrides = [parse(word) for word in split(arguments)[0]]
    if _is_plain(arguments, overrides) and _composes(arguments, overrides):
        return  # at a fifth of the time that finding a mistake takes
    folders = open_folders(arguments)
    options = groups(*folders)
    chosen = [override for override in overrides if override.key_or_group in options]
    _check_groups(chosen, options, folders)
    config = composed(_firsts(chosen), folders)
    _check_hydra(config, composed((), folders), chosen)
    swept = _swept(config, overrides)
    for override in swept:
        if override.key_or_group in options:
            _check_options(override, list(options[override.key_or_group]))
    _check_size([*overrides, *swept])
    sweeping = bool(MULTIRUN & {*arguments}) or (config.hydra.mode is not None and config.hydra.mode.name == "MULTIRUN")
    for override in overrides:
        if override.is_sweep_override() and not sweeping:
            raise SettingError(f"{override.input_line} has several values: add -m to run them all")
    if MULTIRUN & {*arguments} and not overrides:
        raise SettingError(
            "-m has nothing to sweep: list the values of a key with commas (attack.beta=0.1,1), or remove -m"
        )
    for words in _variants(chosen, swept, options):
        _check_keys(composed(words, folders), overrides, swept, options, chosen, folders)
    final = composed((*_firsts(overrides), *(each_of(override)[0] for override in swept)), folders)
    if not shows_only(arguments):
        check_values(final, folders)


def shows_only(arguments: Sequence[str]) -> bool:
    """Whether a command asks Hydra to show something and runs nothing."""
    return bool(SHOWING & {word.partition("=")[0] for word in arguments})


def _is_plain(arguments: list[str], overrides: Sequence[Override]) -> bool:
    """Whether a command only chooses built-in options and sets values: no sweep, no files or keys of the user's own."""
    if config_folders(arguments) or MULTIRUN & {*arguments}:
        return False
    options = {f"{group}={option}" for group, option, _ in option_files(CONF)}
    options |= {f"{recipes.GROUP}={option}" for option in recipes.load()} if _trains(overrides) else set()
    known = {option.partition("=")[0] for option in options}
    for override in overrides:
        key, value = override.key_or_group, override.value()
        special = override.is_sweep_override() or override.is_add() or override.is_delete() or not KEY.fullmatch(key)
        if special or key.partition(".")[0] in ("hydra", "experiment", "trust"):
            return False
        if key in known and f"{key}={value}" not in options:
            return False
    return True


def _composes(arguments: list[str], overrides: Sequence[Override]) -> bool:
    """Whether a plain command composes; raises ``SettingError`` if a value is missing or cannot be resolved."""
    if _trains(overrides):
        recipes.register()  # other tasks have no recipe
    try:
        config = composed(_firsts(overrides))
    except SettingError:
        return False
    if not shows_only(arguments):
        check_values(config)
    return True


def _trains(overrides: Sequence[Override]) -> bool:
    return any((override.input_line or "").startswith(("task=train", recipes.GROUP)) for override in overrides)


def _firsts(overrides: Sequence[Override]) -> tuple[str, ...]:
    """The overrides, each with the first of its values."""
    return tuple(each_of(override)[0] for override in overrides)


def _swept(config: DictConfig, overrides: Sequence[Override]) -> list[Override]:
    """The values that an experiment's file sweeps, without keys of the command line."""
    typed = {override.get_key_element().lstrip("+~") for override in overrides}
    params: Mapping[str, Any] = config.hydra.sweeper.params or {}
    return [parse(f"{key}={value}") for key, value in params.items() if str(key) not in typed]


def _check_size(overrides: Sequence[Override]) -> None:
    """Raise ``SettingError`` if a sweep has too many runs."""
    runs = 1
    for override in overrides:
        runs *= count_of(override, MAX_RUNS)
        if runs > MAX_RUNS:
            raise SettingError(f"{override.input_line} gives more than {MAX_RUNS:,} runs: sweep fewer values")


def _variants(
    chosen: Sequence[Override], swept: Sequence[Override], options: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    """The chosen options, and one variant per further swept option, with the first value of all others."""
    every = [*chosen, *(override for override in swept if override.key_or_group in options)]
    first = _firsts(every)
    others = [
        (*first[:place], word, *first[place + 1 :])
        for place, override in enumerate(every)
        for word in each_of(override)[1:]
    ]
    return [first, *others]


def _check_groups(chosen: Sequence[Override], options: Mapping[str, Any], folders: tuple[Path, ...]) -> None:
    """Raise ``SettingError`` if a chosen option does not exist, or if its group belongs to another task."""
    tasks = [override for override in chosen if override.key_or_group in ("task", "experiment")]
    for override in tasks:
        _check_options(override, list(options[override.key_or_group]))
    known = composed(_firsts(tasks), folders).hydra.runtime.choices
    typed = [str(values_of(override)[0]) for override in chosen if group_key(override) == "model"]
    for override in chosen:
        key, group = group_key(override), override.key_or_group
        if override.is_delete() and known.get(key) is not None:
            raise SettingError(f"{override.input_line} removes {group}: choose an option with {key}=...")
        if override.is_add() or override.is_delete():
            continue
        if key not in known and group != recipes.GROUP:
            of = [task for task in options["task"] if key in composed((f"task={task}",), folders).hydra.runtime.choices]
            if of:
                raise SettingError(
                    f"{override.input_line} has no effect on task={known.task}: it is for task={_or(of)}"
                )
            raise SettingError(f"unknown key '{key}': {nearest(key, [str(name) for name in known if '/' not in name])}")
        _check_options(override, list(options[group]), (*typed, known.get("model"))[0])


def _check_options(override: Override, options: list[str], model: str | None = None) -> None:
    group = override.key_or_group
    for choice in [] if override.is_delete() else values_of(override):
        name = "null" if choice is None else str(choice)
        if name not in options:
            near = [one for one in (name.partition("/")[0], model) if any(o.startswith(f"{one}/") for o in options)]
            shown = [option for option in options if near and option.startswith(f"{near[0]}/")]
            raise SettingError(f"{group}={name} is not an option: {nearest(name, shown or options)}")


def _check_keys(
    config: DictConfig,
    overrides: Sequence[Override],
    swept: Sequence[Override],
    options: Mapping[str, Any],
    chosen: Sequence[Override],
    folders: tuple[Path, ...],
) -> None:
    """Raise ``SettingError`` unless every typed key, and every key that an experiment's file sweeps, exists."""
    for override in (*overrides, *swept):
        key = override.key_or_group
        if key in options or override.is_delete() or override.is_add() or key.startswith("hydra"):
            continue
        if _holds(config, key):
            continue
        if override in swept:
            raise SettingError(_without(config, key, chosen))
        of = [task for task in options["task"] if _holds(composed((f"task={task}",), folders), key)]
        if of and config.get("task") not in of:
            raise SettingError(f"{key} has no effect on task={config.get('task')}: it is for task={_or(of)}")
        if key.startswith("surrogate.") and config.get("surrogate") is None:
            raise SettingError(f"{key}: there is no surrogate: choose one with model@surrogate=...")
        _check_key(config, key, list(options))


def _without(config: DictConfig, key: str, chosen: Sequence[Override]) -> str:
    """Why an experiment cannot sweep ``key``: the chosen option that does not have it."""
    group = key.partition(".")[0]
    option = config.hydra.runtime.choices.get(group)
    guilty = f"{group}={option}" if any(override.key_or_group == group for override in chosen) else None
    experiment = f"experiment={config.get('experiment')}"
    if guilty is None:
        return f"{experiment} sweeps {key}, which does not exist with the chosen options: remove one of them"
    return f"{experiment} sweeps {key}, which {guilty} does not have: remove {guilty} or {experiment}"


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _check_hydra(config: DictConfig, usual_config: DictConfig, chosen: list[Override]) -> None:
    """Raise ``SettingError`` if an option's file sets more of Hydra than a sweep: it could run anything."""
    now, usual = (OmegaConf.to_container(composed.hydra) for composed in (config, usual_config))
    assert isinstance(usual, dict) and isinstance(now, dict)
    for node in (usual, now):
        for name in ("mode", "overrides", "runtime"):  # the last two contain the command line
            node.pop(name)
        node["sweeper"].pop("params")
        node["job"].pop("override_dirname", None)
    for name in map(str, now):
        if now[name] != usual.get(name):
            raise SettingError(
                f"{' '.join(_firsts(chosen))} sets hydra.{name} in its file, which may only set hydra.mode and "
                "hydra.sweeper.params: if you trust it, set the rest on the command line"
            )


def check_values(config: DictConfig, folders: tuple[Path, ...] = ()) -> None:
    """Raise ``SettingError`` naming the key if a value is missing, or refers to a key that does not exist."""
    for key, missing, value in _open_values(config, ""):
        if missing:
            raise SettingError(f"{key} is missing: {_meaning(config, key, folders)}")
        try:
            value()
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            absent = re.search(r"Interpolation key '((\w+)\.[\w.]+)' not found", reason)
            if absent and absent[2] in config:
                reason = f"it is {absent[1]}, which does not exist; choose another option of {absent[2]}="
            raise SettingError(f"{key} cannot be resolved: {reason}") from None


def _open_values(config: Any, prefix: str) -> Iterator[tuple[str, bool, Callable[[], Any]]]:
    """Every value that is missing or refers to another: its key, whether it is missing, a call that resolves it."""
    for name in range(len(config)) if isinstance(config, ListConfig) else list(config):
        key = f"{prefix}{name}"
        if key == "hydra":
            continue
        missing = OmegaConf.is_missing(config, name)
        if missing or OmegaConf.is_interpolation(config, name):
            yield key, missing, partial(config.__getitem__, name)
        elif OmegaConf.is_config(config[name]):
            yield from _open_values(config[name], f"{key}.")


def _meaning(config: DictConfig, key: str, folders: tuple[Path, ...]) -> str:
    """What belongs in a key: the comment beside it in its option's file."""
    group, _, name = key.partition(".")
    option = OmegaConf.select(config, f"hydra.runtime.choices.{group}")
    for path in (folder / group / f"{option}.yaml" for folder in (CONF, *folders)):
        for line in path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else ():
            setting, _, comment = line.partition("#")
            if setting.partition(":")[0].strip() == name and comment:
                return f"set {key} to {comment.strip()}"
    return f"set it with {key}=..."


def for_hydra(arguments: list[str]) -> list[str]:
    """The same command as Hydra accepts it.

    Its flags are last, because Hydra's parser refuses values on both sides of a flag. A setting of a part that is swept
    (``attack=pgd,bim attack.steps=5``) is a sweep of one value: Hydra applies other settings to the default part too,
    which may not have them.
    """
    values, flags = split(arguments)
    parsed = {word: parse(word) for word in values}
    swept = {one.key_or_group for one in parsed.values() if one.is_sweep_override()}

    def word_of(word: str) -> str:
        key, _, value = word.partition("=")
        of_swept = key.lstrip("+~").partition(".")[0] in swept and "." in key and not key.startswith("~")
        return f"{key}=choice({value})" if of_swept and not parsed[word].is_sweep_override() else word

    return [*map(word_of, values), *flags]


def _check_flags(arguments: list[str]) -> None:
    flags = split(arguments)[1]
    for place, word in enumerate(flags):
        flag, equals, value = word.partition("=")
        if not flag.startswith("-"):
            continue  # what the flag before it takes
        if flag not in FLAGS:
            close = get_close_matches(flag, FLAGS, n=1, cutoff=0.7)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise SettingError(
                f"unknown option '{word}': {hint}settings have no dashes (attack.steps=3); flags are -m, --cfg job, "
                "--config-dir FOLDER, --help and --version"
            )
        after = flags[place + 1] if place + 1 < len(flags) and not flags[place + 1].startswith("-") else ""
        value = value if equals else after
        takes = flag in CHOICES or flag in ("--package", "-p", "--config-dir", "-cd")
        if equals and not takes:
            raise SettingError(f"{flag} takes no value: remove ={value}")
        if takes and not value and flag not in ("--info", "-i"):
            raise SettingError(f"{flag} needs a value: {flag} {_or(CHOICES[flag]) if flag in CHOICES else '...'}")
        if value and value not in CHOICES.get(flag, (value,)):
            raise SettingError(f"{flag} {value} is not a choice: {nearest(value, list(CHOICES[flag]))}")
    modes = [word for word in flags if word.partition("=")[0] in MODES]
    if len(modes) > 1:
        raise SettingError(f"{modes[0]} and {modes[1]} cannot be combined: use one of them")


def _check_key(config: DictConfig, key: str, options: list[str]) -> None:
    """Raise ``SettingError`` unless the dotted ``key`` exists, naming the nearest that does."""
    node: Any = OmegaConf.to_container(config, resolve=False)
    for depth, part in enumerate(key.split(".")):
        names = [str(name) for name in node if name not in (*SPECIAL, "hydra")] if isinstance(node, dict) else []
        if not isinstance(node, dict) or part not in map(str, node):
            prefix = "".join(f"{p}." for p in key.split(".")[:depth])
            choices = [prefix + name for name in names] + ([] if depth else options)
            if not choices:
                raise SettingError(f"unknown key '{key}': {prefix.rstrip('.')} has no settings below it")
            raise SettingError(f"unknown key '{key}': {nearest(key, sorted(set(choices)))}")
        node = next(value for name, value in node.items() if str(name) == part)


def _holds(config: DictConfig, key: str) -> bool:
    try:
        _check_key(config, key, [])
    except SettingError:
        return False
    return True


def fail(error: BaseException, arguments: Sequence[str] = ()) -> None:
    """Print ``explained`` as one line on the standard error stream."""
    print(f"error: {explained(error, arguments)}", file=sys.stderr, flush=True)


def explained(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """An error in one line; if a file cannot be written, with the setting that moves it.

    ``arguments`` are the command line, which determines where its files are.
    """
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" for {error.filename}" if error.filename else ""
            text = f"the disk is full: no space is left{where}; free some and run the same command again"
        keys = _keys_of(error.filename, list(arguments)) if isinstance(error.filename, str | Path) else []
        text += f"; {_or(keys)} can name another folder" if keys else ""
    return shortened(text)


def _keys_of(filename: str | Path, arguments: list[str]) -> list[str]:
    """The settings whose folder or file an error is about; several if they share it."""
    path = Path(filename).expanduser().absolute()
    near: dict[str, int] = {}
    for key, place in _places(arguments).items():
        folder = Path(place).expanduser().absolute()
        if path.is_relative_to(folder) or folder.is_relative_to(path):
            near[key] = min(len(folder.parts), len(path.parts))
    return [key for key, length in near.items() if length == max(near.values()) and length > 1]


def _places(arguments: list[str]) -> dict[str, str]:
    """Every setting that names a path -> its value in this command."""
    try:
        words = _firsts([parse(word) for word in split(arguments)[0]])
        config = composed(words, config_folders(arguments))
    except SettingError:
        config = composed(())
    places = {f"runtime.{name}": value for name, value in config.runtime.items() if str(name).endswith("_dir")}
    for key in (
        "model.checkpoint",
        "surrogate.checkpoint",
        "dataset.root",
        "attack.path",
        "launcher.logs",
    ):
        if config.get(key.partition(".")[0]) is not None and not OmegaConf.is_missing(config, key):
            places[key] = OmegaConf.select(config, key, default=None, throw_on_missing=False)
    return {key: str(value) for key, value in places.items() if value}
