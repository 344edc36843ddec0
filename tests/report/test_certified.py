"""Certified accuracy by hand, its table and its figure."""

from pathlib import Path

import pandas as pd
import pytest
from samples import certified

from skeleton_adv.figures import write_all
from skeleton_adv.report.certificates import accuracy_by_radius, certified_accuracy, mean_radius
from skeleton_adv.report.columns import scope_of
from skeleton_adv.report.figures.certified_accuracy import draw
from skeleton_adv.report.tables.certified import TABLE
from skeleton_adv.report.write import write

THEIRS = "Zheng et al.: NTU RGB+D, HCN, T=64, n=1000"


def test_certified_accuracy_by_hand() -> None:
    run = certified()
    assert [certified_accuracy(run, r).hits for r in (0, 0.1, 0.11, 0.6, 0.7)] == [2, 2, 1, 1, 0]
    assert [certified_accuracy(run, r, "paper").hits for r in (0, 0.2, 0.3, 0.7, 0.8)] == [3, 3, 2, 1, 0]
    assert mean_radius(run) == pytest.approx(0.175) and mean_radius(run, "rms_mm") == pytest.approx(1.75)
    frame = accuracy_by_radius(run, [0.0, 0.5])
    assert frame["accuracy"].tolist() == [0.5, 0.25] and frame["sigma"].tolist() == [0.25, 0.25]
    numbers = TABLE.rows([run])
    assert (numbers["standard_0.5"][0], numbers["paper_0.5_hits"][0]) == (0.25, 1)
    shown = TABLE.page(numbers, scope_of([run]), wide=True).grid
    assert shown["r=0"][0].startswith("50.0 [") and shown["abstained"][0].startswith("25.0 [")
    assert shown["mean radius m"] == ["0.175"] and shown["clean accuracy"][0].endswith("(3/4)")


def test_figure_five_is_drawn(tmp_path: Path) -> None:
    paths = write_all([certified()], tmp_path)
    assert [path.name for path in paths] == ["figure5_hcn_n1000.png", "figure5_hcn_n1000.pdf", "figure5_hcn_n1000.csv"]
    forms = pd.read_csv(paths[2])["form"].value_counts()
    assert forms.to_dict() == {"standard": 121, "paper": 121, THEIRS: 61}


@pytest.mark.parametrize("facts", [{"choices": {"model": "agcn"}}, {"stands_for": None}, {"stands_for": "Kinetics"}])
def test_the_published_radii_appear_for_their_network_and_data_only(facts: dict[str, object]) -> None:
    ((frame, _, _),) = draw([certified(**facts)])
    assert {*frame["form"]} == {"standard", "paper"}


def test_runs_of_one_sigma_have_separate_lines() -> None:
    ((frame, figure, _),) = draw([certified(identity="abc"), certified(identity="def"), certified(sigma=0.5)])
    assert frame.groupby(["sigma", "run", "form"]).size().eq(121).all() and frame["run"].nunique() == 2
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert {"σ=0.25 (abc), Cohen et al.", "σ=0.25 (def), Cohen et al.", "σ=0.5, Cohen et al."} <= {*labels}


def test_victims_of_different_training_are_separate(tmp_path: Path) -> None:
    """Victims trained with the noise that certifies them or without noise, and two with one name but other weights."""
    plain = certified(identity="def", trained_noise=0.0)
    names = {path.stem for path in write_all([certified(), plain], tmp_path)}
    assert names == {"figure5_hcn_n1000_abc", "figure5_hcn_n1000_def"}
    titles = [figure.get_suptitle() for run in (certified(), plain) for _, figure, _ in draw([run])]
    assert "trained with the same σ" in titles[0] and "without noise" in titles[1]
    runs = [certified(identity=name, settings={"checkpoint": name}) for name in ("0123456789", "abcdefghij")]
    assert TABLE.rows(runs)["victim"].tolist() == ["hcn s0 (01234567)", "hcn s0 (abcdefgh)"]
    assert TABLE.rows([certified(), plain])["victim"].tolist() == ["hcn s0", "hcn s0"]


def test_certificates_have_a_table(tmp_path: Path) -> None:
    runs = [certified()]
    paths = write(TABLE, runs, TABLE.rows(runs), runs, tmp_path)
    assert [path.name for path in paths] == ["certified.md", "certified.tex", "certified.csv"]
    assert pd.read_csv(paths[2])["clean_accuracy_hits"].tolist() == [3]
    other = certified(identity="def", settings={"smoothing": {"sigma": 0.25, "n": 1000, "alpha": 0.1}})
    differs = TABLE.rows([certified(), other])["differs"]
    assert differs.tolist() == ["smoothing.alpha=0.001", "smoothing.alpha=0.1"]
    text = paths[0].read_text()
    assert "stand-in" in text.partition("\n")[0] and "smoothed victim" in text and "not a proof" in text
