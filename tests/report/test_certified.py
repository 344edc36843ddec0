"""Certified accuracy by hand, its table and its figure."""

from pathlib import Path

import pandas as pd
import pytest
from skeleton_adv.report.figures.curves import certified_accuracy

from skeleton_adv.figures import write_all
from skeleton_adv.report.tables.certified import Certified, curve, readable
from skeleton_adv.report.tables.certified import rows as rows_of
from skeleton_adv.tables import write_certified


def certified(sigma: float = 0.25, name: str = "abc") -> Certified:
    """Right and certified up to 0.1 and 0.6; right but abstained; wrong with a radius of 0.9."""
    rows = pd.DataFrame(
        {
            "clean_correct": [True, True, True, False],
            "correct": [True, True, False, False],
            "abstained": [False, False, True, False],
            "radius": [0.1, 0.6, 0.0, 0.9],
            "rms_mm": [1.0, 6.0, 0.0, 9.0],
            "paper_radius": [0.2, 0.7, 0.3, -1.0],
        }
    )
    choices = {"model": "hcn", "defense": "none"}
    about = {"dataset": "utd_mhad", "choices": choices, "command": "python -m skeleton_adv"}
    about |= {"settings": {"smoothing": {"sigma": sigma, "n": 1000, "alpha": 0.001}}}
    about |= {"num_frames": 32, "num_classes": 27, "trained_noise": 0.25, "seeds": {"model": 0}}
    return Certified({**about, "done": 4, "total": 430, "identity": name, "stand_in": True}, rows)


def test_certified_accuracy_by_hand() -> None:
    run = certified()
    assert [run.accuracy(r).hits for r in (0, 0.1, 0.11, 0.6, 0.7)] == [2, 2, 1, 1, 0]
    assert [run.accuracy(r, "paper").hits for r in (0, 0.2, 0.3, 0.7, 0.8)] == [3, 3, 2, 1, 0]
    assert run.mean_radius() == pytest.approx(0.175) and run.mean_radius("rms_mm") == pytest.approx(1.75)
    frame = curve(run, [0.0, 0.5])
    assert frame["accuracy"].tolist() == [0.5, 0.25] and frame["sigma"].tolist() == [0.25, 0.25]
    numbers = rows_of([run])
    assert (numbers["standard_0.5"][0], numbers["paper_0.5_hits"][0]) == (0.25, 1)
    shown = readable(numbers, "m").iloc[0]
    assert shown["r=0"].startswith("50.0 [") and shown["abstained"].startswith("25.0 [")
    assert shown["mean radius"] == "0.175 m" and shown["clean accuracy"].endswith("(3/4)")


def test_figure_five_is_drawn(tmp_path: Path) -> None:
    paths = write_all([], [certified()], tmp_path)
    assert [path.name for path in paths] == ["figure5_hcn_n1000.png", "figure5_hcn_n1000.pdf", "figure5_hcn_n1000.csv"]
    forms = pd.read_csv(paths[2])["form"].value_counts()
    assert forms.to_dict() == {"standard": 121, "paper": 121, "Zheng et al.: NTU RGB+D, HCN, T=64, n=1000": 61}


def test_the_papers_certificates_stand_beside_its_own_network_only(tmp_path: Path) -> None:
    run = certified()
    run.about["choices"]["model"] = "agcn"
    paths = write_all([], [run], tmp_path)
    assert set(pd.read_csv(paths[2])["form"]) == {"standard", "paper"}


def test_runs_of_one_sigma_are_lines_of_their_own(tmp_path: Path) -> None:
    frame, figure = certified_accuracy([certified(name="abc"), certified(name="def"), certified(sigma=0.5)])
    assert frame.groupby(["sigma", "run", "form"]).size().eq(121).all() and frame["run"].nunique() == 2
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert {"σ=0.25 (abc), Cohen et al.", "σ=0.25 (def), Cohen et al.", "σ=0.5, Cohen et al."} <= {*labels}


def test_victims_of_other_training_are_told_apart(tmp_path: Path) -> None:
    """Trained with the noise that certifies them, and without; and two of one name with other weights."""
    plain = certified(name="def")
    plain.about["trained_noise"] = 0.0  # type: ignore[index]
    names = {path.stem for path in write_all([], [certified(), plain], tmp_path)}
    assert names == {"figure5_hcn_n1000_abc", "figure5_hcn_n1000_def"}
    titles = [certified_accuracy([run])[1].get_suptitle() for run in (certified(), plain)]
    assert "trained with the same σ" in titles[0] and "without noise" in titles[1]
    one, other = certified(), certified(name="def")
    one.about["settings"]["checkpoint"], other.about["settings"]["checkpoint"] = "0123456789", "abcdefghij"
    assert rows_of([one, other])["victim"].tolist() == ["hcn s0 (01234567)", "hcn s0 (abcdefgh)"]
    assert rows_of([one, plain])["victim"].tolist() == ["hcn s0", "hcn s0"]


def test_certificates_have_a_table(tmp_path: Path) -> None:
    paths = write_certified([certified()], tmp_path)
    assert [path.name for path in paths] == ["certified.md", "certified.tex", "certified.csv"]
    assert pd.read_csv(paths[2])["clean_accuracy_hits"].tolist() == [3]
    other = certified(name="def")
    other.about["settings"]["smoothing"]["alpha"] = 0.1
    told = readable(rows_of([certified(), other]), "m")["differs"]
    assert told.tolist() == ["smoothing.alpha=0.001", "smoothing.alpha=0.1"]
    text = paths[0].read_text()
    assert "stand-in" in text.partition("\n")[0] and "smoothed victim" in text and "no proof" in text
