"""People who perform actions: their builds and habits, and the variation between their performances."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from skeleton_adv.data.synthetic.kinematics import DOFS, METRES, MIRRORED, MOVES, bones
from skeleton_adv.data.synthetic.motions import Track

_POSTURE = {"arm_out": 9.0, "elbow": 16.0, "knee": 5.0, "leg_out": 4.0, "bend": 2.0, "nod": 4.0}  # degrees
# The scale of variation in posture, per freedom; it is 0 where it would tilt the whole figure or lift it off the floor.
_LOOSE = np.array(
    [0.0 if name in ("up", "pitch", "roll") else 0.006 if METRES[d] else 1.0 for d, name in enumerate(DOFS)]
)
_USUAL = np.array([_POSTURE.get(name.removeprefix("left_").removeprefix("right_"), 0.0) for name in DOFS])
_CALM = np.array([0.35 if "leg" in name or "knee" in name or name in ("pitch", *MOVES) else 1.0 for name in DOFS])


@dataclass(frozen=True)
class Performer:
    """A person: bones (V, 3) in metres and habits, with D freedoms."""

    offsets: np.ndarray  # (V, 3)
    stature: float  # metres
    posture: np.ndarray  # (D,) the value of each freedom at rest
    gains: np.ndarray  # (D,) the relative amplitude of each freedom, near 1
    tempo: float  # near 1, higher is faster
    onset: float  # fraction of a clip before the action begins
    sway: float  # degrees
    left_handed: bool


def draw_performer(rng: np.random.Generator) -> Performer:
    """A random person, 1.5 to 1.95 m tall; one in ten is left-handed."""
    stature = rng.uniform(1.5, 1.95)
    arms, legs, shoulders, hips = 1 + rng.normal(0, (0.035, 0.025, 0.06, 0.06)).clip(-0.12, 0.12)
    posture = _USUAL + rng.normal(0, 3.5, len(DOFS)) * _LOOSE * _CALM
    bent = [DOFS.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("elbow", "knee")]
    posture[bent] = np.abs(posture[bent])  # elbows and knees do not bend backwards
    return Performer(
        offsets=bones(stature, arms, legs, shoulders, hips),
        stature=stature,
        posture=posture,
        gains=np.exp(_CALM * (rng.normal(0, 0.09) + rng.normal(0, 0.07, len(DOFS)))),
        tempo=float(np.exp(rng.normal(0, 0.14))),
        onset=rng.uniform(0.05, 0.17),
        sway=rng.uniform(0.6, 2.2),
        left_handed=bool(rng.random() < 0.1),
    )


@lru_cache(maxsize=256)
def _table(tracks: tuple[Track, ...], mirrored: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tracks as arrays: their freedoms (K,), their numbers (6, K), and their freedoms as one-hot rows (K, D)."""
    swap = {"left": "right", "right": "left"}
    dofs, signs = [], []
    for track in tracks:
        side, _, rest = track.dof.partition("_")
        dofs.append(DOFS.index(f"{swap[side]}_{rest}" if mirrored and side in swap else track.dof))
        signs.append(-1.0 if mirrored and track.dof in MIRRORED else 1.0)
    numbers = np.array([track[1:] for track in tracks], dtype=np.float64).T
    numbers[0] *= signs
    return np.array(dofs), numbers, np.eye(len(DOFS))[dofs]


def _smooth(x: np.ndarray) -> np.ndarray:
    """``x`` limited to 0 to 1 and smoothed, so that the slope is 0 at both ends."""
    x = x.clip(0, 1)
    x *= x * (3 - 2 * x)
    return x


def perform(
    tracks: tuple[Track, ...], who: Performer, seconds: np.ndarray, mirrored: bool, rng: np.random.Generator
) -> np.ndarray:
    """The freedoms (F, D) in one performance of an action, at the times ``seconds`` (F,) of a clip."""
    dofs, (amount, start, stop, ramp, hz, phase), adds = _table(tracks, mirrored)
    onset = who.onset + rng.uniform(-0.04, 0.06)
    share = rng.uniform(0.66, 0.84)  # fraction of the clip that the action takes
    u = ((seconds / seconds[-1] - onset) / share)[:, None]
    late = rng.normal(0, 0.02, (2, len(dofs)))
    envelope = _smooth((u - start - late[0]) / ramp) * _smooth((stop + late[1] - u) / ramp)  # (F, K)
    tempo = who.tempo * np.exp(rng.normal(0, 0.1))
    turns = tempo * hz * seconds[:, None] + phase / 360 + rng.random()
    wave = np.where(hz > 0, np.sin(2 * np.pi * turns), 1.0)
    ample = who.gains * np.exp(_CALM * (rng.normal(0, 0.05) + rng.normal(0, 0.05, len(DOFS))))
    freedoms = _idle(who, seconds, rng)
    freedoms += (envelope * wave * amount * ample[dofs]) @ adds
    return freedoms


def _idle(who: Performer, seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The freedoms (F, D) of a person who stands still: a posture of this performance and a slow sway."""
    posture = who.posture + rng.normal(0, 2.0, len(DOFS)) * _LOOSE * _CALM
    hz, phase = rng.uniform(0.15, 0.6, len(DOFS)), rng.random(len(DOFS))
    idle: np.ndarray = posture + who.sway * _LOOSE * _CALM * np.sin(2 * np.pi * (hz * seconds[:, None] + phase))
    return idle
