"""What a job must not ask for: settings without effect, and weights or clips that were made otherwise."""

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from skeleton_adv.certificates.radii import least_draws
from skeleton_adv.command.job import Job, Role, model_settings, target_name
from skeleton_adv.core.errors import CheckpointError, RunError, SettingError
from skeleton_adv.core.progress import log
from skeleton_adv.data.clips import Prepared
from skeleton_adv.evaluation.targets import resolve_class
from skeleton_adv.runs.folder import read_json
from skeleton_adv.train.fit import Recipe


def check_access(job: Job) -> None:
    """Raise ``SettingError`` if ``adaptive`` would have no effect."""
    if not job.adaptive and job.choices["defense"] == "none":
        raise SettingError("adaptive=false has no effect without a defense: choose one with defense=...")
    if not job.adaptive and job.surrogate is not None:
        raise SettingError("adaptive=false has no effect with a surrogate, which the defense never guards")


def check_defense(job: Job) -> None:
    """Raise ``SettingError`` if a defense's values make another one of it than its name says."""
    own = _values(job.defense)
    parts = (bool(own.get("sigma")), own.get("taps") is not None)
    names = {(True, True): "noise_filter", (True, False): "noise", (False, True): "temporal_filter"}
    chosen, meant = job.choices["defense"], names.get(parts, "none")
    if {"sigma", "taps"} <= own.keys() and chosen in names.values() and chosen != meant:
        raise SettingError(
            f"defense={chosen} with defense.sigma={own['sigma']} and defense.taps={own['taps']} is "
            f"defense={meant}: choose that one"
        )


def _values(call: Callable[..., Any]) -> dict[str, Any]:
    """What a call takes for its arguments, those left to it included."""
    return {name: parameter.default for name, parameter in signature(call).parameters.items()}


def check_trace(job: Job) -> None:
    """Raise ``SettingError`` if the attack tells nothing of its course."""
    if job.runtime.save_trace and "trace" not in signature(job.attack).parameters:
        raise SettingError(f"runtime.save_trace=true: attack={job.choices['attack']} keeps no trace, attack=admm does")


def check_smoothing(job: Job) -> None:
    """Raise ``SettingError`` if nothing can be certified so, or if a setting would have no effect."""
    how = job.smoothing
    idle = {"targeted=true": job.targeted, "adaptive=false": not job.adaptive, "a surrogate": job.surrogate is not None}
    for name, given in idle.items():
        if given:
            raise SettingError(f"{name} has no effect on task=certify, which attacks nobody: leave it out")
    if how.n < least_draws(how.alpha):
        raise SettingError(
            f"smoothing.n={how.n} draws certify nothing at alpha={how.alpha:g}: take {least_draws(how.alpha)} at least"
        )
    if _values(job.defense).get("sigma"):
        raise SettingError(
            f"defense={job.choices['defense']} draws noise of its own: certify with none or temporal_filter"
        )


def warn_of_noise(job: Job, trained: float | None) -> None:
    """Say if a victim is certified with other noise than it was ``trained`` with; None: nobody knows."""
    if trained != job.smoothing.sigma:
        known = "noise that nobody recorded" if trained is None else f"noise of {trained:g}"
        log(f"the victim was trained with {known}, certified with {job.smoothing.sigma:g}: it may do badly")


def check_recipe(job: Job, recipe: Recipe) -> None:
    """Raise ``SettingError`` if the recipe turns joints that lie in an image, or might end before its noise is full."""
    if job.model.noise and recipe.noise_warmup and recipe.held_out:
        raise SettingError(
            f"recipe.held_out={recipe.held_out} may choose epochs before recipe.noise_warmup={recipe.noise_warmup} "
            "ends: set recipe.held_out=0.0"
        )
    if any(recipe.rotation) and len(job.dataset.skeleton.coords) < 3:
        raise SettingError(
            f"recipe.rotation={list(recipe.rotation)} turns joints about three axes, but {job.dataset.name} has joints "
            "in an image: set recipe.rotation=[0,0,0], or recipe.random_move=true instead"
        )


def check_target(job: Job) -> None:
    """Raise ``SettingError`` if the target is no class, or would have no effect."""
    if job.target not in ("random", "least_likely"):
        resolve_class(job.target, job.dataset.classes)
    if job.target == "least_likely" and "path" in job.settings["attack"]:
        raise SettingError("target=least_likely: clips from a file aim at what another victim found least likely")
    if job.target != "random" and not job.targeted:
        raise SettingError(f"target={job.target} has no effect on an untargeted attack: add targeted=true")


def check_origin(job: Job, prepared: Prepared) -> None:
    """Raise ``RunError`` if clips come from a run on other data or with another goal."""
    if "path" not in job.settings["attack"]:
        return
    run = Path(job.settings["attack"]["path"])
    if not (run / "run.json").exists():
        raise RunError(f"attack.path={run} is no finished run: it holds no run.json")
    made = read_json(run / "run.json")["settings"]
    ours = {"prepared": prepared.digest, "target": target_name(job), "targeted": job.targeted, "seed": job.seed}
    ours |= {f"dataset.{name}": value for name, value in model_settings(job)["dataset"].items()}
    theirs = {**made, **{f"dataset.{name}": value for name, value in made["dataset"].items()}}
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise RunError(f"attack.path={run} was made with {name}={theirs.get(name)}, not {value}")


def check_training(job: Job, role: Role, path: Path, about: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise ``CheckpointError`` if the weights were trained in a model of another meaning; warn of other data."""
    trained = about.get("settings", {}).get("model", {})
    for part in ("architecture", "preprocess"):
        for name, value in job.settings[role][part].items():
            if name in trained.get(part, {}) and trained[part][name] != value:
                raise CheckpointError(
                    f"{role}.{part}.{name}={value}, but {path} was trained with {trained[part][name]}: "
                    "set it so, or name other weights"
                )
    data = about.get("settings", {}).get("dataset", {})
    for name in ("space", "num_persons"):
        if name in data and data[name] != job.settings["dataset"][name]:
            raise CheckpointError(
                f"dataset.{name}={job.settings['dataset'][name]}, but {path} was trained with {data[name]}: "
                "set it so, or name other weights"
            )
    if trained_here(job, about, prepared) is False:
        other = about.get("dataset", "other clips")
        other = f"another {other} (by its clips or dataset.seed)" if other == job.dataset.name else other
        log(f"{path} was trained on {other}: clips of this test may have been its training clips")


def trained_here(job: Job, about: Mapping[str, Any], prepared: Prepared) -> bool | None:
    """Whether weights were trained on these very clips; None: on a dataset of this name, or nobody knows on what."""
    if about.get("dataset", job.dataset.name) != job.dataset.name:
        return False
    digest = about.get("settings", {}).get("prepared")
    return None if digest is None else bool(digest == prepared.digest)
