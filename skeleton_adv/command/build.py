"""A composed configuration -> the job that it describes, with every name and value checked before anything is made."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from skeleton_adv.command.cli import check_values
from skeleton_adv.command.job import GROUP, Job, Model, Runtime
from skeleton_adv.command.targets import check_settings, check_targets
from skeleton_adv.core.errors import SettingError
from skeleton_adv.evaluation.certify import Smoothing
from skeleton_adv.tables import TABLES


def build_job(config: DictConfig, choices: Mapping[str, str], overrides: list[str], typed: list[str]) -> Job:
    """Check every name and value of a composed configuration, then make its objects.

    ``overrides`` are one run's, ``typed`` the words of the command line: what only a file sweeps is not among them.
    """
    check_values(config)
    settings: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    experiment = settings.pop("experiment", None)
    settings.setdefault("recipe", None)
    settings.setdefault("surrogate", None)
    check_settings("", Job, settings, given=("settings", "choices", "command"))
    for name, hold in (("runtime", Runtime), ("smoothing", Smoothing), ("model", Model), ("surrogate", Model)):
        if name != "surrogate" or settings[name] is not None:
            check_settings(f"{name}.", hold, settings[name])
    asked = {word.partition("=")[0] for word in typed}
    pairs = [word.partition("=")[::2] for word in overrides]
    typed_targets = {key.lstrip("+"): value for key, value in pairs if key in asked and key.endswith("_target_")}
    check_targets(settings, typed_targets)
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


def _command(overrides: list[str]) -> str:
    """The command that makes these numbers, without the places of one machine."""
    local = ("runtime.", "dataset.root=", "hydra")
    kept = [o for o in overrides if not o.startswith(local) or o.startswith("runtime.limit=")]
    named = [f"model.checkpoint={Path(o).name}" if o.startswith("model.checkpoint=") else o for o in kept]
    return f"python -m skeleton_adv {shlex.join(named)}".strip()
