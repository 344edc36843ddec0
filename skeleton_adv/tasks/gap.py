"""``task=gap``: how often an attack survives its limits, and how often none can; one row per clip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from skeleton_adv.attacks import Attack, access_of, fit_of, passes_of, uses_labels, wants_pool
from skeleton_adv.certificates.largest import check_limits
from skeleton_adv.certificates.radii import least_draws
from skeleton_adv.certificates.smoothed import MeanSoftmax
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.certificates.spaces import space_of, used
from skeleton_adv.command.job import Job
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import Progress
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Whole
from skeleton_adv.data.clips import Prepared
from skeleton_adv.defenses import check_defense
from skeleton_adv.evaluation.certify import Certification
from skeleton_adv.evaluation.gap import Certificates, Gap
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.identity import REVISIONS, identity, source_of
from skeleton_adv.runs.schema import GAP
from skeleton_adv.tasks.fitting import fitted_defense
from skeleton_adv.tasks.resume import Chunks, Plan, carry_out, facts_of, is_done, prepared_clips, test_clips
from skeleton_adv.tasks.weights import Weights, check_victim, role_settings, weights_of

# Settings of attacks that are the limits of one constraint, with the constraint's own setting.
BUDGETS: Mapping[str, Mapping[str, str]] = {
    "bone_factor": {"factor_eps": "eps"},
    "view": {"degrees": "eps", "up": "up"},
    "ball": {"eps": "eps", "norm": "norm"},
}


@dataclass(frozen=True)
class Task:
    """An attack on a smoothed victim within limits, and the victim's certificates against all clips within them."""

    attack: Attack
    constraint: Mapping[str, Constraint]
    defense: Callable[[nn.Module], nn.Module]
    smoothing: Smoothing
    tolerance: Positive
    eot: Count
    confidence: NonNegative
    seed: Whole

    def run(self, job: Job) -> Path:
        """Judge the test clips; resume an unfinished run; do nothing if all clips are done."""
        self.check(job)
        device, prepared = job.runtime.torch_device(), prepared_clips(job)
        weights = weights_of(job, job.victim)
        plan = self.plan(job, prepared)
        folder, order = plan.folder, plan.order
        if is_done(folder, order):
            return folder.path
        network, training = weights.load(prepared)
        defense = fitted_defense(job, self.defense, network, prepared, weights, device)
        progress = Progress(f"{job.choices['attack']} and certificates of {job.victim.option}", plan.passes)
        victim = Victim(network, defense, device, progress.pulse)
        if victim.randomised:
            raise SettingError(
                f"defense={job.choices['defense']} draws its own noise: choose defense=none or temporal_filter"
            )
        how = Certification(job.dataset, prepared, victim, self.smoothing, self.seed)
        noise = {"space": space_of(self.smoothing), "sigma": self.smoothing.sigma, "draws": self.eot}
        attacked = Victim(network, lambda one: MeanSoftmax(defense(one), **noise), device, progress.pulse)  # type: ignore[arg-type]
        shared = self._certificates(job, plan.settings)
        made = Gap(how, attacked, self._limited(job), self.limits, self.confidence, shared)

        def work(done: set[int]) -> None:
            made.run(order, done, folder.append, progress.over, folder.path / ".counts.npz")

        facts = facts_of(job, plan, device) | training
        facts |= {"access": "adaptive", "randomised": True, "constraints": {}}
        facts |= {"remarks": [*training.get("remarks", []), *how.remarks(order)]}
        return carry_out(plan, made.columns, prepared, facts, work)

    @property
    def limits(self) -> dict[str, Constraint]:
        """The constraints, with each limit times the tolerance."""
        return {name: _times(name, one, self.tolerance) for name, one in self.constraint.items()}

    def plan(self, job: Job, prepared: Prepared) -> Plan:
        """The rows that the job makes; nothing is computed or written."""
        how, attack = self.smoothing, passes_of(self._limited(job))
        passes = -(-how.n0 // how.at_once) + 2 * -(-how.n // how.at_once) + 1
        return Plan.of(
            job,
            (f"gap_{job.choices['attack']}", self.settings(job, prepared, weights_of(job, job.victim)), GAP),
            test_clips(job, prepared),
            Chunks(how.clips, None if attack is None else passes + attack, how.clips * how.at_once, backward=True),
        )

    def settings(self, job: Job, prepared: Prepared, weights: Weights) -> dict[str, Any]:
        """Every setting that can change a number of a row."""
        taken = {*self._taken(job), "constraints"}
        attack = {name: value for name, value in job.settings["attack"].items() if name not in taken}
        revision = REVISIONS.get(str(attack["_target_"]).rpartition(".")[2])
        return {
            **role_settings(job, job.victim),
            "defense": job.settings["defense"] | source_of(self.defense),
            "attack": attack | ({"revision": revision} if revision else {}) | source_of(self.attack),
            "constraint": job.settings["constraint"],
            "tolerance": self.tolerance,
            "smoothing": used(job.settings["smoothing"]),
            "eot": self.eot,
            "confidence": self.confidence,
            "seed": self.seed,
            "revision": REVISIONS["certificate"],
            "targeted": False,
            "target": None,
            "checkpoint": weights.digest,
            "prepared": prepared.digest,
        }

    def check(self, job: Job) -> None:
        """Raise ``SettingError`` if these settings certify nothing, or if the attack does not know the limits."""
        check_victim(job.victim)
        space = space_of(self.smoothing)
        space.check(job.dataset.skeleton, job.dataset.num_frames)
        check_limits(space, self.smoothing.space, self.constraint, str(job.choices["constraint"]))
        least = least_draws(self.smoothing.alpha)
        if self.smoothing.n < least:
            raise SettingError(
                f"smoothing.n={self.smoothing.n} draws certify nothing at smoothing.alpha={self.smoothing.alpha:g}: "
                f"use at least {least}"
            )
        check_defense(self.defense, str(job.choices["defense"]), job.dataset.skeleton)
        name = f"attack={job.choices['attack']}"
        if wants_pool(self.attack) or fit_of(self.attack):
            raise SettingError(f"{name} is fitted on training clips: choose another attack, such as admm_feasible")
        if access_of(self.attack) not in ("gradients", "scores") or not uses_labels(self.attack):
            raise SettingError(f"{name} does not use the victim's scores: choose another attack, such as admm_feasible")
        self._limited(job)

    def _taken(self, job: Job) -> dict[str, Any]:
        """The settings of the attack that are limits of the constraint."""
        known, limits = signature(self.attack).parameters, self.limits
        budgets = {
            key: getattr(limits[name], own) for name in BUDGETS if name in limits for key, own in BUDGETS[name].items()
        }
        return {key: value for key, value in budgets.items() if key in known}

    def _limited(self, job: Job) -> Attack:
        """The attack within the limits; raises ``SettingError`` if it does not take limits of this kind."""
        taken = self._taken(job)
        attack: Callable[..., Any] = self.attack
        if "constraints" in signature(self.attack).parameters:
            return partial(attack, constraints=self.limits, **taken)
        if not taken or len(self.constraint) > 1:
            raise SettingError(
                f"attack={job.choices['attack']} does not stay within constraint={job.choices['constraint']}: use "
                "admm_feasible for limits on bones, angles and speeds, bone_length with constraint=bone10, or yaw with "
                "constraint=yaw10"
            )
        return partial(attack, **taken)

    def _certificates(self, job: Job, settings: Mapping[str, Any]) -> Certificates:
        """The certificates of clean clips, shared by the runs of a sweep that differ in limits and attacks only."""
        of_limits = ("attack", "constraint", "tolerance", "eot", "confidence")
        kept = {name: value for name, value in settings.items() if name not in of_limits}
        found: Certificates = job.session.usual.setdefault(f"gap {identity(kept, GAP.schema)}", {})
        return found


def _times(name: str, constraint: Constraint, tolerance: float) -> Constraint:
    """The constraint with its limit times ``tolerance``; raises ``SettingError`` if there is no such constraint."""
    limit: Any = constraint
    eps = getattr(limit, "eps", None)
    if eps is None:
        raise SettingError(f"constraint.{name} has no eps, which tolerance multiplies: choose another constraint=...")
    try:
        changed: Constraint = replace(limit, eps=eps * tolerance)
    except SettingError as error:
        raise SettingError(f"tolerance={tolerance:g}: {error}") from None
    return changed
