"""Certificates of finished runs -> certified accuracy by radius. Pure functions of records; no torch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from skeleton_adv.report.stats import Rate, differences, each_once, finished, read_rows
from skeleton_adv.report.words import columns_of, interval, number
from skeleton_adv.runs.folder import CERTIFICATE_COLUMNS

Form = Literal["standard", "paper"]
FORMS: tuple[Form, ...] = ("standard", "paper")  # Cohen et al.'s, and Zheng et al.'s
OWN_KEYS = ("smoothing.sigma", "smoothing.n", "checkpoint")  # the rows show these: weights by their name
RADII = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of a table's columns

NOTES = (
    "Certified accuracy at radius r (ℓ2, in the clips' unit), of the smoothed victim, in the space after resampling, "
    "for changes of existing joints only; percentages with 95 % Wilson intervals and counts. r=0: right and certified "
    "at all. Mean radius: 0 for what is wrong or abstained; rms: the same a joint and frame. Clean accuracy: of the "
    "victim without noise. The paper's form rests on intervals that cover less than they say and is no proof "
    "(skeleton_adv.certify.zheng)."
)


@dataclass(frozen=True)
class Certified:
    """One run of certificates: what ``run.json`` says, and a row a clip."""

    about: Mapping[str, Any]
    records: pd.DataFrame

    @property
    def sigma(self) -> float:
        return float(self.about["settings"]["smoothing"]["sigma"])

    @property
    def trained_noise(self) -> float | None:
        """Sigma of the noise in the victim's training; None if nobody knows."""
        noise: float | None = self.about.get("trained_noise")
        return noise

    def share(self, column: Literal["clean_correct", "abstained"]) -> Rate:
        """Share of clips that the victim gets right without noise, or on which the certificate abstains."""
        return Rate(int(self.records[column].sum()), len(self.records))

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

    Raises ``RunError`` as ``summary.read_rows`` does, and if required ones are not finished.
    """
    return (
        Certified(*read_rows(folder / "certificates.csv", CERTIFICATE_COLUMNS)) if finished(folder, required) else None
    )


def find_certified(root: Path, skip_unfinished: bool = False) -> list[Certified]:
    """All runs of certificates below a folder, in a fixed order; raises ``RunError`` as ``summary.load_runs`` does."""
    folders = sorted(path.parent for path in root.rglob("certificates.csv"))
    return each_once((folder, load_certified(folder, required=not skip_unfinished)) for folder in folders)


def curve(run: Certified, radii: Sequence[float], form: Form = "standard") -> pd.DataFrame:
    """Certified accuracy and its 95 % Wilson interval at each radius."""
    rows = []
    for radius in radii:
        rate = run.accuracy(radius, form)
        low, high = rate.interval
        rows.append({"radius": radius, "accuracy": rate.value, "low": low, "high": high, "clips": rate.count})
    return pd.DataFrame(rows).assign(sigma=run.sigma, form=form, run=run.about["identity"])


def rows(runs: Sequence[Certified]) -> pd.DataFrame:
    """A row a run: certified accuracy at some radii in both forms, and rates with count and interval, as numbers."""
    found, names = [], _names(runs)
    for run, name, apart in zip(runs, names, differences(runs, OWN_KEYS), strict=True):
        about = run.about
        row: dict[str, Any] = {
            "victim": name,
            "defense": about["choices"]["defense"],
            "sigma": run.sigma,
            "n": about["settings"]["smoothing"]["n"],
            "trained_noise": run.trained_noise,
            "clips": about["done"],
            "test_clips": about["total"],
        }
        row |= columns_of("clean_accuracy", run.share("clean_correct")) | columns_of(
            "abstained", run.share("abstained")
        )
        for form in FORMS:
            for radius in RADII:
                row |= columns_of(f"{form}_{radius:g}", run.accuracy(radius, form))
        row |= {"mean_radius": run.mean_radius(), "mean_rms_mm": run.mean_radius("rms_mm")}
        found.append(row | {"differs": apart, "run": about["identity"]})
    return pd.DataFrame(found).sort_values(["victim", "defense", "sigma", "n"], ignore_index=True, kind="stable")


def _names(runs: Sequence[Certified]) -> list[str]:
    """What each run's victim is called: with its digest where several of one name were trained with one noise."""
    weights = [str(run.about["settings"].get("checkpoint")) for run in runs]
    names = [(f"{run.about['choices']['model']} s{run.about['seeds']['model']}", run.trained_noise) for run in runs]
    often = Counter(name for name, _ in {*zip(names, weights, strict=True)})
    return [
        f"{name[0]} ({digest[:8]})" if often[name] > 1 else name[0] for name, digest in zip(names, weights, strict=True)
    ]


def readable(frame: pd.DataFrame, length: str) -> pd.DataFrame:
    """``rows`` as people read them, radii in a unit of ``length``."""
    shown = []
    for _, row in frame.iterrows():
        cells = {
            "victim": row["victim"],
            "defense": row["defense"],
            "σ": f"{row['sigma']:g}",
            "n": f"{row['n']}",
            "trained with σ": number(row, "trained_noise", "g") or "not known",
            "clips": f"{row['clips']} of {row['test_clips']}",
            "clean accuracy": interval(row, "clean_accuracy"),
        }
        cells |= {f"r={radius:g}": interval(row, f"standard_{radius:g}") for radius in RADII}
        cells |= {
            "mean radius": f"{row['mean_radius']:.3f} {length}",
            "rms": f"{row['mean_rms_mm']:.2f} {'mm' if length == 'm' else '‰'}",
            "abstained": interval(row, "abstained"),
            "paper's form, r=0.5": interval(row, "paper_0.5"),
            "differs": row["differs"],
        }
        shown.append(cells)
    grid = pd.DataFrame(shown)
    return grid.loc[:, (grid != "").any(axis=0)]
