"""Pairs of clips for the player: positions in tenths of a millimetre, distances from limits, and probabilities."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.page.board import key_of
from skeleton_adv.page.names import with_unit
from skeleton_adv.report.clips_to_draw import Pair, load_pairs, saved_clips, seconds_per_frame
from skeleton_adv.report.words import attack_summary, unit_of
from skeleton_adv.runs.load import Run

if TYPE_CHECKING:
    from torch import nn

    from skeleton_adv.page.measures import Body

STEP = 1e-4  # of the unit: 0.1 mm
RANGE = 32767
SECONDS = 1 / 30  # per frame, if it is not known


@dataclass(frozen=True)
class Shown:
    """One clip of the player, with or without an adversarial version."""

    name: str
    skeleton: Skeleton
    x: np.ndarray  # (C, T, V, M)
    x_adv: np.ndarray | None
    exists: np.ndarray  # (T, V, M) bool
    dt: float | None
    unit: str
    small: str
    space: str
    facts: Mapping[str, Any]  # what else is said about it
    classes: Sequence[str] = ()
    run: Run | None = None


def choose(runs: Sequence[Run], most: int) -> list[tuple[Run, int]]:
    """Up to ``most`` saved clips, as evenly over the runs as possible.

    First those that several runs of a dataset have saved, so that attacks can be compared on them, then those that are
    correct before and fooled by most of them.
    """
    attacked = [run for run in runs if run.kind == "attack"]
    saved = {key_of(run): saved_clips(run) for run in attacked}
    often = Counter((run.prepared, one) for run in attacked for one in saved[key_of(run)])
    fooled = Counter((run.prepared, one) for run in attacked for one in _numbers(run, ("clean_correct", "success")))
    queues = []
    for run in attacked:
        key = run.prepared
        diverged = {*run.array("index")[run.array("adv_pred") < 0].tolist()}
        order = sorted(saved[key_of(run)], key=lambda one: (-often[key, one], -fooled[key, one], one))
        queues.append([(run, one) for one in order if one not in diverged])
    rounds = [
        queue[place] for place in range(max(map(len, queues), default=0)) for queue in queues if place < len(queue)
    ]
    return rounds[:most]


def _numbers(run: Run, columns: Sequence[str]) -> list[int]:
    """The numbers of the clips for which all these columns are true."""
    found: list[int] = run.array("index")[np.logical_and.reduce([run.array(name) for name in columns])].tolist()
    return found


def of_runs(chosen: Sequence[tuple[Run, int]]) -> list[Shown]:
    """These saved clips, without those with a coordinate that is not finite."""
    found = []
    for run, number in chosen:
        (pair,), (dt,) = load_pairs(run, [number]), seconds_per_frame(run, [number])
        if np.isfinite(pair.x_adv).all():
            found.append(_of_pair(pair, dt))
    return found


def _of_pair(pair: Pair, dt: float | None) -> Shown:
    run, record, unit = pair.run, pair.record, unit_of([pair.run])
    facts = {
        "run": key_of(run),
        "dataset": run.dataset,
        "attack": with_unit(run, attack_summary(run, pair.class_name("target") if record["target"] >= 0 else "")),
        "label": pair.class_name("label"),
        "clean_pred": pair.class_name("clean_pred"),
        "adv_pred": pair.class_name("adv_pred"),
        "success": bool(record["success"]),
        "feasible": bool(record["feasible"]),
        "rms": f"{record['rms_mm']:.2f} {unit.small}",
        "l2": f"{record['l2']:.3f} {unit.length}".strip(),
        "threat": run.threat or "",
    }
    classes = [str(name).replace("_", " ") for name in run.classes] or [str(one) for one in range(run.num_classes)]
    return Shown(
        str(record["name"]), pair.skeleton, pair.x, pair.x_adv, pair.exists, dt, run.unit, unit.small, run.space, facts,
        classes, run,
    )  # fmt: skip


def part_of(
    shown: Shown, victim: "Callable[[Run], nn.Module | str]", place: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a clip's part; ``place`` is its name on the page."""
    header, arrays = _positions(shown)
    header |= {
        "id": place,
        "name": shown.name,
        "joints": [joint.replace("_", " ") for joint in shown.skeleton.joints],
        "parents": list(shown.skeleton.parents),
        "dt": shown.dt or SECONDS,
        "timed": shown.dt is not None,
        "unit": shown.unit,
        "small": shown.small,
        "attacked": shown.x_adv is not None,
        "changed": bool("moved" in arrays and arrays["moved"].any()),
        "flat": len(shown.skeleton.coords) == 2,
        **shown.facts,
    }
    if shown.x_adv is not None:
        more, own = _limits(shown)
        header["limits"], arrays = more, arrays | own
        header["windows"] = _windows(shown, victim)
    return header, arrays


