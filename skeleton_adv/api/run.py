"""``sa.attack`` and ``sa.certify``: the tasks of the command line, for victims and clips in Python."""

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

from skeleton_adv import tasks
from skeleton_adv.api.check import check_kind, check_words, values_of
from skeleton_adv.api.clips import Clips
from skeleton_adv.api.result import Certificates, Result, Results
from skeleton_adv.api.victim import Victim
from skeleton_adv.command.build import GROUPS
from skeleton_adv.command.job import Job, Session
from skeleton_adv.command.words import given, job_of, merged, word, words_of
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import check_call
from skeleton_adv.data.dataset import Dataset
from skeleton_adv.runs.load import Run, load_run

AttackFunction = Callable[..., Any]


def attack(
    victim: Victim,
    clips: Clips,
    attack: str | AttackFunction = "admm",
    *,
    targeted: bool = False,
    target: str | int | None = None,
    defense: str | None = None,
    adaptive: bool | None = None,
    surrogate: Victim | None = None,
    seed: int | None = None,
    batch_size: int | Literal["auto"] | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    trace: bool = False,
    overrides: Sequence[str] = (),
    **settings: Any,
) -> "Result | Results":
    """Attack clips and judge the result as the command line does: the same settings give the same records.

    - ``attack``: a name (``sa.list("attacks")``), or your own function ``(model, batch, *, targeted, **settings)``
    - ``settings``: settings of the attack, such as ``beta=1.0`` or ``eps=0.01``. A list of values makes one attack per
      value (per combination of values, if there are several lists) and returns ``Results``; their ``curve()`` is the
      accuracy at each value
    - ``targeted``, ``target``: whether to reach a class, and which (``random``, ``least_likely``, a name or a number)
    - ``defense``: a name (``sa.list("defenses")``); ``adaptive=False`` attacks the undefended network (oblivious)
    - ``surrogate``: another victim, on which the attack is computed (transfer)
    - ``seed``: for random targets and the randomness of the attack
    - ``batch_size``: clips per pass; ``auto``: as memory allows; None: 64 as on the command line, or all if fewer
    - ``device``: ``auto``, ``cpu`` or ``cuda``
    - ``out``: a folder for the runs; if a call is interrupted, repeat it to continue
    - ``trace``: whether to keep the terms of the objective at every step (ADMM)
    - ``overrides``: further settings as on the command line, such as ``"constraint.bone.eps=0.02"``

    Raises ``SettingError`` for an unknown name or a value out of range, with the nearest name or the range.
    """
    check_kind("victim", victim, Victim)
    check_kind("clips", clips, Clips)
    check_words(overrides)
    if surrogate is not None:
        check_kind("surrogate", surrogate, Victim)
    if not (isinstance(attack, str) or callable(attack)):
        raise SettingError(f"attack={attack!r} must be a name of sa.list('attacks') or a function")
    # Values that are the command line's defaults are left out of its words.
    size = batch_size if batch_size is not None else len(clips) if len(clips) < 64 else None
    switches = given(targeted=targeted or None, target=target, adaptive=adaptive, seed=seed, batch_size=size)
    words = words_of("", given(defense=defense) | switches)
    words += ["runtime.save_trace=true", *overrides] if trace else [*overrides]
    clips.tell_frames(victim.num_frames)
    swept = {name: values for name, value in settings.items() if (values := values_of(value)) is not None}
    session = Session()
    results = [
        _attack(
            victim,
            clips,
            attack,
            settings | dict(zip(swept, values, strict=True)),
            words,
            surrogate,
            device,
            out,
            session,
        )
        for values in itertools.product(*swept.values())
    ]
    if not results:
        raise SettingError(f"{next(name for name in swept if not swept[name])}=[] has no values: give at least one")
    return Results(tuple(results), tuple(swept)) if swept else results[0]


def _attack(
    victim: Victim,
    clips: Clips,
    attack: str | AttackFunction,
    settings: Mapping[str, Any],
    words: Sequence[str],
    surrogate: Victim | None,
    device: str,
    out: str | Path | None,
    session: Session,
) -> Result:
    named = isinstance(attack, str)
    own = [word("attack", attack), *words_of("attack.", settings)] if named else []
    job = _job("attack", victim, clips, [*own, *words], device, session, surrogate)
    if not isinstance(attack, str):
        job = _with_attack(job, attack, settings)
    if not (victim.model_words and clips.words and named and (surrogate is None or surrogate.model_words)):
        shown = f"'{attack}'" if named else _name(attack)
        shown += "".join(f", {name}={value!r}" for name, value in settings.items())
        more = f", overrides={list(words)}" if words else ""
        job = replace(job, command=f"sa.attack({victim.name}, {clips.dataset.name}, {shown}{more})")
    run, temporary = _ran(job, out)
    return Result(run, clips, temporary)


