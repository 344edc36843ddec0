"""``task=certify``: certify the test clips by randomized smoothing, one row per clip."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from skeleton_adv.certificates.radii import least_draws
from skeleton_adv.certificates.smoothing import Smoothing
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
from skeleton_adv.tasks.resume import carry_out, facts_of, is_done, prepared_clips, run_folder, test_clips
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
        weights = weights_of(job, job.victim)
        settings = self.settings(job, prepared, weights)
        folder = run_folder(job, "certify", settings, CERTIFICATE)
        everything = test_clips(job, prepared)
        order = everything[: job.runtime.limit]
        if is_done(folder, order):
            return folder.path
        network, training = weights.load(prepared)
        self._warn(training["trained_noise"])
        how = self.smoothing
        passes = -(-how.n0 // how.at_once) + -(-how.n // how.at_once) + 1
        what = f"certifying {job.victim.option}, {how.clips} clips at once"
        progress = Progress(what, None if how.stop else passes)
        victim = Victim(network, self.defense, device, progress.pulse)
        if victim.randomised:
            raise SettingError(
                f"defense={job.choices['defense']} draws its own noise: certify with defense=none or temporal_filter"
            )
        certification = Certification(job.dataset, prepared, victim, how, self.seed)

        def work(done: set[int]) -> None:
            certification.run(order, done, folder.append, progress.over, folder.path / ".counts.npz")

        facts = facts_of(job, settings, folder.path.name, device) | training
        facts |= {"total": len(everything), "access": "none", "randomised": False, "constraints": {}}
        return carry_out(folder, order, certification.columns, prepared, facts, work)

    def settings(self, job: Job, prepared: Prepared, weights: Weights) -> dict[str, Any]:
        """Every setting that can change a certificate."""
        return {
            **role_settings(job, job.victim),
            "defense": job.settings["defense"] | source_of(self.defense),
            "smoothing": job.settings["smoothing"],
            "seed": self.seed,
            "revision": REVISIONS["certificate"],
            "checkpoint": weights.digest,
            "prepared": prepared.digest,
        }

    def check(self, job: Job) -> None:
        """Raise ``SettingError`` if these settings certify nothing."""
        check_victim(job.victim)
        least = least_draws(self.smoothing.alpha)
        if self.smoothing.n < least:
            raise SettingError(
                f"smoothing.n={self.smoothing.n} draws certify nothing at smoothing.alpha={self.smoothing.alpha:g}: "
                f"use at least {least}"
            )
        check_defense(self.defense, str(job.choices["defense"]), job.dataset.skeleton)

    def _warn(self, trained: float | None) -> None:
        """Warn if a victim is certified with other noise than it was ``trained`` with; None: not recorded."""
        if trained != self.smoothing.sigma:
            known = "the noise of the victim's training is not recorded"
            known = known if trained is None else f"the victim was trained with noise of {trained:g}"
            here = f"it is certified with noise of {self.smoothing.sigma:g}"
            log(f"warning: {known}; {here}: certified accuracy may be low")
