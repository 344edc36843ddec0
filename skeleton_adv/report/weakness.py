"""Runs beside each other, clip by clip: C&W and ADMM, and attacks that a blind one beats. Pure functions of records."""

from collections.abc import Sequence

import pandas as pd

from skeleton_adv.report.stats import Run, differences, warnings
from skeleton_adv.report.tables.white_box import OWN_KEYS, TABLE1, TABLE3, TABLE5
from skeleton_adv.report.words import deed, setting, tally


def against_admm(runs: Sequence[Run]) -> pd.DataFrame:
    """C&W and ADMM over the clips that both fool: mean measures of each, a row for each pair of runs.

    Two runs make a pair if victim, weights, clips and goal are the same.
    """
    names = ("l2", "bone_mean", "bone_max", "angle_mean", "speed_mean", "kinetic")
    found = []
    others = [run for run in runs if TABLE1.belongs(run) or TABLE5.belongs(run)]
    for cw in (run for run in runs if TABLE3.belongs(run)):
        same = [run for run in others if _same_goal(run, cw)]
        for admm, apart in zip(same, differences(same, OWN_KEYS), strict=True):
            pair = cw.records.merge(admm.records, on=["index", "label", "target"], suffixes=("_cw", "_admm"))
            pair = pair[pair["success_cw"] & pair["success_admm"] & pair["clean_correct_cw"]]
            pair = pair[pair["label"] != pair["target"]]
            row = {
                "setting": setting(cw),
                "model": cw.about["choices"]["model"],
                "attack": admm.about["choices"]["attack"],
                "beta": admm.attack["beta"],
                "clips": len(pair),
                "cw_shorter": float((pair["l2_cw"] < pair["l2_admm"]).mean()),
            }
            row |= {f"{name}_{kind}": float(pair[f"{name}_{kind}"].mean()) for name in names for kind in ("cw", "admm")}
            found.append(row | {"differs": apart})
    if not found:
        return pd.DataFrame()
    order = ["setting", "model", "attack", "beta"]
    return pd.DataFrame(found).sort_values(order, ascending=[False, True, True, True], ignore_index=True)


def signs(run: Run, runs: Sequence[Run]) -> list[str]:
    """What makes a run's attack look weaker than it could be: by itself, and beside other ``runs``."""
    return [*warnings(run), *_overtaken(run, runs)]


def _overtaken(run: Run, runs: Sequence[Run]) -> list[str]:
    """Attacks that did not see the victim and yet fool it more often than ``run``, with no greater l2.

    Evaluating Adversarial Robustness (Carlini et al., arXiv 1902.06705): transfer that beats the
    white box means that the victim's gradient leads astray. Over the clips that both attacked.
    """
    if _blind(run) is not False:
        return []
    found = []
    for other in (other for other in runs if _blind(other) and _same_goal(other, run)):
        pair = run.records.merge(other.records, on=["index", "label", "target"], suffixes=("", "_blind"))
        pair = pair[pair["label"] != pair["target"]]
        hits, blind_hits = pair["success_share"].sum(), pair["success_share_blind"].sum()
        if blind_hits > hits and pair["l2_blind"].mean() <= pair["l2"].mean():
            found.append(
                f"{tally(blind_hits)} of {len(pair)} clips fall to an attack that did not see the victim "
                f"({deed(other)}), {tally(hits)} to this one, at no greater l2"
            )
    return found


def _blind(run: Run) -> bool | None:
    """Whether the attack saw other weights than the victim's, or no defense; None where nobody knows, of files."""
    settings, choices = run.about["settings"], run.about["choices"]
    if "path" in run.attack:
        return None
    if choices.get("model@surrogate"):
        same = settings.get("surrogate_checkpoint") == settings.get("checkpoint")
        return not same or choices["defense"] != "none"
    return settings.get("adaptive") is False


def _same_goal(one: Run, other: Run) -> bool:
    """Whether victim, defense, weights, clips and goal of two runs are the same."""
    keys = ("model", "dataset", "checkpoint", "prepared", "defense", "target", "seed")
    return all(one.about["settings"].get(key) == other.about["settings"].get(key) for key in keys)


def readable_comparison(frame: pd.DataFrame) -> pd.DataFrame:
    """``against_admm`` as people read it: C&W / ADMM."""

    def both(row: pd.Series, name: str, form: str, factor: float = 1) -> str:
        return " / ".join(format(factor * row[f"{name}_{kind}"], form) for kind in ("cw", "admm"))

    shown = pd.DataFrame(
        [
            {
                "setting": row["setting"],
                "victim": row["model"],
                "against": f"{row['attack']} β={row['beta']:g}",
                "clips that both fool": row["clips"],
                "ℓ2": both(row, "l2", ".3f"),
                "C&W is shorter, % of clips": f"{100 * row['cw_shorter']:.1f}",
                "ΔB/B %": both(row, "bone_mean", ".2f", 100),
                "ΔB/B % max": both(row, "bone_max", ".3g", 100),
                "ΔJ rad": both(row, "angle_mean", ".3f"),
                "ΔS/S %": both(row, "speed_mean", ".1f", 100),
                "ΔK/K %": both(row, "kinetic", ".2f", 100),
                "differs": row["differs"],
            }
            for _, row in frame.iterrows()
        ]
    )
    return shown.loc[:, (shown != "").any(axis=0)]
