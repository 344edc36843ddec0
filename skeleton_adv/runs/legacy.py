"""Runs of earlier versions: facts that their ``run.json`` lacks, derived from the facts that it contains.

Only this module recognises a dataset, a defense or an option by its name.
"""

from collections.abc import Mapping
from typing import Any

from skeleton_adv.runs.schema import ATTACK, CERTIFICATE, ColumnKind

IMAGES = ("kinetics", "synthetic_kinetics")  # datasets of joints in an image, without depth
STANDS_FOR = {
    **dict.fromkeys(IMAGES, "Kinetics"),
    **dict.fromkeys(("ntu60_cv", "synthetic_cv"), "NTU RGB+D, cross-view"),
    **dict.fromkeys(("ntu60_cs", "ntu120_xsub", "ntu120_xset", "synthetic_cs", "utd_mhad"), "NTU RGB+D, cross-subject"),
}
MEASURES = {"bone": ("ΔB/B", "share"), "angle": ("ΔJ", "rad"), "speed": ("ΔS/S", "share")}
FLOORS = {"m": 0.0001, "image": 0.001}  # added to the speed in a denominator, per frame
# The columns of an attack's rows in the order of the file.
ATTACK_ORDER = (
    *("index", "name", "label", "target", "judgements", "clean_pred", "adv_pred", "clean_correct", "success"),
    *("clean_share", "adv_share", "success_share", "found", "falling", "gradient", "control_share", "feasible"),
    *("l2", "linf", "rms_mm", "bone_mean", "bone_max", "bone_ok", "angle_mean", "angle_max", "angle_ok"),
    *("true_angle_mean", "true_angle_max", "speed_mean", "speed_max", "speed_ok", "kinetic"),
    *("forwards", "gradients", "seconds"),
)


def completed(about: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The content of ``run.json``, with the facts that an earlier version did not record.

    Raises ``KeyError``, ``TypeError`` or ``AttributeError`` if it does not describe a run.
    """
    if "kind" in about:
        return dict(about)
    settings, choices, dataset = about["settings"], about["choices"], about["dataset"]
    image = dataset in IMAGES
    noise, experiment = about.get("trained_noise"), choices.get("experiment")
    derived = {
        "kind": kind,
        "schema": 2,
        "columns": _columns(kind),
        "constraints": _constraints("image" if image else "m") if kind == ATTACK.name else {},
        "access": _access(settings, choices),
        "unit": "image" if image else "m",
        "stands_for": STANDS_FOR.get(dataset),
        "randomised": choices["defense"] != "none" and bool(settings["defense"].get("sigma")),
        "training": _training(noise),
        "surrogate_training": _training(about.get("surrogate_noise")) if choices.get("model@surrogate") else {},
        "experiment": None if experiment in (None, "null") else str(experiment),
    }
    return {**derived, **about}


def _constraints(unit: str) -> dict[str, dict[str, str]]:
    """Symbols, units and remarks of the three constraints of earlier versions."""
    facts = {name: {"symbol": symbol, "unit": share, "remark": ""} for name, (symbol, share) in MEASURES.items()}
    facts["speed"]["remark"] = (
        f"ΔS/S divides by the speed plus {FLOORS[unit]:g} of the clips' unit per frame: for a joint that hardly moves "
        "it is many times smaller than |S' − S|/S."
    )
    return facts


def _training(noise: float | None) -> dict[str, Any]:
    """The training of a network, derived from its training noise; None: the noise was not recorded."""
    if noise is None:
        return {"name": "unknown"}
    return {"name": "noise", "sigma": noise} if noise else {"name": "none"}


def _access(settings: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """The access of the attack to the victim."""
    if "path" in settings.get("attack", {}):
        return "none"
    if choices.get("model@surrogate"):
        return "transfer"
    if choices["defense"] == "none":
        return "white box"
    return "adaptive" if settings.get("adaptive", True) else "oblivious"


def _columns(kind: str) -> dict[str, ColumnKind]:
    if kind == CERTIFICATE.name:
        return dict(CERTIFICATE.columns)
    return {name: ATTACK.columns.get(name, "bool" if name.endswith("_ok") else "float") for name in ATTACK_ORDER}
