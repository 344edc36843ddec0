"""Certificates of finished runs -> certified accuracy by radius. Pure functions of records; no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from skeleton_adv.errors import RunError
from skeleton_adv.records import CERTIFICATE_COLUMNS, read_json
from skeleton_adv.summary import Rate, finished

Form = Literal["standard", "paper"]
RADII = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of a table's columns
COLUMN: dict[Form, str] = {"standard": "radius", "paper": "paper_radius"}


@dataclass(frozen=True)
class Certified:
    """One run of certificates: what ``run.json`` says, and a row a clip."""

    about: Mapping[str, Any]
    records: pd.DataFrame

    @property
    def sigma(self) -> float:
        return float(self.about["settings"]["smoothing"]["sigma"])

    def accuracy(self, radius: float, form: Form = "standard") -> Rate:
        """Share of clips that are certified as their own class up to ``radius`` at least.

        Abstentions and wrong answers count as 0, as in Cohen et al. (arXiv 1902.02918).
        """
        if form == "paper":
            held = self.records["paper_radius"] >= radius
        else:
            held = self.records["correct"] & (self.records["radius"] >= radius)
        return Rate(int(held.sum()), len(held))

    def mean_radius(self, column: Literal["radius", "rms_mm"] = "radius") -> float:
        """Average certified radius, 0 for what is wrong or abstained (Zhai et al., arXiv 2001.02378)."""
        return float((self.records[column] * self.records["correct"]).mean())


def load_certified(folder: Path, required: bool = False) -> Certified | None:
    """The certificates in ``folder``; None if they are not finished, unless they are ``required``.

    Raises ``RunError`` if required ones are not finished, or if they are damaged.
    """
    if not finished(folder, required):
        return None
    about, records = read_json(folder / "run.json"), pd.read_csv(folder / "certificates.csv")
    if tuple(records.columns) != CERTIFICATE_COLUMNS or len(records) != about["done"]:
        raise RunError(f"{folder}/certificates.csv is damaged or of another version: run it again")
    return Certified(about, records)


def find_certified(root: Path, skip_unfinished: bool = False) -> list[Certified]:
    """All runs of certificates below a folder, in a fixed order; raises ``RunError`` as ``load_certified`` does."""
    folders = sorted(path.parent for path in root.rglob("certificates.csv"))
    loaded = [load_certified(folder, required=not skip_unfinished) for folder in folders]
    return [run for run in loaded if run is not None]


def curve(run: Certified, radii: Sequence[float], form: Form = "standard") -> pd.DataFrame:
    """Certified accuracy and its 95 % Wilson interval at each radius."""
    rows = []
    for radius in radii:
        rate = run.accuracy(radius, form)
        low, high = rate.interval
        rows.append({"radius": radius, "accuracy": rate.value, "low": low, "high": high, "clips": rate.count})
    return pd.DataFrame(rows).assign(sigma=run.sigma, form=form, run=run.about["identity"])


def readable(runs: Sequence[Certified]) -> pd.DataFrame:
    """A row a run: certified accuracy at some radii, average radius, abstentions, and the paper's form at 0.5."""
    rows = []
    for run in runs:
        choices = run.about["choices"]
        row = {
            "dataset": run.about["dataset"],
            "victim": choices["model"],
            "defense": choices["defense"],
            "σ": f"{run.sigma:g}",
            "n": f"{run.about['settings']['smoothing']['n']}",
            "clips": f"{run.about['done']} of {run.about['total']}",
        }
        row |= {f"r={radius:g}": _text(run.accuracy(radius)) for radius in RADII}
        row |= {
            "mean radius": f"{run.mean_radius():.3f}",
            "rms ‰": f"{run.mean_radius('rms_mm'):.2f}",
            "abstained %": f"{100 * run.records['abstained'].mean():.1f}",
            "paper's form, r=0.5": _text(run.accuracy(0.5, "paper")),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _text(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * rate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