def _positions(shown: Shown) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Positions as whole steps from the middle of the clip: y up; differences in time, which compress well."""
    clean = _upright(shown, shown.x)
    clips = [clean] if shown.x_adv is None else [clean, _upright(shown, shown.x_adv)]
    there = np.broadcast_to(shown.exists, clean.shape)
    seen = np.concatenate([clip[:, shown.exists] for clip in clips], axis=1)  # (3, existing joints)
    origin = (seen.min(axis=1) + seen.max(axis=1)) / 2 if seen.size else np.zeros(3)
    reach = float(np.abs(seen - origin[:, None]).max()) if seen.size else 0.0
    step = max(STEP, reach / RANGE)
    arrays = {"exists": shown.exists.astype("u1")}
    codes = [np.where(there, np.round((c - origin[:, None, None, None]) / step), 0).astype("<i2") for c in clips]
    arrays["x"] = _changes(codes[0])
    if len(codes) > 1:
        arrays["moved"] = _changes(codes[1] - codes[0])
    return {"step": step, "origin": [float(one) for one in origin]}, arrays


def positions(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """(3, T, V, M) the clean and, if there is one, the adversarial clip of a part, as the page's script reads them."""
    clean = np.cumsum(arrays["x"], axis=1, dtype="<i2")
    codes = [clean]
    if "moved" in arrays:
        codes.append(clean + np.cumsum(arrays["moved"], axis=1, dtype="<i2"))
    origin = np.array(header["origin"])[:, None, None, None]
    return [header["step"] * code.astype(float) + origin for code in codes]


def _changes(codes: np.ndarray) -> np.ndarray:
    """The first frame, then the change from each frame to the next; modulo 2^16, as the script adds them."""
    return np.concatenate([codes[:, :1], codes[:, 1:] - codes[:, :-1]], axis=1).astype("<i2")


def _upright(shown: Shown, clip: np.ndarray) -> np.ndarray:
    """(3, T, V, M) x to the right, y up, z away; in the normalised space a body is upright along z."""
    coords = clip[list(shown.skeleton.coords)].astype(np.float64)
    if len(coords) == 2:
        return np.concatenate([coords, np.zeros_like(coords[:1])])
    return coords[[0, 2, 1]] * np.array([1, 1, -1])[:, None, None, None] if shown.space == "normalised" else coords


def _limits(shown: Shown) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from skeleton_adv.page.measures import body_of, coded, ratios

    assert shown.x_adv is not None
    body: Body = body_of(shown.run.settings if shown.run else {})
    found = ratios(shown.x, shown.x_adv, shown.exists, shown.dt or SECONDS, shown.skeleton, body)
    limits = {name: limit.eps for name, limit in body.limits.items()}
    return {**limits, "own": body.own}, {name: coded(values) for name, values in found.items()}


def _windows(shown: Shown, victim: "Callable[[Run], nn.Module | str]") -> dict[str, Any]:
    """The victim's probabilities over a sliding window, or why there are none."""
    from skeleton_adv.page.windows import windows

    if shown.run is None or shown.x_adv is None:
        return {"why": "a clip from a file has no victim"}
    network = victim(shown.run)
    if isinstance(network, str):
        return {"why": network}
    found = windows(network, shown.x, shown.x_adv, shown.exists, shown.skeleton)
    names = [shown.classes[one] if one < len(shown.classes) else str(one) for one in found.classes]
    rounded = {name: np.round(values, 3) for name, values in vars(found).items() if isinstance(values, np.ndarray)}
    return {**rounded, "width": found.width, "classes": names, "defense": shown.run.defense or ""}
