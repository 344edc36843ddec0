"""The settings in which the runs of a table differ: nothing is mixed silently. Linear in the number of runs."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from skeleton_adv.report.stats import flatten
from skeleton_adv.runs.load import Run

# Settings that are compared only among runs of one attack, model or defense: others have other settings, and titles
# state each victim's number of frames.
GROUPS = {
    **{name: name for name in ("attack", "model", "defense")},
    "checkpoint": "model",
    "dataset.num_frames": "model",
    "surrogate": "model@surrogate",
    "surrogate_checkpoint": "model@surrogate",
}


def differences(runs: Sequence[Run], shown: Collection[str]) -> list[str]:
    """For each run, the settings in which it differs from the others, as text, except those already ``shown``.

    Settings of an attack are compared among the runs of that attack, settings of a model or a defense
    likewise, and all other settings among all runs. A setting that is ``shown`` includes all of its parts.
    """
    settings = [flatten(run.settings) for run in runs]
    keys = {key for one in settings for key in one} - _copies(settings)
    parts_of_shown = tuple(f"{key}." for key in shown)
    keys = {key for key in keys - {*shown} if not key.startswith(parts_of_shown)}
    groups = {key: GROUPS.get(key, GROUPS.get(key.partition(".")[0])) for key in sorted(keys)}
    values: dict[tuple[str, Any], set[str]] = {}
    for run, one in zip(runs, settings, strict=True):
        for key, group in groups.items():
            values.setdefault((key, _option(run, group)), set()).add(repr(one.get(key)))
    found, limits = [], _limits(runs, settings)
    for run, one, named in zip(runs, settings, limits, strict=True):
        apart = [key for key, group in groups.items() if len(values[key, _option(run, group)]) > 1]
        parts = [f"{key}={_short(one[key])}" for key in apart if one.get(key) is not None]
        if named and any(key.startswith("constraint.") for key in apart):
            parts = [named, *(part for part in parts if not part.startswith("constraint."))]
        found.append(", ".join(parts))
    return found


def _limits(runs: Sequence[Run], settings: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """For each run, ``constraint=`` and the option that its limits on the body are from; None if it is not known.

    A threat model may replace the limits of ``constraint=``, and single values may be set, so a name counts only if
    all runs that have it have the same limits, and no others have them.
    """
    ours = [repr({key: one[key] for key in sorted(one) if key.startswith("constraint.")}) for one in settings]
    names = [run.choices.get("constraint") for run in runs]
    without = {
        name: values for run, name, values in zip(runs, names, ours, strict=True) if not run.choices.get("threat")
    }
    for place, run in enumerate(runs):
        if run.choices.get("threat") and without.get(names[place], ours[place]) != ours[place]:
            names[place] = run.choices["threat"]
    pairs = {*zip(names, ours, strict=True)}
    clear = {name for name, values in pairs if sum(name == n or values == v for n, v in pairs) == 1}
    return [f"constraint={name}" if name in clear and name is not None else None for name in names]


def _copies(settings: Sequence[Mapping[str, Any]]) -> set[str]:
    """Keys of an attack's constraints that in every run equal the constraints by which all attacks are judged."""
    keys = {key for one in settings for key in one if key.startswith("attack.constraints.")}
    same = {key: key.replace("attack.constraints.", "constraint.") for key in keys}
    return {key for key, other in same.items() if all(one.get(key) in (None, one.get(other)) for one in settings)}


def _option(run: Run, group: str | None) -> Any:
    return run.choices.get(group) if group else None


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:8] if len(text) == 64 else text  # digests


def distinct(names: Sequence[str], beside: Sequence[str], settings: Sequence[dict[str, Any]]) -> list[str]:
    """Names, those that occur twice ``beside`` the same one with those of their settings that have several values."""
    often = Counter(zip(names, beside, strict=True))
    twice = {name for (name, _), count in often.items() if count > 1}
    found = []
    for name, own in zip(names, settings, strict=True):
        others = [other for one, other in zip(names, settings, strict=True) if one == name]
        varied = [key for key in own if len({repr(other.get(key)) for other in others}) > 1] if name in twice else []
        found.append(", ".join([name, *(f"{key}={_text(own[key])}" for key in varied)]))
    return found


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
