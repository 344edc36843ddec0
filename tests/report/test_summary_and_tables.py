"""Tables as pure functions of a few rows whose answers are known."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import about, defended, of, record, six_rows, transfer
from statsmodels.stats.proportion import proportion_confint

from skeleton_adv.core.errors import RunError
from skeleton_adv.report.stats import Rate, Run, differences, load_run, load_runs, measures, rates, warnings
from skeleton_adv.report.tables.defended import TABLE4
from skeleton_adv.report.tables.transfer import TABLE2, pairs
from skeleton_adv.report.tables.white_box import TABLE1, TABLE3, TABLE5
from skeleton_adv.report.weakness import against_admm
from skeleton_adv.report.words import show
from skeleton_adv.runs.folder import RunFolder
from skeleton_adv.tables import write


def test_rates_by_hand() -> None:
    found = rates(Run(about(), six_rows()))
    assert found == {
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
    rows = six_rows(target=1)
    rows.loc[[0, 4], "label"] = 2
    found = rates(Run(about(targeted=True), rows))
    assert found["success"] == Rate(2, 2) and found["success_if_right"] == Rate(1, 1)
    assert found["clean_accuracy"].count == 6


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 7), (430, 430), (61, 430)])
def test_wilson_intervals(hits: int, count: int) -> None:
    low, high = proportion_confint(hits, count, method="wilson")
    assert Rate(hits, count).interval == pytest.approx((low, high), abs=1e-12)
    assert math.isnan(Rate(0, 0).value)


def test_measures_by_hand() -> None:
    found = measures(Run(about(), six_rows()))
    assert found["bone"] == pytest.approx(0.025)
    assert found["bone_max_mean"] == pytest.approx(0.2) and found["bone_max_median"] == pytest.approx(0.1)
    assert found["kinetic"] == pytest.approx(0.04) and found["without_motion"] == 1
    assert found["feasible"] == pytest.approx(0.5)


def test_paper_cells_stand_beside_ours_and_missing_cells_say_why() -> None:
    frame = TABLE1.rows([Run(about(), six_rows())])
    assert len(frame) == 6 and frame["clips"].tolist() == [0, 6, 0, 0, 0, 0]
    ours = frame[frame["clips"] == 6].iloc[0]
    assert (ours["paper_split"], ours["paper_success"], ours["paper_l2"]) == ("CS", 1.0, 0.290)
    shown = TABLE1.readable(frame)
    assert shown["clips"].tolist() == ["not run", "6 of 430", "not run", "not run", "not run", "not run"]
    assert shown["success: ours"][1] == "66.7 [30.0, 90.3] (4/6)"
    assert shown["success: paper"].tolist() == ["100.0", "100.0", "92.4", "100.0", "100.0", "26.9"]
    other = about(targeted=True)
    other["choices"] = {**other["choices"], "model": "agcn"}
    shown = TABLE1.readable(TABLE1.rows([Run(other, six_rows())]))
    assert shown["success: paper"].tolist()[3:] == ["not in the source"] * 3
    shown = TABLE1.readable(TABLE1.rows([Run(about(beta=3.0), six_rows())]))
    assert "not in the paper" in shown["success: paper"].tolist()


def test_each_run_is_in_its_table() -> None:
    runs = [of("admm"), of("cw"), of("admm", dataset="synthetic_kinetics"), of("cw", dataset="kinetics")]
    found = [[table.belongs(Run(facts, six_rows())) for facts in runs] for table in (TABLE1, TABLE3, TABLE5)]
    assert found == [[True, False, False, False], [False, True, False, True], [False, False, True, False]]
    transfer = of("admm")
    transfer["choices"]["model@surrogate"] = "agcn"
    assert not TABLE1.belongs(Run(transfer, six_rows()))
    shown = of("admm")
    shown["choices"]["experiment"] = "films"
    assert not TABLE1.belongs(Run(shown, six_rows()))


def test_tables_three_and_five_beside_the_papers_cells() -> None:
    frame = TABLE3.rows([Run(of("cw"), six_rows())])
    shown = TABLE3.readable(frame)
    assert shown["success: paper"].tolist() == ["100.0", "not in the source"] and shown["ℓ2 m: paper"][0] == "0.244"
    assert shown["clips"].tolist() == ["6 of 430", "not run"] and "β" not in shown
    facts = of("admm", dataset="synthetic_kinetics", model="agcn_small")
    shown = TABLE5.readable(TABLE5.rows([Run(facts, six_rows())]))
    assert shown["success: paper"].tolist() == ["100.0", "100.0", "100.0", "99.2", "98.8", "98.4"]
    assert shown["ℓ2: paper"][1] == "0.298" and "rms ‰" in shown
    assert "stand-in for the paper's Kinetics (normalised image coordinates" in TABLE5.title([Run(facts, six_rows())])


def test_cw_and_admm_over_the_clips_that_both_fool() -> None:
    shorter = six_rows()
    shorter["l2"] = shorter["l2"] / 2
    shorter.loc[0, "success"] = False
    runs = [Run(of("cw"), shorter), Run(of("admm"), six_rows()), Run(of("admm", targeted=True), six_rows())]
    runs[2].about["settings"]["target"] = "random"
    (row,) = against_admm(runs).to_dict("records")
    assert row["clips"] == 2 and row["cw_shorter"] == 1.0  # 1 and 2: first right, and fooled by both
    assert row["differs"] == ""
    assert (row["l2_cw"], row["l2_admm"]) == (0.0625, 0.125)
    assert row["bone_mean_cw"] == pytest.approx(0.015)


def test_cw_and_admm_are_compared_at_the_same_target_only() -> None:
    cw, admm = six_rows(target=1), six_rows(target=1)
    cw["label"] = admm["label"] = 2
    cw.loc[[0, 1], "label"] = admm.loc[[0, 1], "label"] = 1  # of the target's own class
    other = admm.copy()
    other.loc[2, "target"] = 5
    runs = [Run(of("cw", targeted=True), cw), Run(of("admm", targeted=True), admm)]
    assert against_admm(runs)["clips"].tolist() == [1]
    assert against_admm([runs[0], Run(of("admm", targeted=True), other)])["clips"].tolist() == [0]
    assert against_admm([runs[0], Run(of("admm", targeted=True, seed=1), admm)]).empty
    changed = of("admm", targeted=True)
    changed["settings"]["attack"]["lr"] = 0.1
    differing = against_admm([*runs, Run(changed, admm)])["differs"].tolist()
    assert sorted(differing) == ["attack.lr=0.001", "attack.lr=0.1"]


def test_transfer_beside_the_papers_cells() -> None:
    runs = [transfer("hcn", 0.1), transfer("agcn", 0.01), transfer("agcn", 0.5), Run(of("admm"), six_rows())]
    assert [TABLE2.belongs(run) for run in runs] == [True, True, True, False]
    frame = TABLE2.rows(runs)
    assert frame["target"].tolist() == ["agcn s0", "agcn s0", "hcn s0"] and set(frame["source"]) == {"hcn s1"}
    shown = TABLE2.readable(frame)
    assert shown["success: paper"].tolist() == ["19.6", "", "28.5"]
    assert shown["success if first right"][0] == "75.0 [30.1, 95.4] (3/4)"
    alone = pairs(frame, 0.1)
    assert alone[["source", "target", "success_if_right"]].to_numpy().tolist() == [["hcn s1", "hcn s0", 0.75]]


def test_a_victim_of_another_training_says_so_and_has_no_cell_of_the_papers() -> None:
    runs = [
        Run(about(seeds={"model": 2}, trained_noise=noise, identity=str(noise)), six_rows()) for noise in (0.0, 0.25)
    ]
    shown = TABLE1.readable(TABLE1.rows(runs)).query("clips != 'not run'")
    assert shown["victim"].tolist() == ["hcn s2", "hcn s2, trained with σ=0.25"]
    assert shown["success: paper"].tolist() == ["100.0", "not in the paper"]
    alone = TABLE1.readable(TABLE1.rows(runs[1:]))
    assert "hcn" in set(alone["victim"][alone["clips"] == "not run"])  # the paper's cell is still to be run
    noisy = defended(0.01, False, 0.55, trained_noise=0.25)
    assert TABLE4.readable(TABLE4.rows([noisy]))["victim"].tolist() == ["hcn, trained with σ=0.25"]
    assert "accuracy: paper" not in TABLE4.readable(TABLE4.rows([noisy]))


def test_a_clip_without_motion_counts_once() -> None:
    runs = [Run(about(beta=beta), six_rows()) for beta in (0.1, 1.0, 10.0)]
    assert "Clips without motion, left out of ΔK/K: 1." in TABLE1.notes(runs)
    runs[0].about["settings"]["prepared"] = "other clips"
    assert "Clips without motion, left out of ΔK/K: 2." in TABLE1.notes(runs)


def test_a_command_that_no_shell_takes_is_shown_all_the_same(tmp_path: Path) -> None:
    command = "python -m skeleton_adv targeted=True target='massaging person\\'s head'"
    path = write(TABLE1, [Run(about(command=command), six_rows())], tmp_path)[0]
    assert command in path.read_text()


def test_transfer_from_and_to_noise_has_no_cell_of_the_papers() -> None:
    frame = TABLE2.rows([transfer("hcn", 0.1, trained_noise=0.25), transfer("hcn", 0.01, surrogate_noise=0.1)])
    assert "paper_success" not in frame and set(frame["target"]) == {"hcn s0", "hcn s0, σ=0.25"}
    assert set(frame["source"]) == {"hcn s1, σ=0.1", "hcn s1"}


def test_a_defense_may_have_sigma_and_no_draws() -> None:
    run = defended(0.01, False, 0.55)
    run.about["settings"]["defense"] = {"sigma": 0.01}
    shown = TABLE4.readable(TABLE4.rows([run]))
    assert "looks" not in shown and shown["σ m"].tolist() == ["0.01"]


def test_latex_is_ascii(tmp_path: Path) -> None:
    run = defended(0.01, False, 0.55)
    run.about["choices"]["attack"] = "pgd"
    run.about["settings"]["attack"] = {"norm": "l2", "eps": 0.1}
    for table, of_it in ((TABLE4, run), (TABLE1, Run(about(), six_rows()))):
        write(table, [of_it], tmp_path)
    for path in tmp_path.rglob("*.tex"):
        lines = path.read_text().splitlines()
        assert all(line.isascii() for line in lines if not line.startswith("%")), path


def test_both_kinds_of_attack_on_a_defense_stand_in_one_row() -> None:
    runs = [defended(0.01, False, 0.55), defended(0.01, True, 0.05), defended(0.02, False, 0.5)]
    assert all(TABLE4.belongs(run) and not TABLE1.belongs(run) for run in runs)
    shown = TABLE4.readable(TABLE4.rows(runs))
    assert shown["accuracy: paper"].tolist() == ["50.6", "51.4"]
    assert shown["unaware: accuracy"][0].startswith("55.0 [") and shown["unaware: accuracy"][0].endswith("(3.3/6)")
    assert shown["adaptive: accuracy"][0].startswith("5.0 [") and shown["adaptive: accuracy"][1] == ""
    assert shown["unaware: clean accuracy"][0].endswith("(5.4/6)")
    text = TABLE4.notes(runs)
    assert "so many fresh looks a step: 8." in text and "so often: 10;" in text
    assert not TABLE4.whole(runs) and "differs" not in shown
    twenty = defended(0.01, True, 0.04)
    twenty.about["settings"]["defense"]["eot"] = 20
    shown = TABLE4.readable(TABLE4.rows([runs[0], twenty]))  # the first row lacks the second's columns
    assert {"defense.eot=8", "defense.eot=20"} == {*shown["differs"]} and shown.columns[-1] == "differs"


def test_other_attacks_on_a_defense_stand_apart() -> None:
    runs = [defended(0.01, True, share) for share in (0.5, 0.4, 0.3, 0.2)]
    runs[1].about["choices"]["attack"] = "admm_released"
    runs[2].about["choices"]["attack"] = "pgd"
    runs[2].about["settings"]["attack"] = {"eps": 0.2, "norm": "l2"}
    runs[3].about["settings"]["attack"]["beta"] = 0.1  # not the paper's
    frame = TABLE4.rows(runs)
    shown = TABLE4.readable(frame)
    assert shown["attack"].tolist() == ["admm", "admm", "admm_released", "pgd l2"]
    assert shown["β"].tolist() == ["0.1", "1", "1", ""] and shown["ε"].tolist() == ["", "", "", "0.2"]
    assert shown["accuracy: paper"].tolist() == ["", "50.6", "50.6", ""]
    runs[3].about["choices"]["experiment"] = "films"
    assert not TABLE4.belongs(runs[3])


def test_a_defense_of_another_kind_has_no_sigma() -> None:
    run = defended(0.01, True, 0.5)
    run.about["choices"]["defense"] = "mine"
    run.about["settings"]["defense"] = {"strength": 3}
    shown = TABLE4.readable(TABLE4.rows([run]))
    assert shown["defense"].tolist() == ["mine"] and "accuracy: paper" not in shown and "σ m" not in shown
    assert "looks a step: 1." in TABLE4.notes([run])


@pytest.mark.parametrize(("hits", "text"), [(4, "4"), (12345.0, "12345"), (12345.25, "12345.2"), (3.3, "3.3")])
def test_counts_are_written_in_full(hits: float, text: str) -> None:
    assert show(Rate(hits, 16487)).endswith(f"({text}/16487)")


def test_an_unaware_attacks_margins_say_nothing_of_the_defended_victim() -> None:
    runs = [defended(0.01, adaptive, 0.9) for adaptive in (False, True)]
    said = [warnings(Run(run.about, run.records.assign(falling=True, success=False))) for run in runs]
    assert [any("getting nearer" in words for words in lines) for lines in said] == [False, True]


def test_a_run_in_two_folders_counts_once(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        saved(tmp_path / folder, about())
    with pytest.raises(RunError, match=r"a and .*b are the same run"):
        load_runs(tmp_path)
    assert len(load_runs(tmp_path / "a")) == 1


def test_runs_of_different_identity_are_told_apart() -> None:
    runs = [Run(about(), six_rows()), Run(about(seed=1), six_rows()), Run(about(beta=10.0), six_rows())]
    assert differences(runs, ("attack.beta",)) == ["seed=0", "seed=1", "seed=0"]
    shown = TABLE1.readable(TABLE1.rows(runs))
    assert {"seed=0", "seed=1"} <= set(shown["differs"])


def saved(folder: Path, facts: dict[str, Any], rows: int = 6) -> Path:
    run = RunFolder(folder)
    run.begin()
    run.append([record(index) for index in range(rows)])
    run.end(facts)
    return folder


def test_unfinished_and_damaged_runs_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", about())
    assert load_run(folder) is not None
    (folder / "run.json").unlink()
    assert load_run(folder) is None
    with pytest.raises(RunError, match=r"no run\.json"):
        load_run(folder, required=True)
    with pytest.raises(RunError, match="5 rows"):
        load_run(saved(tmp_path / "b", about(), rows=5))
    (saved(tmp_path / "empty", about()) / "records.csv").write_bytes(b"")
    with pytest.raises(RunError, match=r"records\.csv is damaged .*delete the folder"):
        load_run(tmp_path / "empty")
    path = saved(tmp_path / "cell", about()) / "records.csv"
    path.write_text(path.read_text().replace("True", "Tr?e", 1))
    with pytest.raises(RunError, match=r"damaged \(its column clean_correct"):
        load_run(tmp_path / "cell")
    with pytest.raises(RunError, match=r"run\.json says None"):
        load_run(saved(tmp_path / "bare", {}))
    doubled = saved(tmp_path / "c", about(), rows=3)
    text = (doubled / "records.csv").read_text()
    (doubled / "records.csv").write_text(text + text.partition("\n")[2])
    with pytest.raises(RunError, match="6 rows"):
        load_run(doubled)


def test_files_in_three_formats(tmp_path: Path) -> None:
    run = load_run(saved(tmp_path / "run", about()))
    assert run is not None
    paths = write(TABLE1, [run], tmp_path / "tables")
    assert sorted(path.name for path in paths) == ["table1.csv", "table1.md", "table1.tex"]
    texts = {path.suffix: path.read_text() for path in paths}
    assert "stand-in" in texts[".md"].partition("\n")[0] and "T=32" in texts[".md"]
    assert "python -m skeleton_adv" in texts[".md"] and r"\toprule" in texts[".tex"]
    csv = pd.read_csv(tmp_path / "tables/utd_mhad/table1.csv")
    assert csv.loc[csv["clips"] == 6, "l2"].item() == 0.125
    assert json.loads((tmp_path / "run/run.json").read_text())["done"] == 6
