"""``task=attack``: attack the test or the training clips, one row per clip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from torch import nn

from skeleton_adv import attacks
from skeleton_adv.attacks import Attack, AttackResult
from skeleton_adv.command.job import Job
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.errors import RunError, SettingError
from skeleton_adv.core.masks import allowed, joint_budgets
from skeleton_adv.core.progress import Progress
from skeleton_adv.core.ranges import Count, Range, Whole
from skeleton_adv.data.clips import Prepared, Split, hashed_order
from skeleton_adv.defenses import check_defense, none
from skeleton_adv.evaluation.attack import Evaluation
from skeleton_adv.evaluation.made import Kept
from skeleton_adv.evaluation.plausibility import Plausibility
from skeleton_adv.evaluation.pool import TrainingPool, batches
from skeleton_adv.evaluation.targets import Target, resolve_class
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.clips import PAIR, SavedClips
from skeleton_adv.runs.costs import JUDGING
from skeleton_adv.runs.identity import REVISIONS, identity, source_of
from skeleton_adv.runs.schema import ATTACK
from skeleton_adv.tasks.fitting import fitted_defense, fitted_part
from skeleton_adv.tasks.judged import Origin, origin_folder, read_origin, reading, with_label
from skeleton_adv.tasks.resume import (
    Chunks,
    Plan,
    carry_out,
    facts_of,
    is_done,
    prepared_clips,
    test_clips,
    training_clips,
)
from skeleton_adv.tasks.sizing import attacked_in_memory, size_of
from skeleton_adv.tasks.weights import Weights, check_victim, gives_features, role_settings, weights_of

SEEDED = ("random", "least_likely")  # targets that are not class names
OF_THE_ATTACK = ("attack", "constraint", "targeted", "target", "adaptive", "surrogate", "surrogate_checkpoint")


@dataclass(frozen=True)
class Task:
    """An attack on a defended victim, on its undefended network, or on a surrogate."""

    attack: Attack
    constraint: Mapping[str, Constraint]
    defense: Callable[[nn.Module], nn.Module]
    targeted: bool
    target: Target
    adaptive: bool
    judgements: Count
    seed: Whole
    batch_size: Annotated[int, Range("[1, 4096]")] | Literal["auto"]
    plausibility: bool = False
    split: Split = "test"

    def run(self, job: Job) -> Path:
        """Attack the clips; resume an unfinished run; do nothing if all clips are done."""
        self.check(job)
        task, job = self._found(job)
        if task is not self:
            return task.run(job)
        prepared = prepared_clips(job)
        return attacked_in_memory(self, job, prepared) if self.batch_size == "auto" else self.attacked(job, prepared)

    def attacked(self, job: Job, prepared: Prepared) -> Path:
        """The folder of the run with its rows; the number of clips per chunk is known."""
        device = job.runtime.torch_device()
        weights = self._weights(job)
        plan = self.plan(job, prepared)
        folder, order = plan.folder, plan.order
        clips_saved = partial(self._clips_saved, job, folder.path, order)
        if is_done(folder, order, clips_saved):
            return folder.path
        name = f"{job.choices['attack']} on {job.victim.option}, chunks of {self.size}"
        progress = Progress(name, plan.passes)
        facts = facts_of(job, plan, device)
        evaluation, training = self._evaluation(job, prepared, weights, facts, device, progress)
        facts |= training | self._facts(job, evaluation, facts["settings"])
        facts |= {"skipped_files": len(prepared.skipped), **self._source(job, self._read_origin(job))}
        made_by = {"run": plan.identity, "dataset": job.dataset.name, "prepared": prepared.digest}
        made_by |= {key: str(facts[key]) for key in ("device", "git_commit", "versions")}

        def work(done: set[int]) -> None:
            def keep(numbers: list[int], rows: list[dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> None:
                folder.compare(rows)
                # Clips of a process that died before writing their rows may come from another machine.
                SavedClips(folder.path).save(numbers, arrays, made_by, overwrite=not done.issuperset(numbers))

            save, saved = (keep, self._saved(job, folder.path)) if job.runtime.saving else (None, set[int]())
            evaluation.run(order, done, folder.append, progress.over, save, saved, folder.path / ".stages.npz")

        return carry_out(plan, evaluation.columns, prepared, facts, work, clips_saved)

    def plan(self, job: Job, prepared: Prepared) -> Plan:
        """The rows that the job makes; nothing is computed or written."""
        task, job = self._found(job)
        if task is not self:
            return task.plan(job, prepared)
        if self.batch_size == "auto":
            return self.of_size(size_of(self, job, prepared)).plan(job, prepared)
        everything, usable = self._clips(job, prepared, self._read_origin(job))
        settings = self.settings(job, prepared, self._weights(job))
        # An ensemble counts the passes of its members, of which an attack may call each alone.
        together = job.surrogate is not None and job.surrogate.members
        passes = None if together else attacks.passes_of(self.attack)
        return Plan.of(
            job,
            (str(job.choices["attack"]), settings, ATTACK),
            usable,
            Chunks(self.size, None if passes is None else passes + JUDGING, self.size, backward=True),
            total=len(everything),
        )

    @property
    def size(self) -> int:
        """The clips per chunk, where it is known."""
        assert self.batch_size != "auto"
        return self.batch_size

    def of_size(self, size: int) -> "Task":
        """The task with this number of clips per chunk."""
        return replace(self, batch_size=size)

    def attacked_network(self, job: Job, prepared: Prepared, device: str) -> Victim:
        """The network that the attack sees, with its weights."""
        return self._networks(job, prepared, self._weights(job), device, Progress("", None))[1]

    def _found(self, job: Job) -> "tuple[Task, Job]":
        """The task and the job, with the run whose clips are read if a folder above it is given."""
        path = self._origin(job)
        if path is None or (found := origin_folder(path, self.split)) == path:
            return self, job
        reads: Callable[..., AttackResult] = self.attack
        return replace(self, attack=partial(reads, path=str(found))), reading(job, found)

    def _weights(self, job: Job) -> dict[str, Weights]:
        return {role.key: weights_of(job, role) for role in job.roles}

    def settings(self, job: Job, prepared: Prepared, weights: Mapping[str, Weights]) -> dict[str, Any]:
        """Every setting that can change a number of a row."""
        more: dict[str, Any] = {}
        if job.surrogate is not None:
            more |= role_settings(job, job.surrogate) | {"surrogate_checkpoint": weights["surrogate"].digest}
        if self.split != "test":
            more |= {"split": self.split}
        if job.choices["defense"] != "none":
            more |= {"adaptive": self.adaptive, "judgements": self.judgements}
        return {
            **more,
            **role_settings(job, job.victim),
            "constraint": job.settings["constraint"],
            "defense": job.settings["defense"] | source_of(self.defense),
            "targeted": self.targeted,
            "seed": self.seed,
            "batch_size": self.size,
            "attack": self._attack_settings(job),
            "target": self._target_name(job),
            "checkpoint": weights["model"].digest,
            "prepared": prepared.digest,
        }

    def check(self, job: Job) -> None:
        """Raise ``SettingError`` if a setting has no effect or no meaning."""
        if not self.adaptive and job.choices["defense"] == "none":
            raise SettingError("adaptive=false has no effect without a defense: choose one with defense=...")
        if not self.adaptive and job.surrogate is not None:
            raise SettingError("adaptive=false has no effect with a surrogate, which has no defense: remove either")
        if job.runtime.save_trace and "trace" not in signature(self.attack).parameters:
            raise SettingError(
                f"runtime.save_trace=true: attack={job.choices['attack']} keeps no trace: choose attack=admm"
            )
        if self.targeted and not attacks.aims(self.attack):
            raise SettingError(f"targeted=true: attack={job.choices['attack']} has no target: set targeted=false")
        if self.target not in SEEDED:
            resolve_class(self.target, job.dataset.classes)
        if self.target == "least_likely" and self._origin(job):
            raise SettingError(
                f"target=least_likely cannot be used with attack={job.choices['attack']}, because the least likely "
                "class depends on the victim: choose another target"
            )
        if self.target != "random" and not self.targeted:
            raise SettingError(f"target={self.target} has no effect on an untargeted attack: add targeted=true")
        if self.batch_size == "auto" and job.runtime.shard is not None:
            raise SettingError("batch_size=auto: all shards of a run must have one size: set batch_size to a number")
        check_defense(self.defense, str(job.choices["defense"]), job.dataset.skeleton)
        self._check_classes(job)
        own = job.settings["attack"]
        allowed(job.dataset.skeleton, job.dataset.num_frames, own.get("joints"), own.get("frames"))
        joint_budgets(job.dataset.skeleton, own.get("joint_eps") or {})

    def _check_classes(self, job: Job) -> None:
        """Raise ``SettingError`` if the attack or a network lacks the classes that the other one requires."""
        check_victim(job.victim)
        if job.surrogate is None or not gives_features(job.surrogate):
            return
        if attacks.uses_labels(self.attack):
            raise SettingError(
                f"surrogate={job.surrogate.option} returns features, but attack={job.choices['attack']} uses classes: "
                "choose attack=no_box, or another surrogate"
            )
        if job.surrogate.training.supervised and job.surrogate.given is None:
            raise SettingError(
                f"surrogate={job.surrogate.option} is trained without labels: add surrogate_training=contrastive"
            )

    def _facts(self, job: Job, evaluation: Evaluation, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The facts in ``run.json`` about the attack's access to the victim and the constraints."""
        return {
            "access": self._access(job, settings),
            "randomised": evaluation.victim.randomised,
            "minimises": attacks.minimises(self.attack),
            "members": [] if job.surrogate is None else [member.option for member in job.surrogate.members],
            "constraints": {
                name: {"symbol": one.symbol, "unit": one.unit, "remark": one.remark(job.dataset.skeleton)}
                for name, one in self.constraint.items()
            },
        }

    def _access(self, job: Job, settings: Mapping[str, Any]) -> str:
        """The attack's access to the victim that judges it."""
        access, origin = attacks.strongest_access(self.attack), self._read_origin(job)
        if origin is not None:
            return origin.access(settings)
        if access == "none":
            return "none"
        if job.surrogate is not None:
            return "none" if gives_features(job.surrogate) else "transfer"
        if not self.adaptive:  # it sees the undefended network only
            return "oblivious"
        if access != "gradients":
            return access
        return "white box" if job.choices["defense"] == "none" else "adaptive"

    def _target_name(self, job: Job) -> str | None:
        """The target as one name, however it was given; None if untargeted."""
        if not self.targeted:
            return None
        if self.target in SEEDED:
            return str(self.target)
        return job.dataset.classes[resolve_class(self.target, job.dataset.classes)]

    def _origin(self, job: Job) -> Path | None:
        """The run whose saved clips the attack reuses, if any."""
        path = job.settings["attack"].get("path")
        return None if path is None else Path(path)

    def _read_origin(self, job: Job) -> Origin | None:
        path = self._origin(job)
        return None if path is None else read_origin(path)

    def _attack_settings(self, job: Job) -> dict[str, Any]:
        """An attack's settings, with saved clips identified by content, not by path; and its revision."""
        own, origin = dict(job.settings["attack"]), self._origin(job)
        shares = REVISIONS["stages"] if attacks.stages_of(self.attack, self.targeted) else None
        revision = REVISIONS.get(str(own["_target_"]).rpartition(".")[2], shares)
        own |= {"revision": revision} if revision else {}
        own |= source_of(self.attack)
        return own | {"path": SavedClips(origin).digest()} if origin else own

    def _clips(self, job: Job, prepared: Prepared, origin: Origin | None) -> tuple[list[int], list[int]]:
        """The clips to attack, and those of them that can be attacked, which differ for saved clips of other labels.

        Raises ``RunError`` if the saved clips are from a run on other data or with another goal.
        """
        clips = test_clips(job, prepared) if self.split == "test" else training_clips(job, prepared)
        if origin is None:
            return clips, clips
        ours: dict[str, Any] = {"prepared": prepared.digest, "target": self._target_name(job)}
        ours |= {"targeted": self.targeted, "seed": self.seed, "split": self.split}
        settings, foreign = dict(job.dataset_settings), origin.label != job.dataset.label
        if foreign:
            self._check_labels(job, origin)
            relabelled = prepared_clips(with_label(job, origin.label))
            ours["prepared"] = relabelled.digest
            settings.pop("label", None)
        origin.check(ours | {f"dataset.{name}": value for name, value in settings.items()})
        if not foreign:
            return clips, clips
        common = origin.common(clips, relabelled)
        return common, self._some(origin.saved(common), job, origin)

    def _check_labels(self, job: Job, origin: Origin) -> None:
        """Raise ``SettingError`` if clips that were attacked with other labels cannot be judged in this way."""
        if self.targeted or self.split != "test":
            raise SettingError(
                f"attack.path={origin.folder} attacks a recogniser of {origin.label}s, but dataset.label="
                f"{job.dataset.label}: its clips can be judged with targeted=false split=test only"
            )

    def _some(self, numbers: list[int], job: Job, origin: Origin) -> list[int]:
        """The clips; raises ``RunError`` if there are none."""
        if not numbers:
            raise RunError(
                f"attack.path={origin.folder} has saved no clip that is also a test clip with dataset.label="
                f"{job.dataset.label}: attack more clips"
            )
        return numbers

    def _source(self, job: Job, origin: Origin | None) -> dict[str, Any]:
        """The facts about the origin of the clips.

        Runs on other clips than the dataset's test clips belong to a dataset of their own in the tables.
        """
        name = job.dataset.name if self.split == "test" else f"{job.dataset.name}_train"
        if origin is None:
            return {"dataset": name}
        facts = origin.facts()
        if origin.label == job.dataset.label:
            return {"dataset": name, "origin": facts}
        theirs = {"dataset": facts["dataset"], "stands_for": origin.about.get("stands_for")}
        return theirs | {"origin": facts}

    def _saved(self, job: Job, run: Path) -> set[int]:
        """The clips that are saved with everything that the job keeps."""
        return {*SavedClips(run).locations(*PAIR, *(["trace.loss"] if job.runtime.save_trace else []))}

    def _clips_saved(self, job: Job, run: Path, order: list[int]) -> bool:
        return not job.runtime.saving or self._saved(job, run) >= {*order}

    def _check_posterior(self, job: Job, attacked: Victim) -> None:
        """Raise ``SettingError`` if the attack draws networks from a posterior that the attacked one does not have."""
        if attacks.wants_posterior(self.attack) and not getattr(attacked.module, "has_posterior", False):
            where = "training" if job.surrogate is None else "training@surrogate_training"
            raise SettingError(
                f"attack={job.choices['attack']} draws networks from a posterior, which the attacked network does not "
                f"have: choose {where}=tasar or {where}=ba"
            )

    def _evaluation(
        self,
        job: Job,
        prepared: Prepared,
        weights: Mapping[str, Weights],
        facts: Mapping[str, Any],
        device: str,
        progress: Progress,
    ) -> tuple[Evaluation, dict[str, Any]]:
        """The evaluation that a job requests, and facts of the victim's training; ``facts`` are the others."""
        settings = facts["settings"]
        victim, attacked, training = self._networks(job, prepared, weights, device, progress)
        self._check_posterior(job, attacked)
        traced: Callable[..., AttackResult] = self.attack  # ``check`` has seen that it takes a trace
        pool = TrainingPool(job.dataset, prepared, device)
        same = ("targeted", "target", "seed", "judgements")
        evaluation = Evaluation(
            **{name: getattr(self, name) for name in same},
            batch_size=self.size,
            dataset=job.dataset,
            attack=partial(traced, trace=True) if job.runtime.save_trace else self.attack,
            prepared=prepared,
            victim=victim,
            attacked=attacked,
            constraints=self.constraint,
            clean=job.session.clean.setdefault(_victim_alone(settings, device), {}),
            pool=pool,
            fitted=fitted_part(job, self.attack, attacked, pool, _attack_alone(settings)),
            plausibility=_plausibility(job, prepared, device) if self.plausibility else None,
            kept=self._kept(job, facts),
        )
        return evaluation, training

    def _networks(
        self, job: Job, prepared: Prepared, weights: Mapping[str, Weights], device: str, progress: Progress
    ) -> tuple[Victim, Victim, dict[str, Any]]:
        """The victim, the network that is attacked, and the facts about their trainings."""
        defended = partial(Victim, device=device, on_call=progress.pulse)
        network, training = weights["model"].load(prepared)
        victim = defended(network, fitted_defense(job, self.defense, network, prepared, weights["model"], device))
        if job.surrogate is None:
            return victim, victim if self.adaptive else defended(network, none), training
        source, theirs = weights["surrogate"].load(prepared)
        return (
            victim,
            defended(source, none),
            training
            | {
                "seeds": training["seeds"] | theirs["seeds"],
                "remarks": [*dict.fromkeys([*training.get("remarks", []), *theirs.get("remarks", [])])],
                "surrogate_noise": theirs["trained_noise"],
                "surrogate_training": theirs["training"],
            },
        )

    def _kept(self, job: Job, facts: Mapping[str, Any]) -> Kept | None:
        """Where the clips of a surrogate are kept for other victims; None if they depend on the victim."""
        if job.surrogate is None or facts["git_dirty"] or job.runtime.save_trace or job.surrogate.given is not None:
            return None
        made_by = {name: facts[name] for name in ("versions", "git_commit", "device", "platform")}
        key = identity({**_attack_alone(facts["settings"]), "made_by": made_by}, ATTACK.schema)
        return Kept(Path(job.runtime.cache_dir) / "adversarial" / job.dataset.name / key)


