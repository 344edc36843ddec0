"""A jointed human figure: degrees of freedom with plain names, converted to joint positions.

The coordinates of a figure have x to its left, y up and z ahead, and their origin on the floor under its feet.
"""

import numpy as np

from skeleton_adv.core.skeleton import NTU25

X, Y, Z = 0, 1, 2


def _side(side: str, s: int) -> dict[str, tuple[tuple[str, int, float], ...]]:
    """The freedoms of one arm and one leg; ``s``, +1 on the left and -1 on the right, mirrors turns about y and z."""
    return {
        f"{side}_arm": ((f"{side}_shoulder", X, -1),),  # raised ahead
        f"{side}_arm_out": ((f"{side}_shoulder", Z, s),),  # raised sideways
        f"{side}_arm_in": ((f"{side}_shoulder", Y, -s),),  # turned about its axis, so that a bent forearm moves inwards
        f"{side}_elbow": ((f"{side}_elbow", X, -1),),  # bent
        f"{side}_wrist": ((f"{side}_wrist", X, -1),),
        f"{side}_wrist_out": ((f"{side}_wrist", Z, s),),
        f"{side}_leg": ((f"{side}_hip", X, -1),),  # raised ahead
        f"{side}_leg_out": ((f"{side}_hip", Z, s),),
        f"{side}_knee": ((f"{side}_knee", X, 1),),  # bent
        f"{side}_foot": ((f"{side}_ankle", X, -1),),  # toes up
    }


# A freedom turns joints (name, axis, share) by degrees. Half of a bend comes from the hips, and the legs turn back
# by the same amount, so that they stay in place.
_ROTATIONS: dict[str, tuple[tuple[str, int, float], ...]] = {
    **_side("left", 1),
    **_side("right", -1),
    "bend": (("base_of_spine", X, 0.5), ("left_hip", X, -0.5), ("right_hip", X, -0.5), ("middle_of_spine", X, 0.5)),
    "lean": (("middle_of_spine", Z, 1),),  # to the right
    "twist": (("middle_of_spine", Y, 1),),  # to the left
    "nod": (("neck", X, 1), ("spine", X, 0.2)),
    "tilt": (("neck", Z, 1),),  # to the right
    "look": (("neck", Y, 1), ("spine", Y, 0.15)),  # to the left
    "pitch": (("base_of_spine", X, 1),),  # the whole figure, ahead
    "roll": (("base_of_spine", Z, 1),),  # the whole figure, to the right
}
MOVES = ("turn", "aside", "up", "forward")  # degrees to the left; metres to the left, up, ahead
DOFS = (*_ROTATIONS, *MOVES)
METRES = np.array([name in MOVES[1:] for name in DOFS])  # (D,) bool: whether a freedom is in metres, not an angle
MIRRORED = frozenset(("lean", "twist", "tilt", "look", "roll", "turn", "aside"))  # change sign in a mirror

_SHARES = np.zeros((len(_ROTATIONS), NTU25.num_joints, 3))
for _row, _turns in enumerate(_ROTATIONS.values()):
    for _joint, _axis, _share in _turns:
        _SHARES[_row, NTU25.joints.index(_joint), _axis] += np.radians(_share)


def _levels() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Joints of equal depth in the tree with their parents, from the root's children outwards."""
    depth = [0] * NTU25.num_joints
    for joint in range(NTU25.num_joints):
        v = joint
        while v != NTU25.root:
            v, depth[joint] = NTU25.parents[v], depth[joint] + 1
    joints = [np.flatnonzero(np.array(depth) == level) for level in range(1, max(depth) + 1)]
    return tuple((level, np.array(NTU25.parents)[level]) for level in joints)


_LEVELS = _levels()
_FEET = [NTU25.joints.index("left_foot"), NTU25.joints.index("right_foot")]

# Bones at rest with hanging arms, as fractions of the stature: (to the side, up, ahead).
_TRUNK: dict[str, tuple[float, float, float]] = {
    "middle_of_spine": (0, 0.165, 0),
    "spine": (0, 0.13, 0),
    "neck": (0, 0.045, 0),
    "head": (0, 0.085, 0.01),
}
_ARM: dict[str, tuple[float, float, float]] = {
    "shoulder": (0.105, -0.025, 0),
    "elbow": (0, -0.16, 0),
    "wrist": (0, -0.145, 0),
    "hand": (0, -0.048, 0),
    "hand_tip": (0, -0.048, 0),
    "thumb": (-0.012, -0.018, 0.034),
}
_LEG: dict[str, tuple[float, float, float]] = {
    "hip": (0.045, -0.012, 0),
    "knee": (0, -0.245, 0),
    "ankle": (0, -0.235, 0),
    "foot": (0, -0.03, 0.07),
}


def bones(stature: float, arms: float, legs: float, shoulders: float, hips: float) -> np.ndarray:
    """(V, 3) rest position of each joint relative to its parent, in metres.

    ``stature`` is in metres; the other arguments are factors near 1.
    """
    offsets = np.zeros((NTU25.num_joints, 3))
    for name, offset in _TRUNK.items():
        offsets[NTU25.joints.index(name)] = np.multiply(offset, 2 - legs)  # long legs, short trunk
    for side, s in (("left", 1), ("right", -1)):
        for name, offset in (_ARM | _LEG).items():
            wide = {"shoulder": shoulders, "hip": hips}.get(name, 1.0)
            long = arms if name in _ARM else legs
            offsets[NTU25.joints.index(f"{side}_{name}")] = np.multiply(offset, (s * wide, long, long))
    return offsets * stature


def _rotations(angles: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about y, then z, then x, by angles (..., 3) in radians."""
    (ca, cc, cb), (sa, sc, sb) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    out = np.empty((*angles.shape, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = cb * cc, -sb, cb * sc
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = ca * sb * cc + sa * sc, ca * cb, ca * sb * sc - sa * cc
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = sa * sb * cc - ca * sc, sa * cb, sa * sb * sc + ca * cc
    return out


def heading(degrees: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about the vertical by ``degrees`` (...) to the left."""
    angles = np.zeros((*degrees.shape, 3))
    angles[..., Y] = np.radians(degrees)
    return _rotations(angles)


def pose(dofs: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Joint positions (F, V, 3) in metres of a figure with bones (V, 3) and freedoms (F, D).

    The figure is first shifted so that its lower foot is at the origin, and then moved.
    """
    turns = dofs[:, : len(_ROTATIONS)] @ _SHARES.reshape(len(_ROTATIONS), -1)
    local = _rotations(turns.reshape(len(dofs), -1, 3))
    frames = local.copy()  # (F, V, 3, 3): the orientation of each joint in the figure's coordinates
    joints: np.ndarray = np.zeros((len(dofs), NTU25.num_joints, 3))
    for joint, parent in _LEVELS:
        joints[:, joint] = joints[:, parent] + (frames[:, parent] @ offsets[joint][:, :, None])[..., 0]
        frames[:, joint] = frames[:, parent] @ local[:, joint]
    feet = joints[:, _FEET]
    low = feet[..., 1:2]
    weight = np.exp((low.min(1, keepdims=True) - low) / 0.04)  # soft, so that a step does not jump
    joints -= (feet * weight).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    joints[..., 1] -= joints[..., 1].min(1, keepdims=True).clip(max=0)  # no joint is below the floor
    turn, aside, up, forward = dofs[:, len(_ROTATIONS) :].T
    joints = joints @ heading(turn).swapaxes(1, 2)
    joints += np.stack([aside, up, forward], -1)[:, None]
    return joints
