"""``task=identify``: identify the adversarial clips of a finished attack by templates, one row per clip."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import Progress
from skeleton_adv.core.ranges import Range
from skeleton_adv.data.clips import Prepared, hashed_order
from skeleton_adv.defenses import none
from skeleton_adv.detectors.distances import Distance
from skeleton_adv.evaluation.identify import (
    Bones,
    Extractor,
    Gallery,
    Identification,
    Of,
    check_gallery,
    identities,
    matching,
)
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.schema import IDENTIFICATION
from skeleton_adv.tasks.resume import Chunks, Plan, carry_out, facts_of, is_done, prepared_clips, test_clips
from skeleton_adv.tasks.saved import Ours, attack_run, attacked, of_run
from skeleton_adv.tasks.weights import Weights, check_victim, role_settings, weights_of


@dataclass(frozen=True)
class Task:
    """A victim as an extractor of features, and an attack whose clips are identified by the nearest template."""

    judged: str
    batch_size: Annotated[int, Range("[1, 4096]")]
    of: Of = "actions"
    subject: str = "_(s[0-9]+)_"
    gallery: str | None = None
    probes: str | None = None
    layer: int = -1
    distance: Distance = "cosine"
    bones: Bones = "kept"
    targeted: bool = False

    def run(self, job: Job) -> Path:
        """Compute the templates, and identify the clips; resume an unfinished run."""
        self.check(job)
        device, prepared = job.runtime.torch_device(), prepared_clips(job)
        weights = weights_of(job, job.victim)
        job, plan, run, gallery = self._begun(job, prepared, weights)
        folder, order = plan.folder, plan.order
        if is_done(folder, order):
            return folder.path
        network, training = weights.load(prepared)
        progress = Progress(f"{self.of} after {run.attack}, chunks of {self.batch_size}")
        victim = Victim(network, none, device, progress.pulse)
        usual = gallery.usual(victim.device) if self.bones == "normalised" else None
        extractor = Extractor(victim, self.layer, self.distance, self.bones, usual)
        made = Identification(gallery, extractor, gallery.templates(extractor), attacked(run), self.of, self.batch_size)
        facts = facts_of(job, plan, device) | training
        facts |= {"access": run.access, "randomised": False, "constraints": {}}
        facts |= {"identities": gallery.names}
        work = partial(made.run, order, append=folder.append, over=progress.over)
        return carry_out(plan, made.columns, prepared, facts, work)

    def plan(self, job: Job, prepared: Prepared) -> Plan:
        """The rows that the job makes; nothing is computed or written."""
        return self._begun(job, prepared, weights_of(job, job.victim)).plan

    def _begun(self, job: Job, prepared: Prepared, weights: Weights) -> "_Begun":
        """What is known before anything is computed."""
        ours = Ours(weights.digest, prepared.digest, job.dataset_settings, self.targeted)
        run = attack_run(Path(self.judged), "judged", ours)
        job = replace(job, choices={**job.choices, "attack": run.attack, "defense": "none"})
        settings = self.settings(job, prepared, weights, run)
        gallery, probes = self._parts(job, prepared, run)
        what = f"{self.of}_after_{run.attack}"
        plan = Plan.of(job, (what, settings, IDENTIFICATION), probes, Chunks(self.batch_size))
        return _Begun(job, plan, run, gallery)

    def settings(self, job: Job, prepared: Prepared, weights: Weights, run: Run) -> dict[str, Any]:
        """Every setting that can change a number of a row."""
        own = ("of", "gallery", "probes", "layer", "distance", "bones", "batch_size")
        return {
            **role_settings(job, job.victim),
            **{name: getattr(self, name) for name in own},
            **({"subject": self.subject} if self.of == "subjects" else {}),
            "judged": of_run(run),
            "attack": dict(run.settings["attack"]),
            "targeted": run.targeted,
            "target": run.target,
            "checkpoint": weights.digest,
            "prepared": prepared.digest,
        }

    def check(self, job: Job) -> None:
        """Raise ``SettingError`` if these settings fit no identification."""
        check_victim(job.victim)
        if self.of == "subjects" and (self.gallery is None or self.probes is None):
            raise SettingError(
                "of=subjects needs gallery and probes, which share no clips: set both, such as gallery=*_t1|*_t2 "
                "probes=*_t3|*_t4"
            )
        if self.bones != "kept" and len(job.dataset.skeleton.coords) < 3:
            raise SettingError(
                f"bones={self.bones} has no meaning for {job.dataset.skeleton.name}, whose joints are in an image, "
                "where bones have no constant length: set bones=kept"
            )

    def _parts(self, job: Job, prepared: Prepared, run: Run) -> tuple[Gallery, list[int]]:
        """The clips of the templates and those to identify; raises ``SettingError`` if one is empty or if they overlap.

        Subjects have templates from training and test clips, because a dataset may be split by subject.
        """
        clips, saved = prepared.clips, attacked(run).targets
        training = hashed_order(clips, "train")
        known = training if self.of == "actions" else [*training, *hashed_order(clips, "test")]
        probes = [number for number in matching(clips, test_clips(job, prepared), self.probes) if number in saved]
        gallery = matching(clips, known, self.gallery)
        for key, part in (("gallery", gallery), ("probes", probes)):
            if not part:
                raise SettingError(f"{key}={getattr(self, key)} matches no clip: use a wider pattern")
        if {*gallery} & {*probes}:
            raise SettingError(
                f"gallery={self.gallery} and probes={self.probes} share clips: use patterns that share none"
            )
        who = identities(clips, job.dataset.classes, self.of, self.subject)
        found = Gallery(job.dataset, prepared, gallery, who)
        check_gallery(found.names, [who[number] for number in probes], self.gallery, self.of)
        return found, probes


class _Begun(NamedTuple):
    """A job with the options of the attack, and what it works on."""

    job: Job
    plan: Plan
    run: Run
    gallery: Gallery
