"""``task=detect``: detect the adversarial clips of a finished attack, one row per clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import DataError, RunError, SettingError
from skeleton_adv.core.progress import Progress, log
from skeleton_adv.core.ranges import Count, Range, Whole
from skeleton_adv.data.clips import Prepared, hashed_order
from skeleton_adv.defenses import none
from skeleton_adv.detectors import Detector, Examples, Score
from skeleton_adv.evaluation.detect import Detection, Fitting, Joint, chosen, held_out, threshold_of
from skeleton_adv.models.deep import Deep
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.identity import identity, source_of
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.schema import DETECTION
from skeleton_adv.tasks.fitting import load_part, save_part
from skeleton_adv.tasks.resume import Chunks, Plan, carry_out, facts_of, is_done, prepared_clips, test_clips
from skeleton_adv.tasks.saved import Ours, attack_run, attacked, of_run
from skeleton_adv.tasks.weights import Weights, check_victim, role_settings, weights_of
from skeleton_adv.train.fitted import Fitted

FITTING = 2  # raise it if fitted detectors change for the same settings


@dataclass(frozen=True)
class _Parts:
    """The numbers of the clips that the detector is fitted on, that choose its threshold, and that are judged."""

    training: Sequence[int]
    fit: Sequence[int]
    threshold: Sequence[int]
    judged: Sequence[int]


@dataclass(frozen=True)
class Task:
    """A detector on the features of a victim, and an attack whose clips it judges."""

    detector: Detector
    judged: str
    joint: Joint
    seed: Whole
    batch_size: Annotated[int, Range("[1, 4096]")]
    fit_on: Sequence[str] = ()
    fit_clips: str | None = None
    judged_clips: str | None = None
    per_class: Count | None = 8
    adaptive: bool = False
    targeted: bool = False

    def run(self, job: Job) -> Path:
        """Fit the detector unless it is fitted, and judge the clips; resume an unfinished run."""
        self.check(job)
        device, prepared = job.runtime.torch_device(), prepared_clips(job)
        weights = weights_of(job, job.victim)
        job, plan, run, fit_on, parts = self._begun(job, prepared, weights)
        folder, order, settings = plan.folder, plan.order, plan.settings
        if is_done(folder, order):
            return folder.path
        network, training = weights.load(prepared)
        progress = Progress(f"{job.choices['detector']} on {run.attack}, chunks of {self.batch_size}")
        victim = Victim(network, none, device, progress.pulse)
        score, threshold = self._fitted(job, Fitting(job.dataset, prepared, victim), parts, fit_on, settings)
        joint = self._joint(run) if self.adaptive else None
        detection = Detection(job.dataset, prepared, victim, score, threshold, attacked(run), joint, self.batch_size)
        facts = facts_of(job, plan, device) | training
        facts |= {"access": "adaptive" if self.adaptive else "oblivious"}
        facts |= {"randomised": False, "constraints": {}}
        work = partial(detection.run, order, append=folder.append, over=progress.over)
        return carry_out(plan, detection.columns, prepared, facts, work)

    def plan(self, job: Job, prepared: Prepared) -> Plan:
        """The rows that the job makes; nothing is computed or written."""
        return self._begun(job, prepared, weights_of(job, job.victim)).plan

    def _begun(self, job: Job, prepared: Prepared, weights: Weights) -> "_Begun":
        """What is known before anything is computed."""
        ours = Ours(weights.digest, prepared.digest, job.dataset_settings, self.targeted)
        run = attack_run(Path(self.judged), "judged", ours)
        fit_on = [attack_run(Path(path), "fit_on", ours) for path in self._fit_on]
        job = replace(job, choices={**job.choices, "attack": run.attack, "defense": "none"})
        settings = self.settings(job, prepared, weights, run, fit_on)
        parts = self._parts(job, prepared, run)
        what = f"{job.choices['detector']}_on_{run.attack}"
        plan = Plan.of(job, (what, settings, DETECTION), list(parts.judged), Chunks(self.batch_size))
        return _Begun(job, plan, run, fit_on, parts)

    @property
    def _fit_on(self) -> Sequence[str]:
        return self.fit_on if self.detector.supervised else ()

    def settings(
        self, job: Job, prepared: Prepared, weights: Weights, run: Run, fit_on: Sequence[Run]
    ) -> dict[str, Any]:
        """Every setting that can change a number of a row."""
        joint = {"joint": self._joint(run)} if self.adaptive else {}
        return {
            **self.fit_settings(job, prepared, weights, fit_on),
            **joint,
            "judged": of_run(run),
            "judged_clips": self.judged_clips,
            "attack": dict(run.settings["attack"]),
            "targeted": run.targeted,
            "target": run.target,
            "adaptive": self.adaptive,
            "batch_size": self.batch_size,
        }

    def fit_settings(self, job: Job, prepared: Prepared, weights: Weights, fit_on: Sequence[Run]) -> dict[str, Any]:
        """Every setting that the fitted detector and its threshold depend on."""
        return {
            **role_settings(job, job.victim),
            "detector": job.settings["detector"] | source_of(type(self.detector)),
            "fit_on": sorted((of_run(run) for run in fit_on), key=lambda one: one["run"]),
            "fit_clips": self.fit_clips,
            "per_class": self.per_class,
            "seed": self.seed,
            "checkpoint": weights.digest,
            "prepared": prepared.digest,
        }

    def check(self, job: Job) -> None:
        """Raise ``SettingError`` if these settings fit no detector."""
        check_victim(job.victim)
        if isinstance(self.fit_on, str):
            raise SettingError(f"fit_on={self.fit_on} must be a list of folders: fit_on=[{self.fit_on}]")
        if self.detector.supervised and not self.fit_on:
            raise SettingError(
                f"detector={job.choices['detector']} is fitted on adversarial clips: set fit_on=[FOLDER] to the "
                "folders of attacks with saved clips"
            )
        if (self.fit_clips is None) != (self.judged_clips is None):
            raise SettingError("fit_clips and judged_clips belong together: set both, or neither")

    def _parts(self, job: Job, prepared: Prepared, run: Run) -> _Parts:
        """The clips of each part; raises ``DataError`` or ``SettingError`` if one is empty or if clips are in two."""
        order, clips = test_clips(job, prepared), prepared.clips
        fit = chosen(clips, order, self.fit_clips, 0, self.per_class)
        saved = attacked(run).targets
        judged = [n for n in chosen(clips, order, self.judged_clips, 1, self.per_class) if n in saved]
        training = hashed_order(clips, "train")
        if not training:
            raise DataError(f"{job.dataset.name} has no training clips, which detectors require: choose another split")
        fit, threshold = held_out(fit)
        if {*fit, *threshold} & {*judged}:
            raise SettingError(
                f"fit_clips={self.fit_clips} and judged_clips={self.judged_clips} share clips: use patterns that "
                "share none"
            )
        for key, value, part in (
            ("fit_clips", self.fit_clips, threshold),
            ("judged_clips", self.judged_clips, judged),
        ):
            if not part:
                raise SettingError(f"{key}={value} matches too few test clips: use a wider pattern")
        return _Parts(training, fit, threshold, judged)

    def _joint(self, run: Run) -> dict[str, Any]:
        """The settings of the joint attack; raises ``SettingError`` if neither they nor the attack have a budget."""
        own = (self.joint.norm, self.joint.eps)
        norm, eps = own if own[0] else (run.of_attack.get("norm"), run.of_attack.get("eps"))
        if norm is None or eps is None:
            raise SettingError(
                f"adaptive=true: attack={run.attack} has no budget: set joint.norm and joint.eps, such as "
                "joint.norm=linf joint.eps=0.01"
            )
        return {"norm": norm, "eps": eps, "steps": self.joint.steps, "weights": list(self.joint.weights)}

    def _fitted(
        self, job: Job, fitting: Fitting, parts: _Parts, fit_on: Sequence[Run], settings: Mapping[str, Any]
    ) -> tuple[Score, float]:
        """The scores of the fitted detector, which is fitted once for all attacks that it judges, and its threshold."""
        own = {name: settings[name] for name in (*_FIT, "model", "dataset")}
        key = identity(own, FITTING)
        name = f"{job.choices['detector']}_{key}.safetensors"
        part, device = Fitted(Path(job.runtime.checkpoint_dir) / job.dataset.name / name, key), fitting.victim.device

        def work(scratch: Path) -> Mapping[str, Any]:
            log(f"fitting {job.choices['detector']} on {len(parts.fit)} test clips: {part.path}")
            examples = fitting.examples(parts.training, parts.fit, [attacked(run) for run in fit_on])
            natural = fitting.natural(parts.threshold)
            self._check_examples(examples, natural, job)
            tensors = self.detector.fit(examples, self.seed)
            with torch.no_grad():
                tensors["threshold"] = _threshold(self.detector.scorer(tensors)(natural))
            facts: dict[str, Any] = {
                "identity": key,
                "settings": own,
                "dataset": job.dataset.name,
                "command": job.command,
            }
            facts |= {"natural": len(examples.natural), "held_out": len(natural)}
            facts |= {"adversarial": [len(one) for one in examples.adversarial]}
            save_part(part.path, tensors, facts)
            return facts

        part.fit(work)
        tensors = load_part(part.path, device)
        return self.detector.scorer(tensors), float(tensors["threshold"])

    def _check_examples(self, examples: Examples, natural: Deep, job: Job) -> None:
        """Raise ``RunError`` if there is nothing to fit the detector on or to choose the threshold by."""
        if not len(examples.natural) or not len(natural):
            raise RunError(f"the victim {job.victim.option} classifies too few clips of fit_clips correctly")
        if self.detector.supervised and not any(len(one) for one in examples.adversarial):
            raise RunError(
                f"fit_on={[*self.fit_on]}: none of these attacks fools the victim on a clip of fit_clips that it "
                "classifies correctly: use stronger attacks, or save more clips"
            )


class _Begun(NamedTuple):
    """A job with the options of the judged attack, and what it works on."""

    job: Job
    plan: Plan
    run: Run
    fit_on: Sequence[Run]
    parts: _Parts


_FIT = ("detector", "fit_on", "fit_clips", "per_class", "seed", "checkpoint", "prepared")


def _threshold(scores: Tensor) -> Tensor:
    return torch.tensor(threshold_of(scores), dtype=torch.float64)
