"""The command line, parsed word by word and composed by Hydra; each error is one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from skeleton_adv.command import recipes
from skeleton_adv.command.options import CONF, check_folder, option_files, title
from skeleton_adv.core.errors import SettingError

# In a file: a tenth of another setting. A value that is not a number is returned, to be refused where it is checked.
OmegaConf.register_new_resolver(
    "tenth", lambda value: value / 10 if isinstance(value, int | float) else value, replace=True
)
TAKE_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i", "--config-dir", "-cd")


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The values, and the flags with their arguments."""
    values: list[str] = []
    flags: list[str] = []
    for before, word in pairwise(["", *arguments]):
        taken = before in TAKE_VALUE
        (flags if word.startswith("-") or taken else values).append(word)
    return values, flags


def config_folders(arguments: list[str]) -> tuple[Path, ...]:
    """The folders of ``--config-dir``, whose files are options too."""
    pairs = [word.partition("=")[::2] if "=" in word else (word, after) for word, after in pairwise([*arguments, ""])]
    return tuple(Path(value).resolve() for name, value in pairs if name in ("--config-dir", "-cd"))


def open_folders(arguments: list[str]) -> tuple[Path, ...]:
    """The folders of ``--config-dir``, checked and with their recipes known to Hydra.

    Raises ``SettingError`` if one is not a folder or has a file that cannot be read.
    """
    folders = config_folders(arguments)
    for folder in folders:
        if not folder.is_dir():
            raise SettingError(f"--config-dir {folder} is not a folder")
        check_folder(folder)
    recipes.register(*folders)
    return folders


def groups(*folders: Path) -> dict[str, dict[str, str]]:
    """Group -> option -> the title of its file."""
    found: dict[str, dict[str, str]] = {recipes.GROUP: recipes.titles(*folders)}
    for folder in (CONF, *folders):
        for group, option, path in option_files(folder):
            found.setdefault(group, {}).setdefault(option, title(path))
    return dict(sorted(found.items()))


@cache
def composed(words: tuple[str, ...], folders: tuple[Path, ...] = ()) -> DictConfig:
    """The whole configuration, Hydra's own part included, kept for later calls; recipes must be registered."""
    return fresh(words, folders)


def fresh(words: tuple[str, ...], folders: tuple[Path, ...] = ()) -> DictConfig:
    """Like ``composed``, but not kept: a sweep may have thousands of configurations."""
    listed = ",".join(f"'file://{folder}'" for folder in folders)
    places = [f"hydra.searchpath=[{listed}]"] if folders else []
    try:
        with _beside_a_job(), initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", [*words, *places], return_hydra_config=True)
    except RecursionError:
        raise SettingError(f"{' '.join(words)}: the defaults of an option refer back to it") from None
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        reason = " ".join(str(error).split()).partition(" Config search path:")[0]
        raise SettingError(reason or f"{' '.join(words)} cannot be composed: {type(error).__name__}") from None


@contextmanager
def _beside_a_job() -> Iterator[None]:
    """Let Hydra compose although it runs a job, for the networks of an ensemble; it allows one configuration only."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running


def parse(word: str) -> Override:
    """One word of the form key=value; raises ``SettingError`` if it is not."""
    try:
        return OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError, ValueError):
        raise SettingError(
            f"'{word}' must have the form key=value (quote values that contain commas, spaces, = or letters outside "
            "ASCII: \"target='a=b'\")"
        ) from None


def values_of(override: Override) -> list[Any]:
    """The values that an override sweeps, or its only one."""
    if not override.is_sweep_override():
        return [override.value()]
    try:
        listed = list(override.sweep_string_iterator())
    except (HydraException, ValueError):
        listed = []
    if not listed:
        raise SettingError(f"{override.input_line} is not a list of values: list the values, separated by commas")
    return listed


def count_of(override: Override, most: int) -> int:
    """How many values an override sweeps, counted to ``most`` + 1 at most."""
    if not override.is_sweep_override():
        return 1
    value = override.value()
    if isinstance(value, RangeSweep):
        start, stop, step = (float(part or 0) for part in (value.start, value.stop, value.step))
        if step and not abs((stop - start) / step) <= most:
            return most + 1
    return len(values_of(override))


def each_of(override: Override) -> list[str]:
    """The override as text, once per value that it sweeps."""
    line = override.input_line or ""
    if not override.is_sweep_override():
        return [line]
    key = line.partition("=")[0]
    return [f"{key}={'null' if value is None else value}" for value in values_of(override)]


def group_key(override: Override) -> str:
    """The name under which Hydra lists a chosen group, such as ``model@surrogate``."""
    return override.key_or_group + (f"@{override.package}" if override.package else "")