def certify(
    victim: Victim,
    clips: Clips,
    *,
    sigma: float | None = None,
    n: int | None = None,
    n0: int | None = None,
    alpha: float | None = None,
    defense: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Certificates:
    """Certify clips by randomized smoothing (Cohen et al., arXiv 1902.02918), as ``task=certify`` does.

    - ``sigma``: the standard deviation of the noise, in metres (in an image: fractions of it)
    - ``n0``, ``n``: the draws of the noise that choose the class, and those that bound its probability
    - ``alpha``: the probability that a radius is wrong

    The other parameters are those of ``sa.attack``. A victim that is trained with the same noise has larger radii:
    ``sa.load_victim("hcn", dataset="utd_mhad", noise=0.1)``.
    """
    check_kind("victim", victim, Victim)
    check_kind("clips", clips, Clips)
    check_words(overrides)
    smoothing = given(sigma=sigma, n=n, n0=n0, alpha=alpha) | ({"clips": len(clips)} if len(clips) < 8 else {})
    words = [*words_of("", given(defense=defense, seed=seed)), *words_of("smoothing.", smoothing), *overrides]
    clips.tell_frames(victim.num_frames)
    job = _job("certify", victim, clips, words, device, Session(), None)
    if not (victim.model_words and clips.words):
        shown = "".join(f", {name}={value!r}" for name, value in smoothing.items())
        job = replace(job, command=f"sa.certify({victim.name}, {clips.dataset.name}{shown})")
    run, temporary = _ran(job, out)
    return Certificates(run, clips, temporary)


def _job(
    task: str,
    victim: Victim,
    clips: Clips,
    words: Sequence[str],
    device: str,
    session: Session,
    surrogate: Victim | None,
) -> Job:
    """The job of the command line, with this victim and these clips in place of the named ones."""
    data = clips.for_victim(victim)
    shape = [*(clips.words or victim.dataset_words)]
    if clips.words and victim.num_frames != data.num_frames:
        shape = merged(shape, [word("dataset.num_frames", victim.num_frames)])
    other = _as_surrogate(surrogate) if surrogate is not None else []
    runtime = [word("runtime.device", device)] if device != "auto" else []
    chosen = [] if task == "attack" else [word("task", task)]
    job = job_of(
        [*chosen, *merged(shape, victim.model_words, other, words), *clips.places, *runtime], tasks.find, session
    )
    job = replace(job, victim=victim.role(job.victim, clips.skeleton))
    if surrogate is not None and job.surrogate is not None:
        _check_surrogate(surrogate, victim, clips)
        job = replace(job, surrogate=surrogate.role(job.surrogate, clips.skeleton))
    names = {GROUPS[role.key]: role.option for role in job.roles}
    job = replace(job, choices={**job.choices, **names})
    return job if clips.words else _with_data(job, data)


def _check_surrogate(surrogate: Victim, victim: Victim, clips: Clips) -> None:
    """Raise ``SettingError`` unless both networks take the same clips."""
    clips.for_victim(surrogate)
    shapes = [(one.num_frames, one.num_persons, one.num_classes) for one in (victim, surrogate)]
    if shapes[0] != shapes[1]:
        raise SettingError(
            f"the surrogate {surrogate.name} takes clips of (frames, persons, classes) {shapes[1]}, but the "
            f"victim {victim.name} of {shapes[0]}: both must receive the same clips"
        )


def _as_surrogate(victim: Victim) -> list[str]:
    """The words of a victim as those of a surrogate."""
    renamed = {"model": "model@surrogate", "training": "training@surrogate_training"}
    words = []
    for each in victim.model_words or ("model=hcn",):
        key, _, value = each.partition("=")
        head, dot, rest = key.partition(".")
        place = (
            {"model": "surrogate", "training": "surrogate_training"}.get(head, head) if dot else renamed.get(key, key)
        )
        words.append(f"{place}{dot}{rest}={value}")
    return words


def _with_data(job: Job, data: Dataset) -> Job:
    """The job on clips in memory."""
    settings = {"_target_": f"{type(data).__module__}.{type(data).__qualname__}", "name": data.name}
    settings |= {name: getattr(data, name) for name in ("num_frames", "num_persons", "test_crop", "space")}
    return replace(
        job,
        dataset=data,
        settings={**job.settings, "dataset": settings},
        choices={**job.choices, "dataset": data.name},
    )


def _with_attack(job: Job, function: AttackFunction, settings: Mapping[str, Any]) -> Job:
    """The job with an attack of the user's own."""
    hidden = ("model", "batch", "targeted", "trace")
    check_call(function, settings, "", hidden)
    missing = [name for name in ("model", "batch") if name not in signature(function).parameters]
    if missing:
        raise SettingError(
            f"the attack {_name(function)} does not accept {missing[0]}: it must take (model, batch, *, targeted)"
        )
    own = {"_target_": f"{function.__module__}.{_name(function)}", **settings}
    task: Any = replace(job.task, attack=partial(function, **settings))  # type: ignore[type-var]
    choices = {**job.choices, "attack": _name(function)}
    return replace(job, task=task, settings={**job.settings, "attack": own}, choices=choices)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")


def _ran(job: Job, out: str | Path | None) -> tuple[Run, Path | None]:
    """The run of a job, below ``out`` or in a temporary folder, which is returned too."""
    temporary = Path(mkdtemp(prefix="skeleton_adv_")) if out is None else None
    try:
        runtime = replace(job.runtime, output_dir=str(temporary or out), save_clips=job.name == "attack")
        folder = tasks.run(replace(job, runtime=runtime))
        run = load_run(folder) if folder is not None else None
        assert run is not None
    except BaseException:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    return run, temporary
