"""Law: a setting changes the identity exactly if it can change a number; the others are listed here."""

from collections.abc import Mapping
from fnmatch import fnmatch
from types import SimpleNamespace
from typing import Any

import pytest
from jobs import job_of, of_saved_clips
from omegaconf import OmegaConf

from skeleton_adv import tasks
from skeleton_adv.certificates.spaces import SETTINGS, SPACES
from skeleton_adv.command.build import build_job
from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import SettingError
from skeleton_adv.runs.identity import identity
from skeleton_adv.runs.schema import DETECTION, GAP, IDENTIFICATION
from skeleton_adv.tasks import attack, certify, detect, gap, identify, train
from skeleton_adv.tasks.weights import Weights

WEIGHTS = Weights("0" * 64, lambda prepared: pytest.fail("the weights are not loaded"))
IDLE = (  # they choose a part that is identified by its digest, the device, folders, limits or further columns
    *("task", "launcher", "runtime.*", "*.checkpoint", "dataset.root", "dataset.on_error", "plausibility"),
)
OF_SPACES = tuple(f"smoothing.{name}" for name in SETTINGS)
CASES = {
    "attack": ([], ("model.seed", "training.*", "surrogate_training.*", "target", "adaptive", "judgements")),
    "targeted": (["targeted=true"], ("model.seed", "training.*", "surrogate_training.*", "adaptive", "judgements")),
    "defended": (["defense=noise_filter"], ("model.seed", "training.*", "surrogate_training.*", "target")),
    "denoised": (["defense=denoiser"], ("model.seed", "training.*", "surrogate_training.*", "target")),
    "transfer": (
        ["model@surrogate=hcn", "targeted=true"],
        ("model.seed", "surrogate.seed", "training.*", "surrogate_training.*", "adaptive", "judgements"),
    ),
    **{
        f"attack={name}": (
            [f"attack={name}"],
            ("model.seed", "training.*", "surrogate_training.*", "target", "adaptive", "judgements"),
        )
        for name in ("cw", "pgd", "admm_released")
    },
    # The attack has the limits of the constraint, times the tolerance.
    "gap": (["task=gap"], ("model.seed", "training.*", "attack.constraints.*", *OF_SPACES)),
    "certify": (["task=certify"], ("model.seed", "training.*", *OF_SPACES)),
    **{
        f"certify {space}": (
            ["task=certify", f"smoothing.space={space}"],
            ("model.seed", "training.*", *(key for key in OF_SPACES if key.partition(".")[2] not in SPACES[space])),
        )
        for space in ("correlated_yaw", "dct")
    },
    **{
        f"detect by {name}": (
            [
                *("task=detect", f"detector={name}", "judged=RUN", "fit_on=[RUN]", "fit_clips=a", "judged_clips=b"),
                *("adaptive=true", "joint.norm=linf", "joint.eps=0.01"),
            ],
            ("model.seed", "training.*", "judged", "fit_on", "targeted"),  # runs are identified by their contents
        )
        for name in ("lstm", "mahalanobis")
    },
    "identify": (
        ["task=identify", "judged=RUN", "of=subjects", "gallery=a", "probes=b"],
        ("model.seed", "training.*", "judged", "targeted"),
    ),
    "train": (["task=train", "dataset=utd_mhad"], ("batch_size",)),
    "train under noise": (
        ["task=train", "dataset=utd_mhad", "training=noise", "recipe.held_out=0"],
        ("batch_size", *(f"training.{name}" for name in SETTINGS)),
    ),
    **{
        f"train by {name}": (["task=train", "dataset=utd_mhad", f"training={name}"], ("batch_size",))
        for name in ("trades", "pcl", "msvdd")
    },
}
# The growth of training noise, in a training without noise.
IDLE_CASES = {
    **dict.fromkeys(("train", "train by trades", "train by msvdd"), ("recipe.noise_warmup",)),
    # From clean weights, the rate falls along a cosine and all epochs run; a network of few streams has its layers.
    "train by pcl": tuple(
        f"recipe.{name}" for name in ("noise_warmup", "schedule", "milestones", "warmup", "held_out")
    ),
}
# Cases that differ from another one in these settings only.
PARTS = {
    "attack=": ("attack.",),
    "certify ": ("smoothing.",),
    "denoised": ("defense.",),
    "train ": ("training.", "recipe."),
}
WORDS: Mapping[str, tuple[Any, ...]] = {
    "target": ("least_likely",),
    "keep": ("best",),
    "reduction": ("sum", "mean"),
    "targeted_loss": ("margin",),
    "reading": ("velocity", "speed"),
    "norm": ("l2",),
    "direction": ("value",),
    "loss": ("margin",),
    "protocol": ("cv",),
    "space": ("normalised", "bones", "scale"),
    "label": ("subject",),
    "split": ("train",),
    "up": ("z", "y"),
    "joint_scales": ({"head": 2.0},),
    "shard": ("1/1",),
    "motion": ("zero_first",),
    "optimiser": ("sgd",),
    "schedule": ("exponential",),
    "on_error": ("skip",),
    "taps": (7,),
    "start": ("clean", "ddn"),
    "start_from": ("clean", "random"),
    "mode": ("train", "eval"),
    "layers": (("fc7",),),
    "network": ("mlp",),
    "representative": ("centroid",),
    "distance": ("l2",),
    "of": ("actions",),
    "bones": ("alone",),
    "objective": ("stability",),
}


