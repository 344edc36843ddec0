"""Values of Python as words of a command line, and the job that such words describe."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from skeleton_adv.command import cli, recipes
from skeleton_adv.command.build import build_job
from skeleton_adv.command.compose import composed
from skeleton_adv.command.job import Job, Session, Task
from skeleton_adv.core.errors import SettingError


def job_of(words: Sequence[str], find_task: Callable[[str], type[Task]], session: Session | None = None) -> Job:
    """The job that these words of a command line describe; errors are those of the command line."""
    translated = cli.translated(list(words))
    if any(each.startswith(("task=train", "recipe")) for each in translated):
        recipes.register()  # other tasks have no recipe
    try:
        config = composed(tuple(translated))
    except SettingError:
        cli.check_arguments(translated)  # finds the nearest right name, but takes several compositions
        raise
    choices = dict(config.hydra.runtime.choices)
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(plain, DictConfig)
    return build_job(plain, choices, translated, translated, find_task, None, session)


def word(key: str, value: Any) -> str:
    """One ``key=value`` of a command line, quoted for Hydra."""
    return f"{key}={_text(value)}"


def words_of(prefix: str, settings: Mapping[str, Any]) -> list[str]:
    """``settings`` as words."""
    return [word(f"{prefix}{name}", value) for name, value in settings.items()]


def given(**settings: Any) -> dict[str, Any]:
    """The settings that are not None."""
    return {name: value for name, value in settings.items() if value is not None}


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        if value.isidentifier():
            return value
        escaped = value.replace("\\", "\\\\").replace("'", "\\'") if value.endswith("\\") else value.replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    return str(getattr(value, "item", lambda: value)())  # NumPy's and torch's numbers as Python's


def merged(*words: Sequence[str]) -> list[str]:
    """Words without repetition of a key; the last value counts."""
    found: dict[str, str] = {}
    for each in (word for part in words for word in part):
        key = each.partition("=")[0]
        found.pop(key, None)
        found[key] = each
    return [*found.values()]
