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


def run(rows: dict[str, Any] | None = None, **facts: Any) -> Run:
    base: dict[str, Any] = {"index": [*range(6)], "name": [f"clip_{n}" for n in range(6)], "label": 1, "target": -1}
    held = {name: samples.TYPES[kind] for name, kind in IDENTIFICATION.columns.items()} | base | ROWS | (rows or {})
    made = [{name: each[row] if isinstance(each, list) else each for name, each in held.items()} for row in range(6)]
    settings = {"of": "actions", "layer": -1, "distance": "cosine", "bones": "kept", "judged": {"run": "a"}}
    given: dict[str, Any] = {"constraints": {}, "choices": {"attack": "bim"}} | facts
    return samples.run(made, kind="identification", settings=settings | given.pop("settings", {}), **given)


def test_genuine_and_impostor_distances() -> None:
    one = run()
    assert identification.genuine(one, "clean").tolist() == [0.1, 0.2, 0.3, 0.1, 0.2, 0.6]
    assert sorted(identification.impostors(one)) == [0.2, 0.7, 0.8, 0.8, 0.9, 0.9]


def test_the_equal_error_rate_is_where_both_errors_are_equal() -> None:
    """From 0.3 to below 0.6, one of six genuine pairs is rejected and one of six impostors accepted."""
    found = identification.error_rate(run())
    assert found == {"eer": pytest.approx(1 / 6), "eer_threshold": pytest.approx(0.45)}


def test_the_threshold_of_separable_distances_is_in_the_middle() -> None:
    found = identification.equal_error(np.array([0.1, 0.2]), np.array([0.5, 0.6]))
    assert found == (0, pytest.approx(0.35))


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
        "evading": identification.rejected(one),
        "evading_before": identification.rejected_before(one),
        "impersonating": identification.impersonating(one),
        "impersonating_before": identification.impersonating_before(one),
        "verified": identification.verified(one, "adv"),
    }
    assert {name: (rate.hits, rate.count) for name, rate in rates.items()} == {
        "identified": (5, 6),
        "identified_after": (3, 5),
        "misled": (2, 5),
        "evading": (2, 5),
        "evading_before": (1, 6),
        "impersonating": (2, 5),
        "impersonating_before": (0, 5),
        "verified": (0, 6),
    }
    assert identification.to_claimed(one) == pytest.approx((0.1 + 0.2 + 0.6 + 0.7 + 0.1) / 5)


@pytest.mark.parametrize(
    ("settings", "claimed"),
    [
        ({}, [-1, -1, -1, -1, -1, 0]),  # untargeted: the network errs on the last clip before any attack
        ({"targeted": True}, [1, 1, 1, 0, 0, 0]),
        ({"of": "subjects"}, [1, 1, 1, 0, 0, 0]),  # the nearest wrong template
    ],
)
def test_an_attack_that_moves_nothing_has_no_success(settings: dict[str, Any], claimed: list[int]) -> None:
    still = {name.replace("clean", "adv"): values for name, values in ROWS.items() if name.startswith("clean")}
    one = run({"claimed": claimed} | still, settings=settings)
    for found in (identification.misled(one), identification.rejected(one), identification.impersonating(one)):
        assert (found.hits, found.count) == (0, 5)


def test_a_clip_of_the_target_class_and_one_that_is_accepted_as_the_other_before_do_not_count() -> None:
    near = [0.9, 0.3, 0.7, 0.1, 0.2, 0.6]  # the second clip is accepted as the other identity before
    one = run({"claimed": [1, 1, 1, -1, -1, -1], "clean_to_1": near}, settings={"targeted": True})
    assert identification.impersonating(one).count == 2
    before = identification.impersonating_before(one)
    assert (before.hits, before.count) == (1, 3)


def test_the_table_and_the_paper_beside_it(tmp_path: Path) -> None:
    write(TABLE, [run()], TABLE.rows([run()]), [run()], tmp_path)
    text = (tmp_path / "utd_mhad/identification.md").read_text()
    assert "60.0 [23.1, 88.2] (3/5)" in text and "92.8" in text
    assert "evading, before" in text and "impersonating, before" in text