def identity_of(job: Job) -> str:
    prepared: Any = SimpleNamespace(digest="0" * 64)
    if isinstance(job.task, attack.Task):
        return identity(job.task.settings(job, prepared, {"model": WEIGHTS, "surrogate": WEIGHTS}), 2)
    if isinstance(job.task, certify.Task):
        return identity(job.task.settings(job, prepared, WEIGHTS), 2)
    if isinstance(job.task, gap.Task):
        return identity(job.task.settings(job, prepared, WEIGHTS), GAP.schema)
    if isinstance(job.task, detect.Task):
        return identity(of_saved_clips(job, prepared, WEIGHTS), DETECTION.schema)
    if isinstance(job.task, identify.Task):
        return identity(of_saved_clips(job, prepared, WEIGHTS), IDENTIFICATION.schema)
    assert isinstance(job.task, train.Task)
    return identity(job.task.settings(job, prepared), 1)


def leaves(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        return {prefix.rstrip("."): settings}
    return {key: leaf for name, part in settings.items() for key, leaf in leaves(part, f"{prefix}{name}.").items()}


def others(key: str, value: Any) -> list[Any]:
    """Other values that the key may have."""
    name = key.rpartition(".")[2]
    if name in WORDS:
        return [word for word in WORDS[name] if word != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value + 16, value - 1, 0.5]
    if isinstance(value, float):
        return [value / 2, value * 2] if value else [0.25]
    if isinstance(value, list):
        return [[1, 2, 3], []]
    return [7, "elsewhere", "cpu"]


def changed_to(settings: Mapping[str, Any], key: str, value: Any) -> Any:
    first, _, rest = key.partition(".")
    return {**settings, first: changed_to(settings[first], rest, value) if rest else value}


@pytest.mark.cases(4)
@pytest.mark.parametrize("case", list(CASES))
def test_a_setting_changes_the_identity_exactly_if_it_can_change_a_number(case: str) -> None:
    words, own = CASES[case]
    idle = (*IDLE, *own, *IDLE_CASES.get(case, ()))
    base = job_of(words)
    before, wrong, tried = identity_of(base), [], 0
    parts = next((parts for start, parts in PARTS.items() if case.startswith(start)), ("",))
    for key, value in leaves(base.settings).items():
        if not key.startswith(parts):
            continue
        if key.rpartition(".")[2] in ("_target_", "_partial_", "task") or key == "surrogate":
            continue
        if key == "runtime.shard" and not hasattr(base.task, "plan"):  # refused, because the task has no rows
            continue
        job = None
        for other in others(key, value):
            config = OmegaConf.create(changed_to(base.settings, key, other))
            try:
                job = build_job(config, base.choices, words, words, tasks.find)
                break
            except SettingError:
                continue
        assert job is not None, f"no other value was found for {key}={value}"
        tried += 1
        if (identity_of(job) != before) is any(fnmatch(key, pattern) for pattern in idle):
            wrong.append(key)
    assert not wrong and tried > (3 if parts != ("",) else 15)
