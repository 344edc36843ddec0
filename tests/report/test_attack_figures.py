"""Figures of every attack by hand: accuracy by class, confusion, success by l2; and laws of all figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from samples import admm, certified, cw, defended, run, six_rows, transfer

from skeleton_adv.figures import write_all
from skeleton_adv.report.draw import Drawing, group_sources, write_drawing
from skeleton_adv.report.figures import FIGURES, confusion, per_class, success_by_l2
from skeleton_adv.report.stats import Rate, rates
from skeleton_adv.runs.load import Run

NAMES = ["wave", "sit_down", "stand_up", "jump"]
# Six clips of classes 0, 1 and 2; correct before: 0 to 3; under attack, class 2 diverges once and is correct once.
ROWS: dict[str, Any] = {
    "label": [0, 0, 1, 1, 2, 2],
    "clean_pred": [0, 0, 1, 1, 0, 0],
    "adv_pred": [1, 1, 3, 1, -1, 2],
    "success": [True, True, True, False, False, False],
    "l2": [0.3, 0.1, 0.2, 0.9, 0.05, 0.05],
    "rms_mm": [3.0, 1.0, 4.0, 9.0, 0.5, 0.5],
}


def classes(**facts: Any) -> Run:
    return admm(rows=six_rows(**ROWS | facts.pop("rows", {})), classes=NAMES, **facts)


def rate(row: pd.Series, key: str) -> Rate:
    found = Rate(row[f"{key}_hits"], row[f"{key}_clips"])
    assert (row[key], row[f"{key}_low"], row[f"{key}_high"]) == pytest.approx((found.value, *found.interval))
    return found


def test_accuracy_by_class_by_hand() -> None:
    frame = per_class.per_class(classes())
    assert frame["class_name"].tolist() == ["sit down", "stand up", "wave"]  # by accuracy under attack, then before
    assert [rate(row, "clean_accuracy") for _, row in frame.iterrows()] == [Rate(2, 2), Rate(0, 2), Rate(2, 2)]
    assert [rate(row, "adv_accuracy") for _, row in frame.iterrows()] == [Rate(1, 2), Rate(1, 2), Rate(0, 2)]
    ((_, figure, _),) = per_class.draw([classes()])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["sit down (2)", "stand up (2)", "wave (2)"]


def test_confusion_by_hand() -> None:
    frame = confusion.confusion(classes())
    cells = {(row["class"], row["predicted"]): rate(row, "share") for _, row in frame.iterrows()}
    assert cells == {
        (0, 1): Rate(2, 2),
        (1, 1): Rate(1, 2),
        (1, 3): Rate(1, 2),
        (2, -1): Rate(1, 2),
        (2, 2): Rate(1, 2),
    }
    assert frame["predicted_name"].tolist() == ["sit down", "sit down", "jump", "none", "stand up"]
    ((_, figure, _),) = confusion.draw([classes()])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["wave", "sit down", "stand up", "jump", "none"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["wave", "sit down", "stand up"]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (1, 0): "2",
        (1, 1): "1",
        (3, 1): "1",
        (4, 2): "1",
        (2, 2): "1",
    }


def test_clips_of_the_targets_class_are_left_out_and_the_title_says_so() -> None:
    aimed = classes(rows={"target": 2}, settings={"targeted": True, "target": "stand_up"})
    assert {*per_class.per_class(aimed)["class"]} == {*confusion.confusion(aimed)["class"]} == {0, 1}
    for module in (per_class, confusion):
        ((_, figure, _),) = module.draw([aimed])
        assert "4 of 6 clips" in " ".join(figure.get_suptitle().split())


def test_classes_without_names_have_numbers() -> None:
    assert per_class.per_class(run())["class_name"].tolist() == ["1"]


@pytest.mark.parametrize("count", [6, 60, 130])
def test_many_classes_are_readable(count: int) -> None:
    """A label per class, none cut off by the next: at least 2.5 points of height each."""
    rows = [
        row | {"index": number, "name": f"clip_{number}", "label": number, "adv_pred": (number + 1) % count}
        for number in range(count)
        for row in six_rows()[:1]
    ]
    many = admm(rows=rows, classes=[f"class {number}" for number in range(count)], done=count)
    for module in (per_class, confusion):
        ((_, figure, _),) = module.draw([many])
        labels = figure.axes[0].get_yticklabels()
        assert len(labels) == count
        assert 72 * figure.get_figheight() / count > 1.2 * labels[0].get_fontsize() >= 3


def test_success_by_l2_by_hand() -> None:
    """Of 0 to 3, which are correct before: 1 falls at 0.1, 2 at 0.2, 0 at 0.3; 3 stays correct."""
    frame = success_by_l2.cumulative(classes(), "l2")
    assert frame["at_most"].tolist() == [0.0, 0.1, 0.2, 0.3]
    assert [rate(row, "success") for _, row in frame.iterrows()] == [Rate(hits, 4) for hits in range(4)]
    frame = success_by_l2.cumulative(classes(), "rms_mm")
    assert frame["at_most"].tolist() == [0.0, 1.0, 3.0, 4.0] and frame["success_hits"].tolist() == [0, 1, 2, 3]


def test_a_diverged_or_failed_clip_never_counts() -> None:
    """For any content of its rows."""
    diverged = classes(rows={"adv_pred": [-1, 1, 3, 1, -1, 2]})
    assert success_by_l2.cumulative(diverged, "l2")["success_hits"].tolist() == [0, 1, 2]
    assert success_by_l2.cumulative(classes(rows={"l2": float("nan")}), "l2")["success_hits"].tolist() == [0]


@pytest.mark.parametrize("made", [classes(), run(), cw(), transfer("hcn", 0.1), defended(0.01, True, 0.25)])
def test_the_curve_ends_at_the_success_of_the_tables(made: Run) -> None:
    for size in success_by_l2.SIZES:
        frame = success_by_l2.cumulative(made, size)
        assert frame["success"].is_monotonic_increasing and frame["at_most"].is_monotonic_increasing
        assert rate(frame.iloc[-1], "success") == rates(made)["success_if_right"]


def pictures(*runs: Run) -> list[list[str]]:
    """The runs of each picture of success by l2, by identity."""
    drawing = success_by_l2.FIGURE
    return [[one.identity for one in group] for _, group in group_sources(runs, drawing.name, drawing.apart)]


def test_attacks_on_one_victim_share_a_picture_and_others_never_do() -> None:
    runs = [admm(), admm(0.1, identity="b"), cw(identity="c"), transfer("hcn", 0.1, identity="d")]
    assert pictures(*runs) == [["abc", "b", "c", "d"]]
    aimed = {"targeted": True, "target": "random"}
    others = [
        admm(identity="x", settings={"checkpoint": "other"}),
        admm(identity="x", choices={"model": "agcn"}),
        admm(identity="x", settings={"prepared": "other"}),
        admm(identity="x", dataset="ntu60_cs"),
        admm(identity="x", rows=six_rows()[:4], done=4),
        admm(identity="x", rows=six_rows(label=[1, 1, 1, 1, 1, 2])),
        admm(identity="x", rows=six_rows(target=0), settings=aimed),
        admm(identity="x", choices={"defense": "noise"}, settings={"defense": {"sigma": 0.01}}),
    ]
    for other in others:
        assert sorted(pictures(runs[0], other)) == [["abc"], ["x"]]
    targets = [admm(rows=six_rows(target=n), settings=aimed, identity=f"{n}") for n in (0, 2)]
    assert len(pictures(*targets)) == 2
    adaptive, oblivious = defended(0.01, True, 0.5), defended(0.01, False, 0.5, identity="b")
    assert pictures(adaptive, oblivious) == [["abc", "b"]]


def test_the_legend_says_what_differs() -> None:
    runs = [admm(), admm(0.1, identity="b"), admm(identity="c", settings={"seed": 1}), transfer("hcn", 0.1)]
    assert success_by_l2.labels(runs[:2]) == ["admm β=1", "admm β=0.1"]
    assert success_by_l2.labels([runs[0], runs[2]]) == ["admm β=1, seed=0", "admm β=1, seed=1"]
    assert success_by_l2.labels([runs[0], runs[3]]) == ["admm β=1", "admm β=0.1, made on hcn"]
    sides = [defended(0.01, adaptive, 0.5, identity=f"{adaptive}") for adaptive in (True, False)]
    assert success_by_l2.labels(sides) == ["admm β=1, adaptive", "admm β=1, oblivious"]
    same = [admm(), admm(identity="b")]
    assert success_by_l2.labels(same) == ["admm β=1 (abc)", "admm β=1 (b)"]
    ((frame, figure, _),) = success_by_l2.draw(runs[:2])
    assert {*frame["attack"]} == {"admm β=1", "admm β=0.1"} and {*frame["size"]} == {"l2", "rms_mm"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["admm β=0.1: 3/4", "admm β=1: 3/4"]
    assert figure.axes[0].get_xlabel().endswith(", m") and figure.axes[1].get_xlabel().endswith(", mm")


def test_files_have_clear_names_and_an_experiment_draws_its_own_only(tmp_path: Path) -> None:
    made = classes()
    stems = {
        "per_class_hcn_admm_beta1_untargeted",
        "confusion_hcn_admm_beta1_untargeted",
        "success_by_l2_hcn_untargeted",
    }
    assert {path.stem for path in write_all([made], tmp_path)} == stems
    for experiment in ("table1", "table2", "films"):
        assert not write_all([made], tmp_path, experiment)


OF_RUNS = [one for one in FIGURES if one.source == "run"]
BALL = {"attack": {"eps": 0.1, "norm": "l2"}}
SAMPLES: dict[str, Callable[[], list[Run]]] = {
    "an attack": lambda: [admm()],
    "attacks": lambda: [admm(), cw(identity="b")],
    "transfer": lambda: [transfer("hcn", 0.1), transfer("agcn", 0.1, identity="b")],
    "defended": lambda: [
        defended(0.01, True, 0.5, settings=BALL),
        defended(0.01, False, 0.5, settings=BALL, identity="b"),
    ],
    "certificates": lambda: [certified(), certified(0.5, "b")],
}


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize(
    "drawing", [one for one in FIGURES if one.source == "run"], ids=lambda one: one.draw.__module__.rpartition(".")[2]
)
def test_laws_of_every_figure(drawing: Drawing[Run], sample: str, tmp_path: Path) -> None:
    """A picture with a title that names the data; numbers with their runs; each rate with its count and interval."""
    runs = SAMPLES[sample]()
    taken = [one for one in runs if drawing.takes(one)]
    for _, group in group_sources(taken, drawing.name, drawing.apart):
        for frame, figure, _ in drawing.draw(group):
            assert isinstance(figure, Figure) and "utd_mhad, a stand-in" in " ".join(figure.get_suptitle().split())
            assert len(frame) and {*frame["run"].dropna()} <= {one.identity for one in group}
            check_rates(frame)
    paths = write_drawing(drawing, runs, tmp_path)
    assert len({*paths}) == len(paths) and all(path.parent == tmp_path / "utd_mhad" for path in paths)
    budgets = {one.of_attack["eps"] for one in taken} if drawing.name.__module__.endswith("robust_accuracy") else {0, 1}
    assert bool(paths) == (bool(taken) and len(budgets) > 1)  # a curve has two points


def check_rates(frame: pd.DataFrame) -> None:
    """Each value that has an interval has a count too, and is within the interval."""
    lows = [name for name in frame if name == "low" or name.endswith("_low")]
    for low in lows:
        key = low.removesuffix("_low") if low != "low" else "accuracy"
        measured = frame[frame[low].notna()]
        clips = "clips" if low == "low" else f"{key}_clips"
        high = low.replace("low", "high")
        assert (measured[clips] > 0).all()
        assert (measured[low] <= measured[key] + 1e-12).all() and (measured[key] <= measured[high] + 1e-12).all()
    rates_shown = {"accuracy", "share", "success", "success_if_right", "adv_accuracy", "clean_accuracy"} & {*frame}
    assert bool(rates_shown) == bool(lows)