def _plausibility(job: Job, prepared: Prepared, device: str) -> Plausibility:
    """The measures of plausibility on these clips, shared by the runs of a sweep.

    Raises ``SettingError`` if there are no training clips, with which poses and angles are compared.
    """
    if not hashed_order(prepared.clips, "train"):
        raise SettingError(
            f"plausibility=true compares clips with training clips, but {job.dataset.name} has none: set "
            f"plausibility=false, or {job.dataset.splitting}"
        )
    clean, training = (partial(batches, job.dataset, prepared, split, device) for split in ("test", "train"))
    key = repr([prepared.digest, job.dataset_settings, device])
    found: Plausibility = job.session.usual.setdefault(key, Plausibility(clean, training))
    return found


def _attack_alone(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that an attack's clips depend on; the victim is left out if there is a surrogate."""
    left_out = ("judgements", "constraint") + (("model", "checkpoint", "defense") if "surrogate" in settings else ())
    return {name: value for name, value in settings.items() if name not in left_out}


def _victim_alone(settings: Mapping[str, Any], device: str) -> str:
    """The identity of everything that predictions on clean clips depend on."""
    kept = {name: value for name, value in settings.items() if name not in OF_THE_ATTACK}
    return identity(kept | {"device": device}, ATTACK.schema)
