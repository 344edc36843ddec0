"""The settings in which the runs of a table differ: nothing is mixed silently. Linear in the number of runs."""

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
    likewise, and all other settings among all runs.
    """
    settings = [flatten(run.settings) for run in runs]
    keys = sorted({key for one in settings for key in one} - {*shown} - _copies(settings))
    groups = {key: GROUPS.get(key, GROUPS.get(key.partition(".")[0])) for key in keys}
    values: dict[tuple[str, Any], set[str]] = {}
    for run, one in zip(runs, settings, strict=True):
        for key, group in groups.items():
            values.setdefault((key, _option(run, group)), set()).add(repr(one.get(key)))
    found = []
    for run, one in zip(runs, settings, strict=True):
        apart = [key for key, group in groups.items() if len(values[key, _option(run, group)]) > 1]
        found.append(", ".join(f"{key}={_short(one[key])}" for key in apart if one.get(key) is not None))
    return found


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
