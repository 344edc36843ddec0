"""AUC against counting pairs and a closed form, its interval by simulation, and the table and figure by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import samples
from scipy.stats import norm

from skeleton_adv.figures import write_all
from skeleton_adv.report import detection
from skeleton_adv.report.columns import scope_of
from skeleton_adv.report.detection import area
from skeleton_adv.report.figures.roc import curve
from skeleton_adv.report.tables.detection import TABLE, by_configuration
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.schema import DETECTION

ROWS: dict[str, list[Any]] = {
    "clean_correct": [True, True, True, True, False, True],
    "success": [True, True, True, True, True, False],
    "clean_score": [0.0, 1.0, 2.0, 3.0, 9.0, 9.0],
    "adv_score": [1.5, 2.0, 4.0, 5.0, 0.0, 0.0],
}


def detected(identity: str = "abc", rows: dict[str, Any] | None = None, **facts: Any) -> Run:
    """A detection by LSTM of BIM; counted are the first four clips. The threshold is 3.5."""
    base = {"index": [*range(6)], "name": [f"clip_{n}" for n in range(6)], "label": 1, "target": -1, "threshold": 3.5}
    base |= ROWS | (rows or {})
    base["adv_alarm"] = [score > 3.5 for score in base["adv_score"]]
    base["clean_alarm"] = [score > 3.5 for score in base["clean_score"]]
    kinds = DETECTION.columns.items()
    held = {name: base.get(name, samples.TYPES[kind]) for name, kind in kinds}
    made = [{name: each[row] if isinstance(each, list) else each for name, each in held.items()} for row in range(6)]
    settings = {
        "attack": {"norm": "linf", "eps": 0.01},
        "detector": {"network": "lstm", "representative": "medoid", "distance": "cosine"},
        "fit_on": [{"run": "seen", "attack": "bim", "clips": "0"}],
        "fit_clips": None,
        "judged": {"run": "seen", "attack": "bim", "clips": "0"},
        "adaptive": False,
    }
    given: dict[str, Any] = {"access": "oblivious", "constraints": {}, "identity": identity} | facts
    choices = {"attack": "bim", "detector": "lstm"} | given.pop("choices", {})
    return samples.run(made, kind="detection", settings=settings | given.pop("settings", {}), choices=choices, **given)


def adaptive(identity: str = "def") -> Run:
    joint = {"norm": "linf", "eps": 0.02, "steps": 100, "weights": [1.0]}
    rows = {"adv_score": [0.0, 0.0, 3.5, 4.0, 0.0, 0.0]}
    return detected(identity, rows, access="adaptive", settings={"adaptive": True, "joint": joint})


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    natural, adversarial = rng.integers(0, 6, 40).astype(float), rng.integers(2, 9, 25).astype(float)
    pairs = [float(b > a) + 0.5 * float(b == a) for a in natural for b in adversarial]
    assert area(natural, adversarial).value == pytest.approx(np.mean(pairs))
    assert math.isnan(area(natural, adversarial[:0]).value)


def test_the_area_of_normal_scores_has_a_closed_form() -> None:
    """Phi(d / sqrt 2) for two normal distributions at a distance of d."""
    rng = np.random.Generator(np.random.PCG64(1))
    found = area(rng.normal(size=20000), rng.normal(1.2, 1, 20000))
    assert found.value == pytest.approx(norm.cdf(1.2 / math.sqrt(2)), abs=0.005)
    low, high = found.interval
    assert low < norm.cdf(1.2 / math.sqrt(2)) < high and high - low < 0.02


@pytest.mark.parametrize(("distance", "clips"), [(0.0, 30), (1.2, 30), (2.5, 20)])
def test_the_interval_covers_the_true_area(distance: float, clips: int) -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    true = norm.cdf(distance / math.sqrt(2))
    hits = []
    for _ in range(400):
        low, high = area(rng.normal(size=clips), rng.normal(distance, 1, clips)).interval
        hits.append(low <= true <= high)
    assert np.mean(hits) >= 0.92


def test_an_area_of_one_has_an_interval_too() -> None:
    low, high = area(np.zeros(20), np.ones(20)).interval
    assert 0.7 < low < 0.95 and high == pytest.approx(1.0)
    wider, _ = area(np.zeros(5), np.ones(5)).interval
    assert wider < low


def test_measures_by_hand() -> None:
    """Natural scores 0 to 3; adversarial 1.5, 2, 4, 5: 12.5 of 16 pairs are in order."""
    run = detected()
    assert detection.auc(run)["auc"] == pytest.approx(12.5 / 16)
    assert (detection.detected(run).hits, detection.detected(run).count) == (2, 4)
    assert (detection.undetected(run).hits, detection.undetected(run).count) == (2, 5)
    assert (detection.success(run).hits, detection.alarms(run).hits, detection.alarms(run).count) == (4, 1, 5)
    at_95, at_75 = detection.false_alarms(run), detection.false_alarms(run, 0.75)
    assert at_95 is not None and at_75 is not None and (at_95.hits, at_75.hits) == (2, 2)
    half = detection.false_alarms(run, 0.5)
    assert half is not None and half.hits == 0
    assert detection.fitted_on(run) == "bim (seen)"
    none = detected(rows={"success": [False] * 6})
    assert detection.false_alarms(none) is None and math.isnan(detection.auc(none)["auc"])


def test_clips_whose_label_is_the_target_count_nowhere() -> None:
    """The third of the four clips that count is of the target's class already."""
    run = detected(rows={"label": [1, 1, 2, 1, 1, 1], "target": 2}, settings={"targeted": True})
    natural, adversarial = detection.scores(run)
    assert (natural.tolist(), adversarial.tolist()) == ([0, 1, 3], [1.5, 2, 5])
    assert (detection.detected(run).hits, detection.detected(run).count) == (1, 3)
    assert (detection.undetected(run).count, detection.success(run).count) == (4, 4)


