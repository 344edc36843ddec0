"""Rates and measures of a few rows with known results."""

import math
import time
from dataclasses import replace

import pytest
from samples import defended, run, six_rows
from statsmodels.stats.proportion import proportion_confint

from skeleton_adv.report.columns import format_rate
from skeleton_adv.report.differences import differences
from skeleton_adv.report.stats import Rate, Spread, maximum, measure, rates, without_motion
from skeleton_adv.runs.load import Run


def test_rates_by_hand() -> None:
    assert rates(run()) == {
        "clean_accuracy": Rate(4, 6),
        "adv_accuracy": Rate(0, 6),
        "found": Rate(6, 6),
        "success": Rate(4, 6),
        "noise_success": Rate(0, 6),
        "success_if_right": Rate(3, 4),
        "feasible_success": Rate(2, 6),
        "feasible_success_if_right": Rate(1, 4),
    }


def test_clips_of_the_targets_own_class_are_left_out() -> None:
    rows = six_rows(target=1, label=[2, 1, 1, 1, 2, 1])
    found = rates(run(rows, settings={"targeted": True, "target": "wave"}))
    assert found["success"] == Rate(2, 2) and found["success_if_right"] == Rate(1, 1)
    assert found["clean_accuracy"].count == 6


def test_a_clip_counts_by_the_share_of_its_judgements() -> None:
    found = rates(defended(0.01, True, 0.25))
    assert found["success"] == Rate(4.5, 6) and found["adv_accuracy"] == Rate(1.5, 6)
    assert found["clean_accuracy"].hits == pytest.approx(5.4)


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 7), (430, 430), (61, 430)])
def test_wilson_intervals(hits: int, count: int) -> None:
    low, high = proportion_confint(hits, count, method="wilson")
    assert Rate(hits, count).interval == pytest.approx((low, high), abs=1e-12)
    assert math.isnan(Rate(0, 0).value)


def test_measures_by_hand() -> None:
    found = run()
    assert measure(found, "bone_mean") == pytest.approx(0.025)
    assert maximum(found, "bone_max") == Spread(pytest.approx(0.2), pytest.approx(0.1))
    assert measure(found, "kinetic") == pytest.approx(0.04) and without_motion(found) == 1
    assert measure(found, "feasible") == pytest.approx(0.5)
    diverged = run(six_rows(adv_pred=[2, 2, 2, 2, 2, -1]))
    assert measure(diverged, "bone_mean") == pytest.approx(0.02)


@pytest.mark.parametrize(("hits", "text"), [(4, "4"), (12345.0, "12345"), (12345.25, "12345.2"), (3.3, "3.3")])
def test_counts_are_written_in_full(hits: float, text: str) -> None:
    assert format_rate(Rate(hits, 16487)).endswith(f"({text}/16487)")


def test_only_real_differences_are_named() -> None:
    """An untargeted run among targeted ones has no target, which is not a difference."""
    runs = [run(), run(settings={"seed": 1}), run(settings={"target": "random", "targeted": True})]
    assert differences(runs, ("targeted",)) == ["seed=0", "seed=1", "seed=0, target=random"]
    assert differences(runs, ("targeted", "target", "seed")) == ["", "", ""]
    assert differences(runs[:1], ()) == [""]


def test_settings_are_compared_where_they_mean_the_same() -> None:
    one, other = run(), run(choices={"attack": "pgd"}, settings={"attack": {"steps": 3}})
    third = run(choices={"attack": "pgd"}, settings={"attack": {"steps": 4, "taps": None}})
    assert differences([one, other, third], ()) == ["", "attack.steps=3", "attack.steps=4"]
    frames = [run(settings={"dataset": {"num_frames": n}}, choices={"model": m}) for n, m in ((32, "a"), (64, "b"))]
    assert differences(frames, ()) == ["", ""]  # the title names each victim's
    frames[1] = run(settings={"dataset": {"num_frames": 64}}, choices={"model": "a"})
    assert differences(frames, ()) == ["dataset.num_frames=32", "dataset.num_frames=64"]


def test_limits_on_the_body_are_named_if_the_name_says_which() -> None:
    def limited(eps: float, **choices: str) -> Run:
        constraint = {"bone": {"_target_": "x", "eps": eps}}
        return run(choices={"constraint": "paper", **choices}, settings={"constraint": constraint})

    runs = [limited(0.01), limited(0.1, threat="bone10"), limited(0.01, threat="linf_2mm")]
    assert differences(runs, ()) == ["constraint=paper", "constraint=bone10", "constraint=paper"]
    runs = [limited(0.01), limited(0.02)]
    assert differences(runs, ()) == ["constraint.bone.eps=0.01", "constraint.bone.eps=0.02"]
    assert differences(runs[:1] * 2, ()) == ["", ""]


def test_comparing_runs_takes_linear_time() -> None:
    """It used to take 6.7 s for 800 runs, and four times as long for 1600."""
    one = run(settings={f"key{n}": n for n in range(40)})
    runs = [replace(one, settings={**one.settings, "seed": n}) for n in range(2000)]
    began = time.process_time()
    assert differences(runs, ())[1999] == "seed=1999"
    assert time.process_time() - began < 5
