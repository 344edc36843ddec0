"""The columns of each kind of row: their names and kinds, recorded before the first row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["int", "float", "bool", "text"]
Columns = Mapping[str, ColumnKind]  # in the order of the file


@dataclass(frozen=True)
class RowKind:
    """One kind of row: the file that contains it, and the columns that every such row has.

    ``schema`` is raised when one of these columns changes its meaning, but not when a column is added.
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
        "judgements": "int",  # how often the victim judges the clip: more than once if it draws noise
        "clean_pred": "int",  # its most frequent prediction; -1 where its logits are not finite
        "adv_pred": "int",  # likewise; -1 also if the attack diverged
        "clean_correct": "bool",
        "success": "bool",  # recomputed from the float32 clip by the deployed victim
        "clean_share": "float",  # fraction of judgements that are correct on the clean clip
        "adv_share": "float",  # likewise on the adversarial one
        "success_share": "float",
        "found": "bool",  # whether the attack claims success
        "falling": "bool",  # it failed, and its margin was still falling at the last step
        "gradient": "float",  # norm of the cross-entropy's gradient at the clean clip, as the attack sees it, per metre
        "control_share": "float",  # success of Gaussian noise of the attack's l2
        "feasible": "bool",  # every constraint is satisfied
        "l2": "float",  # metres (image: fractions of it), over the whole clip
        "linf": "float",  # metres, per coordinate
        "rms_mm": "float",  # l2 as rms millimetres per joint and frame (image: thousandths of it)
        "true_angle_mean": "float",  # radians
        "true_angle_max": "float",
        "kinetic": "float",  # relative change of kinetic energy; empty for a clip without motion
        "forwards": "int",  # passes that the attack made
        "gradients": "int",
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
        "clean_correct": "bool",  # the victim without noise is correct
        "correct": "bool",  # of the smoothed victim's certified class
        "abstained": "bool",
        "radius": "float",  # l2 over existing joints' coordinates (Cohen et al.), in the clips' unit; 0 if abstained
        "rms_mm": "float",  # the radius as rms millimetres per joint and frame
        "p_low": "float",
        "paper_pred": "int",
        "paper_radius": "float",  # in the paper's form; -1 if its class is wrong
        "draws": "int",
        "seconds": "float",
    },
)

KINDS = {kind.name: kind for kind in (ATTACK, CERTIFICATE)}


def constraint_columns(names: Iterable[str]) -> dict[str, ColumnKind]:
    """Three columns for each constraint: mean and maximum over its entries, and whether it is satisfied."""
    found: dict[str, ColumnKind] = {}
    for name in names:
        found |= {f"{name}_mean": "float", f"{name}_max": "float", f"{name}_ok": "bool"}
    return found
