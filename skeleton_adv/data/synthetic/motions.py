"""Sixty actions as data: which freedoms of the figure move, by how much, when and how often.

Time is from 0 to 1 over an action. Amounts are in degrees (metres for moves): see ``kinematics``.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Track(NamedTuple):
    """The part of one freedom in an action: ``amount`` within an envelope, steady or as a sine of ``hz``."""

    dof: str
    amount: float
    start: float  # time at which the envelope begins to rise
    stop: float  # time at which it has fallen to 0
    ramp: float  # duration of the rise, and of the fall
    hz: float = 0.0  # 0: steady
    phase: float = 0.0  # degrees


@dataclass(frozen=True)
class Action:
    """A named action: the tracks of the performer, and those of a partner who is ``gap`` metres ahead."""

    name: str
    tracks: tuple[Track, ...]
    seconds: float = 2.5
    sided: bool = False  # whether the action requires a certain side, so that left-handed subjects do not mirror it
    partner: tuple[Track, ...] = ()
    gap: float = 0.0


BEFORE, AFTER = -9.0, 9.0  # a start before the clip begins, a stop after it ends
Pose = dict[str, float]
_BOTH = {"arms": "arm", "elbows": "elbow", "wrists": "wrist", "legs": "leg", "knees": "knee", "feet": "foot"}


def _named(amounts: Pose) -> list[tuple[str, float]]:
    """Freedoms and amounts, where ``arms_out`` means ``left_arm_out`` and ``right_arm_out``, and so on."""
    pairs = []
    for name, amount in amounts.items():
        first, _, rest = name.partition("_")
        one = f"{_BOTH.get(first, '')}{'_' + rest if rest else ''}"
        pairs += [(each, amount) for each in ([f"left_{one}", f"right_{one}"] if first in _BOTH else [name])]
    return pairs


def hold(start: float, stop: float, ramp: float = 0.25, **amounts: float) -> tuple[Track, ...]:
    """Tracks that take a pose, stay in it, and leave it."""
    return tuple(Track(name, amount, start, stop, ramp) for name, amount in _named(amounts))


def beat(start: float, stop: float, hz: float, phase: float = 0.0, **amounts: float) -> tuple[Track, ...]:
    """Tracks that swing about the current pose."""
    return tuple(Track(name, amount, start, stop, 0.1, hz, phase) for name, amount in _named(amounts))


def _act(name: str, *parts: tuple[Track, ...], seconds: float = 2.5, sided: bool = False) -> Action:
    return Action(name, sum(parts, ()), seconds, sided)


def _pair(
    name: str, gap: float, mine: tuple[Track, ...], theirs: tuple[Track, ...], seconds: float = 2.5, sided: bool = False
) -> Action:
    return Action(name, mine, seconds, sided, theirs, gap)


# Poses that several actions share.
MOUTH: Pose = {"right_arm": 62, "right_arm_out": 14, "right_arm_in": 54, "right_elbow": 130}
EAR: Pose = {"right_arm": 58, "right_arm_out": 34, "right_arm_in": 22, "right_elbow": 146}
HEAD: Pose = {"right_arm": 118, "right_arm_out": 32, "right_arm_in": 42, "right_elbow": 122}
DESK: Pose = {"arms": 28, "arms_in": 22, "elbows": 72, "nod": 18}
CHEST: Pose = {"arms": 35, "arms_in": 38, "elbows": 82}
SEAT: Pose = {"legs": 84, "knees": 86, "bend": 8}
WAVING: Pose = {"arm_out": 78, "arm_in": -78, "elbow": 82}
CROUCH: Pose = {"legs": 98, "knees": 112, "feet": 14, "bend": 48}


def _one(side: str, one: Pose) -> Pose:
    """The pose ``one`` of an arm, whose names have no side, for the arm on ``side``."""
    return {f"{side}_{name}": amount for name, amount in one.items()}


def _stride(start: float, stop: float, hz: float, leg: float, knee: float, arm: float) -> tuple[Track, ...]:
    """Tracks of a stride: legs move in turn, each knee bends as its leg moves ahead, and arms swing against legs."""
    left = beat(start, stop, hz, left_leg=leg, right_arm=arm) + beat(start, stop, hz, 60, left_knee=knee)
    right = beat(start, stop, hz, 180, right_leg=leg, left_arm=arm) + beat(start, stop, hz, 240, right_knee=knee)
    return hold(start, stop, 0.12, knees=knee, legs=leg / 2) + left + right


_TO_FACE = (
    _act("drink_water", hold(0, 1, **MOUTH), hold(0.35, 0.8, nod=-14, right_arm=10, right_wrist=12)),
    _act("eat_meal", hold(0, 0.55, **MOUTH), hold(0.5, 1, **MOUTH), hold(0, 1, left_elbow=55, nod=8)),
    _act("brush_teeth", hold(0, 1, **MOUTH), beat(0.2, 0.85, 2.6, right_arm_in=9, right_wrist=8)),
    _act("phone_call", hold(0, 1, **EAR), hold(0.2, 0.9, tilt=8)),
    _act("comb_hair", hold(0, 1, **HEAD), beat(0.2, 0.85, 1.1, right_elbow=14, right_arm=8)),
    _act("touch_head", hold(0, 1, **HEAD), hold(0.15, 0.95, nod=10)),
    _act("salute", hold(0, 1, 0.15, right_arm=88, right_arm_out=55, right_arm_in=32, right_elbow=130)),
    _act("cover_cough", hold(0.1, 1, 0.15, **MOUTH), beat(0.3, 0.8, 1.7, bend=7, nod=7), hold(0.1, 0.9, bend=10)),
    _act("wipe_face", hold(0, 1, **MOUTH), hold(0, 1, right_arm=16), beat(0.2, 0.85, 1.2, right_arm=9, right_arm_in=9)),
    _act("adjust_glasses", hold(0, 1, arms=66, arms_out=20, arms_in=40, elbows=134)),
    _act("take_off_hat", hold(0, 0.65, **HEAD), hold(0.5, 1, right_arm=40, right_elbow=60)),
    _act("put_on_hat", hold(0, 0.55, right_arm=40, right_elbow=60), hold(0.35, 1, **HEAD)),
)
_ARMS = (
    _act("wave_right_hand", hold(0, 1, **_one("right", WAVING)), beat(0.2, 0.85, 1.6, right_elbow=24), sided=True),
    _act("wave_left_hand", hold(0, 1, **_one("left", WAVING)), beat(0.2, 0.85, 1.6, left_elbow=24), sided=True),
    _act("wave_both_hands", hold(0, 1, arms_out=78, arms_in=-78, elbows=82), beat(0.2, 0.85, 1.6, elbows=24)),
    _act("hand_up", hold(0, 1, right_arm=165, right_elbow=12), sided=True),
    _act("point_forward", hold(0, 1, right_arm=82, right_elbow=6)),
    _act("beckon", hold(0, 1, right_arm=62, right_elbow=45), beat(0.2, 0.85, 1.4, right_elbow=26, right_wrist=16)),
    _act(
        "throw_forward",
        hold(0, 0.55, 0.3, right_arm=70, right_arm_out=45, right_arm_in=-75, right_elbow=95, twist=-22),
        hold(0.45, 0.85, 0.14, right_arm=75, right_elbow=12, twist=24, bend=12),
        seconds=2.2,
    ),
    _act(
        "punch_forward",
        hold(0, 0.5, 0.2, right_elbow=105, right_arm=-12, left_arm=30, left_elbow=85, twist=-12),
        hold(0.42, 0.72, 0.11, right_arm=80, right_elbow=5, twist=20),
        seconds=2.0,
    ),
    _act("push_forward", hold(0, 0.5, 0.2, arms=5, elbows=105), hold(0.35, 0.85, 0.2, arms=80, elbows=8, bend=8)),
    _act(
        "swing_arm",
        hold(0, 0.5, 0.25, right_arm=60, right_arm_out=70, twist=-28),
        hold(0.4, 0.9, 0.15, right_arm=70, right_arm_out=-35, twist=30),
    ),
)
_LEGS = (
    _act(
        "kick_forward",
        hold(0.05, 0.45, 0.2, right_leg=-22, right_knee=45),
        hold(0.33, 0.75, 0.17, right_leg=68, right_knee=12, bend=-8),
    ),
    _act("kick_sideways", hold(0.15, 0.8, 0.22, right_leg_out=52, right_leg=15, lean=-12), hold(0, 0.9, arms_out=20)),
    _act("stamp_foot", hold(0.1, 0.8, right_leg=32, right_knee=50), beat(0.2, 0.8, 1.5, right_leg=26, right_knee=34)),
    _act(
        "jump_up",
        hold(0.05, 0.42, 0.18, legs=42, knees=62, bend=30, arms=-28),
        hold(0.36, 0.62, 0.12, up=0.32, arms=95, feet=-25),
        hold(0.56, 0.9, 0.14, legs=34, knees=50, bend=18),
    ),
    _act(
        "hop_on_one_foot",
        hold(0, 1, 0.15, left_leg=22, left_knee=85, right_knee=18, right_leg=9, up=0.06),
        beat(0.15, 0.9, 2.0, up=0.06, right_knee=12, arms_out=10),
    ),
    _act("squat", hold(0.05, 0.95, 0.32, legs=98, knees=112, feet=14, bend=28, arms=62)),
    _act("sit_down", hold(0.15, AFTER, 0.45, **SEAT), hold(0.05, 0.75, 0.3, bend=30)),
    _act("stand_up", hold(BEFORE, 0.85, 0.45, **SEAT), hold(0.2, 0.95, 0.3, bend=30)),
    _act("bow", hold(0.05, 0.95, 0.3, bend=58, nod=14)),
    _act("pick_up", hold(0, 1, 0.35, **CROUCH), hold(0.15, 0.75, right_arm=72), hold(0.6, AFTER, right_elbow=70)),
    _act("put_down", hold(0, 1, 0.35, **CROUCH), hold(0.15, 0.75, right_arm=72), hold(BEFORE, 0.5, right_elbow=70)),
    _act("tie_shoelace", hold(0, 1, 0.3, **CROUCH), hold(0.1, 0.9, arms=62), beat(0.3, 0.8, 1.8, elbows=14, arms_in=8)),
)
_HANDS = (
    _act("clap", hold(0, 1, **CHEST), beat(0.15, 0.9, 1.9, arms_in=20)),
    _act(
        "rub_hands",
        hold(0, 1, **CHEST | {"arms_in": 52}),
        beat(0.15, 0.9, 2.2, right_elbow=9),
        beat(0.15, 0.9, 2.2, 180, left_elbow=9),
    ),
    _act("write", hold(0, 1, **DESK), beat(0.15, 0.9, 2.3, right_elbow=5, right_arm_in=7, right_wrist=8)),
    _act("type_keyboard", hold(0, 1, **DESK), beat(0.15, 0.9, 2.8, wrists=9), beat(0.15, 0.9, 2.0, 90, elbows=5)),
    _act("tap_phone", hold(0, 1, **DESK), hold(0, 1, left_elbow=22, nod=8), beat(0.2, 0.85, 1.6, right_wrist=14)),
    _act("read_book", hold(0, 1, **DESK), hold(0, 1, elbows=24, nod=8), hold(0.45, 0.8, 0.15, right_arm_in=28)),
    _act("tear_paper", hold(0, 1, **CHEST), hold(0.35, 0.9, arms_in=-42), hold(0.1, 0.9, nod=14)),
    _act("cross_arms", hold(0.1, AFTER, 0.3, arms=26, arms_in=72, elbows=98)),
    _act("check_watch", hold(0, 1, left_arm=45, left_arm_in=62, left_elbow=92, nod=20, look=8), sided=True),
    _act("hands_on_hips", hold(0.1, AFTER, arms_out=42, arms=-20, arms_in=58, elbows=84)),
)
_BODY = (
    _act("nod_head", beat(0.05, 0.95, 1.3, nod=20)),
    _act("shake_head", beat(0.05, 0.95, 1.2, look=32)),
    _act("walk_in_place", _stride(0, 1, 1.0, 20, 26, 18)),
    _act("run_in_place", _stride(0, 1, 1.6, 26, 42, 26), hold(0, 1, elbows=80)),
    _act("turn_around", hold(0.1, AFTER, 0.75, turn=180), _stride(0.05, 0.95, 1.1, 9, 14, 8), seconds=2.8),
    _act(
        "fall_down",
        hold(0.25, AFTER, 0.4, pitch=-86),
        hold(0.1, AFTER, 0.5, legs=22, knees=30, arms_out=38, arms=25),
    ),
)
_WALK = _stride(0, 1, 0.9, 20, 22, 18)
_NEARER = _WALK + hold(0, AFTER, 0.95, forward=0.5)
_FARTHER = _WALK + hold(BEFORE, AFTER, turn=180) + hold(0, AFTER, 0.95, forward=-0.5)
_PAIRS = (
    _pair(
        "handshake",
        0.85,
        hold(0.05, 0.95, right_arm=52, right_elbow=32) + beat(0.35, 0.75, 2.0, right_elbow=10),
        hold(0.1, 0.95, right_arm=52, right_elbow=32) + beat(0.35, 0.75, 2.0, right_elbow=10),
    ),
    _pair(
        "hug",
        1.0,
        hold(0.05, 0.95, forward=0.34) + hold(0.15, 0.85, arms=74, arms_out=22, arms_in=48, elbows=48),
        hold(0.05, 0.95, forward=0.34) + hold(0.2, 0.85, arms=60, arms_out=26, arms_in=44, elbows=52),
    ),
    _pair(
        "push_other",
        0.85,
        hold(0, 0.5, 0.2, arms=5, elbows=105) + hold(0.35, 0.8, 0.18, arms=78, elbows=10, bend=10),
        hold(0.48, AFTER, 0.22, forward=-0.32, bend=-9) + _stride(0.48, 0.95, 1.5, 14, 16, 14),
        2.2,
    ),
    _pair(
        "punch_other",
        0.9,
        hold(0, 0.5, 0.2, right_elbow=105, twist=-12) + hold(0.42, 0.72, 0.11, right_arm=86, twist=22),
        hold(0.48, 0.95, 0.15, bend=-14, nod=-16, forward=-0.1),
        2.0,
    ),
    _pair(
        "kick_other",
        1.0,
        hold(0.05, 0.45, 0.2, right_leg=-20, right_knee=45) + hold(0.33, 0.75, 0.17, right_leg=60),
        hold(0.45, 0.95, 0.18, bend=22, arms=25, elbows=30, forward=-0.14),
    ),
    _pair("point_at_other", 1.1, hold(0, 1, right_arm=80, right_elbow=5), hold(0.3, 0.9, nod=8, bend=-4)),
    _pair(
        "pat_on_back",
        0.7,
        hold(0, 1, right_arm=72, right_arm_in=18, right_elbow=22) + beat(0.25, 0.85, 1.7, right_arm=12),
        hold(BEFORE, AFTER, turn=180) + beat(0.3, 0.8, 1.7, bend=2),
    ),
    _pair(
        "give_object",
        0.95,
        hold(0.05, 0.7, right_arm=55, right_elbow=30),
        hold(0.2, 0.9, right_arm=55, right_elbow=30) + hold(0.6, AFTER, right_elbow=70),
    ),
    _pair("walk_towards", 1.8, _NEARER, _NEARER, 2.8),
    _pair("walk_apart", 0.8, _FARTHER, _FARTHER, 2.8),
)
ACTIONS: tuple[Action, ...] = _TO_FACE + _ARMS + _LEGS + _HANDS + _BODY + _PAIRS
