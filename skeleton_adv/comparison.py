"""C&W beside ADMM, clip by clip: what Table 3 shows below its rows. Pure functions of records."""

from collections.abc import Sequence

import pandas as pd

from skeleton_adv.summary import Run, differences
from skeleton_adv.white_box import OWN_KEYS, TABLE1, TABLE3, TABLE5


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
                "setting": "targeted" if cw.about["settings"]["targeted"] else "untargeted",
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


def _same_goal(one: Run, other: Run) -> bool:
    keys = ("model", "dataset", "checkpoint", "prepared", "target", "seed")
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
