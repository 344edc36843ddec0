"""The columns of each kind of row: their names and kinds, recorded before the first row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["int", "float", "bool", "text"]
Columns = Mapping[str, ColumnKind]  # in the order of the file


@dataclass(frozen=True)
class RowKind:
    """A kind of row: the file that contains the rows, and their core columns.

    ``schema`` is raised when a core column changes its meaning, but not when a column is added.
    """

    name: str
    file: str
    schema: int
    columns: Columns


# Every row is one clip of the dataset.
CLIP: Columns = {"index": "int", "name": "text", "label": "int"}

ATTACK = RowKind(
    name="attack",
    file="records.csv",
    schema=2,
    columns={
        **CLIP,
        "target": "int",  # -1 if untargeted
        "judgements": "int",  # how often the victim judges the clip: more than once if the victim draws noise
        "clean_pred": "int",  # the most frequent prediction for the clean clip; -1 if the logits are not finite
        "adv_pred": "int",  # likewise for the adversarial clip; -1 also if the attack diverged
        "clean_correct": "bool",
        "success": "bool",  # recomputed from the float32 clip by the deployed victim
        "clean_share": "float",  # fraction of the judgements that are correct for the clean clip
        "adv_share": "float",  # likewise for the adversarial clip
        "success_share": "float",  # fraction of the judgements in which the attack succeeds
        "found": "bool",  # whether the attack claims success
        "falling": "bool",  # whether the attack failed while its margin was still falling at the last step
        "gradient": "float",  # norm of the cross-entropy's gradient at the clean clip, as the attack sees it, per metre
        "control_share": "float",  # success of Gaussian noise with the l2 of the perturbation
        "feasible": "bool",  # whether every constraint is satisfied
        "l2": "float",  # metres (image: fractions of the image), over the whole clip
        "linf": "float",  # metres, largest change of a coordinate
        "rms_mm": "float",  # l2 as rms millimetres per joint and frame (image: thousandths of the image)
        "true_angle_mean": "float",  # radians
        "true_angle_max": "float",
        "kinetic": "float",  # relative change of kinetic energy; empty for a clip without motion
        "forwards": "int",  # forward passes of the attack
        "gradients": "int",  # backward passes of the attack
        "seconds": "float",
    },
)

CERTIFICATE = RowKind(
    name="certificate",
    file="certificates.csv",
    schema=2,
    columns={
        **CLIP,
        "pred": "int",  # -1 if the certificate abstains
        "clean_correct": "bool",  # whether the victim without noise is correct
        "correct": "bool",  # whether the certified class of the smoothed victim is correct
        "abstained": "bool",
        "radius": "float",  # l2 over existing joints' coordinates (Cohen et al.), in the clips' unit; 0 if abstained
        "rms_mm": "float",  # the radius as rms millimetres per joint and frame
        "p_low": "float",  # lower bound of the probability of the class under noise
        "paper_pred": "int",  # the class in the paper's form
        "paper_radius": "float",  # the radius in the paper's form; -1 if its class is wrong
        "draws": "int",
        "seconds": "float",
    },
)

# What a certificate's radius means in the body's terms; empty where it claims nothing (``certificates.terms``).
BODY_TERMS: Columns = {
    "bones": "int",  # bones of all persons that exist in a frame
    "bone_percent": "float",  # one factor per bone over the clip, each up to this many percent from 1
    "scale_percent": "float",  # the same factor for all bones
    "yaw_degrees": "float",  # about a vertical axis, to either side
    **{
        f"{kind}{joint}_mm": "float"  # rms of a motion of all joints or of one joint (image: thousandths of the image)
        for kind in ("constant", "hz1", "hz5", "jitter")
        for joint in ("", "_joint")
    },
}

DETECTION = RowKind(
    name="detection",
    file="detections.csv",
    schema=1,
    columns={
        **CLIP,
        "target": "int",  # -1 if untargeted
        "clean_pred": "int",  # -1 if the logits are not finite
        "adv_pred": "int",
        "clean_correct": "bool",
        "success": "bool",  # whether the adversarial clip fools the victim, recomputed
        "clean_score": "float",  # of the detector, for the clean clip; the higher, the more likely adversarial
        "adv_score": "float",
        "threshold": "float",  # scores above it raise an alarm
        "clean_alarm": "bool",
        "adv_alarm": "bool",
        "l2": "float",  # of the perturbation, as in an attack's rows
        "rms_mm": "float",
        "seconds": "float",
    },
)

# An attack's clip among templates of identities, which are actions or subjects. Each row also has the distances to all
# templates, ``clean_to_<k>`` and ``adv_to_<k>``.
IDENTIFICATION = RowKind(
    name="identification",
    file="identifications.csv",
    schema=1,
    columns={
        **CLIP,
        "target": "int",  # the attack's; -1 if untargeted
        "identity": "int",  # the number of the clip's identity among the templates
        "claimed": "int",  # the identity that the attack leads to; -1 if it leads to none
        "clean_nearest": "int",  # the identity of the nearest template; -1 if a distance is not finite
        "adv_nearest": "int",
        "l2": "float",  # of the perturbation, as in an attack's rows
        "rms_mm": "float",
        "seconds": "float",
    },
)

# A clip of a smoothed victim, attacked within limits and certified against all clips within them.
GAP = RowKind(
    name="gap",
    file="gap.csv",
    schema=1,
    columns={
        **CLIP,
        "pred": "int",  # of the smoothed victim for the clean clip; -1 if the certificate abstains
        "clean_correct": "bool",  # whether the victim without noise is correct
        "radius": "float",  # as in a certificate's rows, in the unit of the noise
        "p_low": "float",
        "bound": "float",  # upper bound on the change within the limits, in the unit of the radius
        "adv_pred": "int",  # of the smoothed victim for the attacked clip; -1 if it abstains
        "feasible": "bool",  # whether the attacked clip satisfies every constraint
        "length": "float",  # the change of the attacked clip, in the unit of the radius
        "l2": "float",  # of the perturbation, as in an attack's rows
        "rms_mm": "float",
        "certified": "bool",  # the true class, with a radius above the bound
        "attacked": "bool",  # a feasible clip with a wrong class
        "verdict": "text",  # wrong, certified, attacked, both, abstains or unknown
        "forwards": "int",  # calls of the smoothed victim by the attack
        "gradients": "int",
        "seconds": "float",
    },
)

KINDS = {kind.name: kind for kind in (ATTACK, CERTIFICATE, DETECTION, IDENTIFICATION, GAP)}


def constraint_columns(names: Iterable[str]) -> dict[str, ColumnKind]:
    """Three columns per constraint: mean and maximum over its entries, and whether it is satisfied."""
    columns: dict[str, ColumnKind] = {}
    for name in names:
        columns |= {f"{name}_mean": "float", f"{name}_max": "float", f"{name}_ok": "bool"}
    return columns
