"""Small runs of each kind, made up for tests of tables and figures."""

import math
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from skeleton_adv.report.stats import Run
from skeleton_adv.runs.folder import COLUMNS, Record


def record(index: int, **changes: Any) -> Record:
    base: dict[str, Any] = dict.fromkeys(COLUMNS, 0.125)
    base |= {"index": index, "name": f"clip_{index}", "label": 1, "target": -1, "clean_pred": 1, "adv_pred": 2}
    base |= {
        "clean_correct": True,
        "success": True,
        "found": True,
        "falling": False,
        "feasible": False,
        "forwards": 3,
        "gradients": 2,
    }
    row = replace(Record(**base), judgements=1, **changes)
    shares = {"clean_share": float(row.clean_correct), "success_share": float(row.success)}
    return replace(row, control_share=0.0, adv_share=float(row.adv_pred == row.label), **{**shares, **_shares(changes)})


def _shares(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name.endswith("_share") and name != "adv_share"}


def about(**changes: Any) -> dict[str, Any]:
    settings = {
        "attack": {"beta": changes.pop("beta", 1.0), "lr": 0.001, "conf": 1.0},
        "targeted": changes.pop("targeted", False),
        "target": None,
        "seed": changes.pop("seed", 0),
    }
    choices = {"model": "hcn", "attack": "admm", "defense": "none", "dataset": "utd_mhad"}
    return {
        "settings": settings,
        "choices": choices,
        "dataset": "utd_mhad",
        "stand_in": True,
        "num_frames": 32,
        "num_classes": 27,
        "done": 6,
        "total": 430,
        "identity": "abc",
        "command": "python -m skeleton_adv",
        **changes,
    }


def six_rows(**changes: Any) -> pd.DataFrame:
    """Right before: 0 to 3. Fooled: 0, 1, 2 and 4 (which was wrong before). Feasible: 0, 4 and 5."""
    rows = []
    for index in range(6):
        rows.append(
            record(
                index,
                clean_correct=index < 4,
                success=index in (0, 1, 2, 4),
                feasible=index in (0, 4, 5),
                bone_mean=index / 100,
                bone_max=[0.1, 0.1, 0.1, 0.1, 0.1, 0.7][index],
                kinetic=math.nan if index == 5 else 0.02 * index,
                **changes,
            )
        )
    return pd.DataFrame([asdict(row) for row in rows])


def of(attack: str, **changes: Any) -> dict[str, Any]:
    facts = about(**changes)
    facts["choices"] = {**facts["choices"], "attack": attack, "model": changes.get("model", "hcn")}
    if attack == "cw":
        facts["settings"] = {**facts["settings"], "attack": {"c": 0.01, "conf": 0.0}}
    return facts


def transfer(target: str, beta: float, **changes: Any) -> Run:
    facts = of("admm", beta=beta, model=target, seeds={"model": 0, "surrogate": 1}, **changes)
    facts["choices"]["model@surrogate"] = "hcn"
    return Run(facts, six_rows())


def defended(sigma: float, adaptive: bool, share: float, **changes: Any) -> Run:
    facts = of("admm", **changes)
    facts["choices"] = {**facts["choices"], "defense": "noise_filter"}
    facts["settings"] |= {"defense": {"sigma": sigma, "taps": 5, "draws": 50, "eot": 8}, "adaptive": adaptive}
    table = six_rows()
    return Run(facts, table.assign(adv_share=share, success_share=1 - share, clean_share=0.9, judgements=10))
