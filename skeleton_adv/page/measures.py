"""How far each bone, angle and speed of a clip is from its limit, in each frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from skeleton_adv.constraints.base import Constraint
from skeleton_adv.constraints.body import BoneLength, JointAngle, Speed
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.skeleton import Skeleton

MOST = 655.35  # times the limit; larger values, such as any speed of a joint that rests, are shown as this
KINDS: dict[str, type[BoneLength] | type[JointAngle] | type[Speed]] = {
    "bone": BoneLength,
    "angle": JointAngle,
    "speed": Speed,
}


@dataclass(frozen=True)
class Body:
    """A limit on bones, one on angles and one on speeds, and whether they are a run's own or the paper's."""

    limits: Mapping[str, BoneLength | JointAngle | Speed]
    own: bool


def body_of(settings: Mapping[str, Any]) -> Body:
    """The limits of a run's settings; the paper's (1 %, 0.1 rad, 10 %) for those that the run does not have."""
    given: dict[str, BoneLength | JointAngle | Speed] = {}
    for one in (settings.get("constraint") or {}).values():
        target = str(one.get("_target_", "")) if isinstance(one, Mapping) else ""
        for name, kind in KINDS.items():
            if target == f"skeleton_adv.constraints.{kind.__name__}":
                given[name] = kind(**{key: value for key, value in one.items() if not key.startswith("_")})
    return Body({name: given.get(name) or kind() for name, kind in KINDS.items()}, len(given) == len(KINDS))


def ratios(
    x: np.ndarray, x_adv: np.ndarray, exists: np.ndarray, dt: float, skeleton: Skeleton, body: Body
) -> dict[str, np.ndarray]:
    """The change of each entry as a multiple of its limit, for clips (C, T, V, M) that exist in (T, V, M).

    ``bone`` (T, E, M) for the skeleton's bones; ``angle`` (T, V, M), the largest of the angles at each joint, and
    ``speed`` (T, V, M) from the frame before, both 0 where there is none. An entry is above 1 exactly if the
    feasibility check refuses it. Computed in float64.
    """
    batch = _batch(x, exists, dt, skeleton)
    moved = torch.from_numpy(x_adv).double()[None]
    t, v, m = exists.shape
    flat = {name: _ratio(limit, batch, moved) for name, limit in body.limits.items()}
    bone = flat["bone"].reshape(t, m, -1).transpose(0, 2, 1)
    angles = flat["angle"].reshape(t, m, -1).transpose(0, 2, 1)
    angle = np.zeros((t, v, m))
    for place, (_, joint, _) in enumerate(skeleton.angles):
        angle[:, joint] = np.maximum(angle[:, joint], angles[:, place])
    speed = np.zeros((t, v, m))
    speed[1:] = flat["speed"].reshape(t - 1, v, m)
    return {"bone": bone, "angle": angle, "speed": speed}


def coded(values: np.ndarray) -> np.ndarray:
    """Multiples of a limit as hundredths in uint16; rounding moves no value over its limit, and none below it."""
    near = np.where(values > 1, np.maximum(np.round(100 * values), 101), np.minimum(np.round(100 * values), 100))
    return np.clip(near, 0, 65535).astype("<u2")


def _ratio(limit: Constraint, batch: SkeletonBatch, x_adv: torch.Tensor) -> np.ndarray:
    """(K,) deviation beyond the slack for rounding / tolerance; 0 where the joints do not exist."""
    on = limit.on(batch)
    beyond = (on.deviation(x_adv) - on.slack).clamp(min=0)
    ratio = torch.where(beyond > 0, beyond / on.tolerance, 0.0)
    found: np.ndarray = torch.where(on.exists, ratio, 0.0)[0].clamp(max=MOST).numpy()
    return found


def _batch(x: np.ndarray, exists: np.ndarray, dt: float, skeleton: Skeleton) -> SkeletonBatch:
    one = torch.zeros(1, dtype=torch.long)
    mask = torch.from_numpy(exists)[None, None]
    clip = torch.from_numpy(x).double()[None]
    return SkeletonBatch(clip, one, mask, one, torch.tensor([dt], dtype=torch.float64), skeleton)
