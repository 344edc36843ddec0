"""Verification by hand: equal error rates, thresholds, evading and impersonating, and the table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples

from skeleton_adv.report import identification
from skeleton_adv.report.tables.identification import TABLE
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.schema import IDENTIFICATION

# Six clips of two identities. Clean clips are at 0.1 to 0.3 from their own template and at 0.6 to 0.9 from the other,
# except the last, which is nearer to the other. The attack moves the first three to the other template.
ROWS: dict[str, list[Any]] = {
    "identity": [0, 0, 0, 1, 1, 1],
    "claimed": [1, 1, 1, 0, -1, 0],
    "clean_nearest": [0, 0, 0, 1, 1, 0],
    "adv_nearest": [1, 1, 0, 1, 1, 0],
    "clean_to_0": [0.1, 0.2, 0.3, 0.8, 0.9, 0.2],
    "clean_to_1": [0.9, 0.8, 0.7, 0.1, 0.2, 0.6],
    "adv_to_0": [0.7, 0.8, 0.3, 0.7, 0.9, 0.1],
    "adv_to_1": [0.1, 0.2, 0.6, 0.2, 0.2, 0.9],
}


def run(**facts: Any) -> Run:
    base: dict[str, Any] = {"index": [*range(6)], "name": [f"clip_{n}" for n in range(6)], "label": 1, "target": -1}
    held = {name: samples.TYPES[kind] for name, kind in IDENTIFICATION.columns.items()} | base | ROWS
    made = [{name: each[row] if isinstance(each, list) else each for name, each in held.items()} for row in range(6)]
    settings = {"of": "actions", "layer": -1, "distance": "cosine", "bones": "kept", "judged": {"run": "a"}}
    given: dict[str, Any] = {"constraints": {}, "choices": {"attack": "bim"}} | facts
    return samples.run(made, kind="identification", settings=settings | given.pop("settings", {}), **given)


def test_genuine_and_impostor_distances() -> None:
    one = run()
    assert identification.genuine(one, "clean").tolist() == [0.1, 0.2, 0.3, 0.1, 0.2, 0.6]
    assert sorted(identification.impostors(one)) == [0.2, 0.7, 0.8, 0.8, 0.9, 0.9]


def test_the_equal_error_rate_is_where_both_errors_are_equal() -> None:
    """At 0.3, one of six genuine pairs is rejected and one of six impostors accepted."""
    found = identification.error_rate(run())
    assert found == {"eer": pytest.approx(1 / 6), "eer_threshold": 0.3}


def test_the_equal_error_rate_of_normal_distances() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    value, threshold = identification.equal_error(rng.normal(0, 1, 20000), rng.normal(2, 1, 20000))
    assert value == pytest.approx(0.1587, abs=0.005) and threshold == pytest.approx(1, abs=0.05)


def test_a_strict_threshold_accepts_no_more_impostors_than_allowed() -> None:
    others = np.arange(1000) / 1000
    assert (others <= identification.strict(others)).sum() == 10
    assert (np.full(50, 0.5) <= identification.strict(np.full(50, 0.5))).sum() == 0


def test_identification_and_verification_under_attack() -> None:
    one = run()
    rates = {
        "identified": identification.identified(one, "clean"),
        "identified_after": identification.identified(one, "adv"),
        "misled": identification.misled(one),
        "evading": identification.rejected(one, "adv"),
        "evading_before": identification.rejected(one, "clean"),
        "impersonating": identification.impersonating(one, "adv"),
        "impersonating_before": identification.impersonating(one, "clean"),
        "verified": identification.verified(one, "adv"),
    }
    assert {name: (rate.hits, rate.count) for name, rate in rates.items()} == {
        "identified": (5, 6),
        "identified_after": (3, 5),
        "misled": (3, 5),
        "evading": (3, 6),
        "evading_before": (1, 6),
        "impersonating": (3, 5),
        "impersonating_before": (1, 5),
        "verified": (0, 6),
    }
    assert identification.to_claimed(one) == pytest.approx((0.1 + 0.2 + 0.6 + 0.7 + 0.1) / 5)


def test_the_table_and_the_paper_beside_it(tmp_path: Path) -> None:
    write(TABLE, [run()], TABLE.rows([run()]), [run()], tmp_path)
    text = (tmp_path / "utd_mhad/identification.md").read_text()
    assert "60.0 [23.1, 88.2] (3/5)" in text and "92.8" in text