def test_the_curve_goes_from_no_alarm_to_all_and_has_the_area() -> None:
    run = detected()
    frame = curve(*detection.scores(run))
    assert frame[["false_alarms", "detected"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    steps = np.trapezoid(frame["detected"], frame["false_alarms"])
    assert steps == pytest.approx(detection.auc(run)["auc"])


def test_an_oblivious_and_an_adaptive_attack_share_a_row(tmp_path: Path) -> None:
    runs = [detected(), adaptive()]
    frame = TABLE.rows(runs)
    assert len(frame) == 1
    row = frame.iloc[0]
    assert (row["oblivious_undetected_hits"], row["adaptive_undetected_hits"]) == (2, 3)
    grid = TABLE.page(frame, scope_of(runs)).grid
    assert {"oblivious: AUC", "adaptive: success without alarm"} <= {*grid} and "differs" not in grid
    assert grid["adaptive: budget"] == ["linf ε=0.02"]  # not that of the judged attack
    assert write(TABLE, runs, frame, runs, tmp_path)
    notes = (tmp_path / "utd_mhad/detection.md").read_text()
    assert "assumes independent clips" in notes and "other subjects" not in notes


def test_unseen_attacks_and_other_detectors_have_rows_of_their_own() -> None:
    other = detected("ghi", settings={"judged": {"run": "x", "attack": "cw", "clips": "1"}}, choices={"attack": "cw"})
    knn = detected("jkl", settings={"fit_on": [], "detector": {"k": 5}}, choices={"detector": "knn"})
    frame = TABLE.rows([detected(), other, knn])
    assert sorted(frame["fitted_on"]) == ["bim (seen)", "bim (unseen)", "natural clips"]
    rows = by_configuration([detected(), other, adaptive()])
    (row,) = rows
    assert row["auc bim linf ε=0.01"] == pytest.approx(12.5 / 16) and "macro" not in row
    assert (row["paper_bim"], row["paper_macro"]) == (0.929, 0.819)


def judging(name: str, identity: str, rows: dict[str, Any] | None = None, **settings: Any) -> Run:
    about = {"attack": name, "run": identity, "clips": "1"}
    return detected(identity, rows, settings={"judged": about} | settings, choices={"attack": name})


def test_the_mean_is_that_of_the_attacks_of_the_paper() -> None:
    perfect = {"adv_score": [9.0] * 6}
    others = [judging("cw", "b"), judging("mi_fgsm", "c"), judging("ddn", "d", perfect)]
    (row,) = by_configuration([detected(), *others])
    assert row["macro"] == pytest.approx(12.5 / 16) and row["auc ddn linf ε=0.01"] == 1
    assert "macro" not in by_configuration(others)[0]


def test_no_run_hides_another(tmp_path: Path) -> None:
    """Detectors with other settings, weights or parts have separate rows, and attacks have separate columns."""
    own = detected().settings
    several: list[dict[str, Any]] = [
        {"detector": own["detector"] | {"hidden": 7}},
        {"checkpoint": "other"},
        {"seed": 3},
        {"fit_clips": "*_s2_*"},
    ]
    runs = [detected(), *(detected(str(place), settings=one) for place, one in enumerate(several))]
    rows = by_configuration(runs)
    assert len(rows) == 5 and len({row["differs"] for row in rows}) == 5
    assert {"detector.hidden=7", "seed=3"} <= {part for row in rows for part in row["differs"].split(", ")}
    attacks = [detected(), judging("bim", "x", attack={"norm": "linf", "eps": 0.01, "steps": 5}), judging("bim", "y")]
    (row,) = by_configuration(attacks)
    assert len([name for name in row if name.startswith("auc ")]) == 3
    write(TABLE, runs + attacks[1:], TABLE.rows(runs + attacks[1:]), runs + attacks[1:], tmp_path)
    assert "detector.hidden=7" in (tmp_path / "utd_mhad/detection.md").read_text()


def test_roc_curves_are_drawn(tmp_path: Path) -> None:
    none = detected("ghi", rows={"success": [False] * 6})
    paths = write_all([detected(), adaptive(), none], tmp_path)
    assert [path.suffix for path in paths] == [".png", ".pdf", ".csv"]
    assert {*pd.read_csv(paths[2])["attack"]} == {"bim linf ε=0.01", "bim linf ε=0.01, adaptive"}
    assert write_all([none], tmp_path / "empty") == []
