"""scripts/repetitions.py: the alignment is the cheapest, and copies of a motion do not differ."""

import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.transform import Rotation

SCRIPT = Path(__file__).parents[1] / "scripts" / "repetitions.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def cheapest(costs: np.ndarray) -> float:
    """By recursion over all paths."""

    @cache
    def to(i: int, j: int) -> float:
        if i < 0 or j < 0:
            return np.inf
        before = 0.0 if i == j == 0 else min(to(i - 1, j - 1), to(i - 1, j), to(i, j - 1))
        return float(costs[i, j]) + before

    return to(costs.shape[0] - 1, costs.shape[1] - 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_path_is_the_cheapest_and_goes_on_by_one_frame(script: dict[str, Any], seed: int) -> None:
    costs = np.random.default_rng(seed).uniform(size=(7, 5 + seed))
    first, second = script["aligned"](costs)
    assert costs[first, second].sum() == pytest.approx(cheapest(costs))
    assert (first[0], second[0]) == (0, 0) and (first[-1], second[-1]) == (6, 4 + seed)
    steps = np.stack((np.diff(first), np.diff(second)))
    assert ((steps >= 0) & (steps <= 1)).all() and (steps.sum(axis=0) > 0).all()


def body(frames: int, seed: int = 0) -> np.ndarray:
    """(F, 20, 3) a smooth motion of a fixed pose."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0, 1, frames)[:, None, None]
    return rng.normal(size=(20, 3)) + 0.3 * np.sin(3 * times + rng.uniform(0, 6, size=(20, 3)))


def test_a_turned_moved_and_slowed_copy_does_not_differ_and_a_larger_body_does(script: dict[str, Any]) -> None:
    joints = body(30)
    turned = Rotation.from_rotvec([0, 1.2, 0]).apply(joints.reshape(-1, 3)).reshape(joints.shape) + [1, 0, 2]
    one = script["Motion"].of(joints)
    again = script["Motion"].of(np.repeat(turned, 2, axis=0))
    found = script["differences"](one, again, np.median(one.bones, axis=0))
    assert max(found[name].max() for name in ("bone", "angle", "estimate", "direction")) < 1e-6
    larger = script["differences"](one, script["Motion"].of(1.1 * joints), one.bones[0])
    assert larger["bone"].max() > 0.09 and larger["angle"].max() < 1e-9 and larger["direction"].max() < 1e-9


def test_the_page_counts_pairs_and_compares_with_the_limits(script: dict[str, Any], tmp_path: Path) -> None:
    for trial in (1, 2, 3):
        joints = body(20) + 0.01 * np.random.default_rng(trial).normal(size=(20, 20, 3))
        savemat(tmp_path / f"a1_s1_t{trial}_skeleton.mat", {"d_skel": joints.transpose(1, 2, 0)})
    text = script["page"](str(tmp_path))
    assert "3 pairs of trials" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "`loose" in line]
    assert len(rows) == 5 and rows[0][1] == "3 (`loose`)"
    assert float(rows[0][4].removesuffix(" ×")) == pytest.approx(float(rows[0][3]) / 3, abs=0.06)
