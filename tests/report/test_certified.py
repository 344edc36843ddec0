"""Certified accuracy by hand, and certificates as a user makes them: resumable within a clip."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from skeleton_adv.certificates.radii import least_draws
from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.clips import hashed_order
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.defenses import none
from skeleton_adv.evaluation import certify as certification
from skeleton_adv.evaluation.certify import Certification, Smoothing
from skeleton_adv.figures import write_all
from skeleton_adv.models.victim import Victim
from skeleton_adv.report.figures.curves import certified_accuracy
from skeleton_adv.report.tables.certified import Certified, curve, readable
from skeleton_adv.report.tables.certified import rows as rows_of
from skeleton_adv.runs.folder import CERTIFICATE_COLUMNS, CertificateRecord
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


class Height(nn.Module):
    """Says whether a hand is above a height."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        up = x[:, 1, :, 7, 0].mean(dim=1)
        return torch.stack([up, -up, torch.full_like(up, -9.0)], dim=1)


@pytest.fixture
def parts(mat_folder: Path, tmp_path: Path) -> Any:
    dataset = UTDMHAD(str(mat_folder), num_frames=16, num_actions=3)
    prepared = prepare(dataset, tmp_path / "cache")
    smoothing = Smoothing(sigma=0.5, n0=20, n=200, clips=5, at_once=7)
    return Certification(dataset, prepared, Victim(Height(), none, "cpu"), smoothing, seed=0)


def rows(parts: Certification, state: Path, done: set[int] = frozenset()) -> list[CertificateRecord]:  # type: ignore[assignment]
    found: list[CertificateRecord] = []
    order = hashed_order(parts.prepared.clips, "test")
    parts.run(order, set(done), found.extend, lambda places, _: places, state)
    return found


def key(record: CertificateRecord) -> list[Any]:
    return [getattr(record, name) for name in CERTIFICATE_COLUMNS if name != "seconds"]


def test_a_kill_within_a_clip_loses_and_doubles_nothing(
    parts: Certification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows(parts, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists() and len(whole) == 12
    monkeypatch.setattr(certification, "SAVE_SECONDS", -1.0)
    count, seen = certification.count_classes, []

    def killed(*arguments: Any, **settings: Any) -> Tensor:
        seen.append(settings["draws"])
        if len(seen) == 15:
            raise KeyboardInterrupt
        return count(*arguments, **settings)

    monkeypatch.setattr(certification, "count_classes", killed)
    with pytest.raises(KeyboardInterrupt):
        rows(parts, tmp_path / "b.npz")
    assert (tmp_path / "b.npz").exists()
    (tmp_path / "cut.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:100])
    assert [key(row) for row in rows(parts, tmp_path / "cut.npz")] == [key(row) for row in whole]
    del seen[15:]
    again = rows(parts, tmp_path / "b.npz")
    assert [key(row) for row in again] == [key(row) for row in whole]
    chunks = -(-12 // 5)
    passes = chunks * (-(-20 // 7) + -(-200 // 7))
    assert len(seen) == passes + 1  # the killed pass alone was counted twice


def test_radii_are_those_of_a_linear_victim(parts: Certification, tmp_path: Path) -> None:
    """The mean height of one hand over 16 frames: noise of sigma becomes sigma / 4, a distance d becomes 4 d."""
    found = rows(parts, tmp_path / "a.npz")
    for record in found:
        raw = parts.prepared.raw(record.index)
        distance = 4 * abs(float(raw.frames[:, 1, 7, 0].mean()))
        assert record.radius <= distance * 1.2 + 0.3  # the clip is cropped, so its mean is another
        assert record.abstained == (record.pred == -1) and record.draws == 220
    assert any(not record.abstained for record in found)
    assert np.isfinite([record.rms_mm for record in found]).all()


def test_a_clip_without_joints_is_abstained_on(
    parts: Certification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, loaded = rows(parts, tmp_path / "a.npz"), certification.load_batch

    def emptied(*arguments: Any) -> Any:
        batch = loaded(*arguments)
        batch.mask[batch.index == usual[3].index] = False
        return batch

    monkeypatch.setattr(certification, "load_batch", emptied)
    found = rows(parts, tmp_path / "b.npz")
    assert [key(row) for row in found[:3] + found[4:]] == [key(row) for row in usual[:3] + usual[4:]]
    assert found[3].abstained and not found[3].correct and found[3].radius == found[3].rms_mm == 0.0
    assert found[3].paper_radius == -1.0


def test_too_few_draws_are_told() -> None:
    assert least_draws(0.001) == 10
    with pytest.raises(SettingError, match=r"smoothing\.alpha=0\.7 is out of range"):
        Smoothing(alpha=0.7)
