"""``task=certify``: certify the test clips by randomized smoothing, one row per clip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from skeleton_adv.certificates.radii import least_draws
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.certificates.spaces import space_of, used
from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import Progress, log
from skeleton_adv.core.ranges import Whole
from skeleton_adv.data.clips import Prepared
from skeleton_adv.defenses import check_defense
from skeleton_adv.evaluation.certify import Certification
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.identity import REVISIONS, source_of
from skeleton_adv.runs.schema import CERTIFICATE
from skeleton_adv.tasks.fitting import fitted_defense
from skeleton_adv.tasks.resume import Chunks, Plan, carry_out, facts_of, is_done, prepared_clips, test_clips
from skeleton_adv.tasks.weights import Weights, check_victim, role_settings, weights_of


@dataclass(frozen=True)
class Task:
    """Certificates of the victim under noise, with any defense that draws no noise."""

    defense: Callable[[nn.Module], nn.Module]
    smoothing: Smoothing
    seed: Whole

    def run(self, job: Job) -> Path:
        """Certify the test clips; resume an unfinished run, even within a clip; do nothing if all clips are done."""
        self.check(job)
        device, prepared = job.runtime.torch_device(), prepared_clips(job)
        plan = self.plan(job, prepared)
        folder, order = plan.folder, plan.order
        if is_done(folder, order):
            return folder.path
        weights = weights_of(job, job.victim)
        network, training = weights.load(prepared)
        defense = fitted_defense(job, self.defense, network, prepared, weights, device)
        how = self.smoothing
        what = f"certifying {job.victim.option}, {how.clips} clips at once"
        progress = Progress(what, None if how.stop else plan.passes)
        victim = Victim(network, defense, device, progress.pulse)
        self._warn(training, getattr(victim.module, "removes", None))
        if victim.randomised:
            raise SettingError(
                f"defense={job.choices['defense']} draws its own noise: certify with defense=none or temporal_filter"
            )
        certification = Certification(job.dataset, prepared, victim, how, self.seed)

        def work(done: set[int]) -> None:
            certification.run(order, done, folder.append, progress.over, folder.path / ".counts.npz")

        facts = facts_of(job, plan, device) | training
        facts |= {"access": "none", "randomised": False, "constraints": {}}
        facts["remarks"] = [*training.get("remarks", []), *certification.remarks(order)]
        return carry_out(plan, certification.columns, prepared, facts, work)

    def plan(self, job: Job, prepared: Prepared) -> Plan:
        """The rows that the job makes; nothing is computed or written."""
        how = self.smoothing
        passes = -(-how.n0 // how.at_once) + -(-how.n // how.at_once) + 1
        return Plan.of(
            job,
            ("certify", self.settings(job, prepared, weights_of(job, job.victim)), CERTIFICATE),
            test_clips(job, prepared),
            Chunks(how.clips, passes, how.clips * how.at_once, backward=False),
        )

    def settings(self, job: Job, prepared: Prepared, weights: Weights) -> dict[str, Any]:
        """Every setting that can change a certificate."""
        return {
            **role_settings(job, job.victim),
            "defense": job.settings["defense"] | source_of(self.defense),
            "smoothing": used(job.settings["smoothing"]),
            "seed": self.seed,
            "revision": REVISIONS["certificate"],
            "checkpoint": weights.digest,
            "prepared": prepared.digest,
        }

    def check(self, job: Job) -> None:
        """Raise ``SettingError`` if these settings certify nothing."""
        check_victim(job.victim)
        space_of(self.smoothing).check(job.dataset.skeleton, job.dataset.num_frames)
        least = least_draws(self.smoothing.alpha)
        if self.smoothing.n < least:
            raise SettingError(
                f"smoothing.n={self.smoothing.n} draws certify nothing at smoothing.alpha={self.smoothing.alpha:g}: "
                f"use at least {least}"
            )
        check_defense(self.defense, str(job.choices["defense"]), job.dataset.skeleton)

    def _warn(self, training: Mapping[str, Any], removed: float | None) -> None:
        """Warn if a victim is certified with other noise than that of its ``training``, whose facts these are.

        ``removed`` is the noise that its defense was fitted to remove, if it removes any.
        """
        trained, space = training["trained_noise"], training["training"].get("space", "joints")
        if trained and space != self.smoothing.space:
            what = f"trained with noise on {space}; it is certified with noise on {self.smoothing.space}"
            log(f"warning: the victim was {what}: certified accuracy may be low")
        elif self.smoothing.sigma not in (trained, removed):
            known = "the noise of the victim's training is not recorded"
            known = known if trained is None else f"the victim was trained with noise of {trained:g}"
            known = known if removed is None else f"the defense removes noise of {removed:g}"
            here = f"it is certified with noise of {self.smoothing.sigma:g}"
            log(f"warning: {known}; {here}: certified accuracy may be low")
