"""Tables: the runs of each, its cells by hand, and laws of the engine."""

import itertools
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from samples import CONSTRAINTS, admm, certified, cw, defended, run, six_rows, transfer

from skeleton_adv.core.errors import RunError
from skeleton_adv.report.columns import scope_of
from skeleton_adv.report.table import MOST, Table
from skeleton_adv.report.tables import TABLES, by_table
from skeleton_adv.report.tables.table2 import matrix
from skeleton_adv.report.versus import rows as against_admm
from skeleton_adv.report.write import commands, write
from skeleton_adv.runs.load import Run

NAMED = {table.name: table for table in TABLES}
TABLE1, TABLE2, TABLE3, TABLE4, TABLE5 = (NAMED[f"table{n}"] for n in range(1, 6))
IMAGE = {"dataset": "synthetic_kinetics", "unit": "image", "stands_for": "Kinetics"}


def takers(one: Run) -> list[str]:
    return [table.name for table, _ in by_table([one])]


def page(table: Table, *runs: Run, wide: bool = True) -> pd.DataFrame:
    """The visible grid, with what all rows have in common."""
    shown = table.page(table.rows(runs), scope_of(runs), wide)
    frame = pd.DataFrame(dict(shown.grid))
    frame.attrs["common"] = shown.common
    return frame


def notes(table: Table, *runs: Run, wide: bool = True) -> str:
    return table.about(runs, table.page(table.rows(runs), scope_of(runs), wide).columns)


def test_every_table_is_found_and_declared_in_few_lines() -> None:
    names = {*NAMED}
    assert {"benchmark", "certified", "table1", "table2", "table3", "table4", "table5"} <= names


def test_each_run_is_in_its_table() -> None:
    assert takers(admm()) == ["table1"] and takers(cw()) == ["table3"]
    assert takers(admm(**IMAGE)) == ["table5"] and takers(cw(**IMAGE)) == ["table3"]
    assert takers(transfer("agcn", 0.1)) == ["table2"] and takers(defended(0.01, True, 0.5)) == ["table4"]
    assert takers(certified()) == ["certified"] and takers(admm(experiment="films")) == ["benchmark"]
    assert takers(run(choices={"attack": "pgd"})) == ["benchmark"]


ACCESSES = ("white box", "oblivious", "adaptive", "transfer", "scores", "labels", "none")


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize("unit", ["m", "image", "ft"])
def test_every_run_appears_in_some_table(access: str, unit: str, tmp_path: Path) -> None:
    """For any attack, defense, surrogate and access, and any name of them; and it can be written."""
    options = itertools.product(
        ("admm", "pgd", "mine"), ("none", "noise_filter", "mine"), (None, "hcn"), (None, "films")
    )
    one = run(access=access, unit=unit, seeds={"model": 0, "surrogate": 1}, stands_for=None)
    runs = []
    for number, (attack, defense, surrogate, experiment) in enumerate(options):
        choices = {**one.choices, "attack": attack, "defense": defense, "model@surrogate": surrogate}
        runs.append(replace(one, choices=choices, experiment=experiment, identity=f"<{number}>"))
        ((_, own),) = by_table(runs[-1:])
        assert own == runs[-1:]
    written = [write(table, own, table.rows(own), runs, tmp_path)[2] for table, own in by_table(runs)]
    text = "".join(path.read_text() for path in written)
    assert all(made.identity in text for made in runs)


def test_published_cells_appear_beside_ours_and_missing_cells_are_explained() -> None:
    frame = TABLE1.rows([admm()])
    assert len(frame) == 6 and frame["clips"].tolist() == [0, 6, 0, 0, 0, 0]
    ours = frame[frame["clips"] == 6].iloc[0]
    assert (ours["paper_split"], ours["paper_success"], ours["paper_l2"]) == ("CS", 1.0, 0.290)
    shown = page(TABLE1, admm())
    assert shown["clips"].tolist() == ["not run", "6 of 430", "not run", "not run", "not run", "not run"]
    assert shown["success"][1] == "66.7 [30.0, 90.3] (4/6)"
    assert shown["success: paper"].tolist() == ["100.0", "100.0", "92.4", "100.0", "100.0", "26.9"]
    shown = page(TABLE1, admm(choices={"model": "agcn"}, settings={"targeted": True}))
    assert shown["success: paper"].tolist()[3:] == ["not in the source"] * 3
    assert "not in the paper" in page(TABLE1, admm(3.0))["success: paper"].tolist()


def test_a_new_dataset_has_no_published_cells() -> None:
    """It used to appear beside NTU RGB+D, cross-subject, and an image dataset in metres."""
    new = admm(dataset="nw_ucla", stands_for=None, stand_in=False)
    frame, shown = TABLE1.rows([new]), page(TABLE1, new)
    assert len(frame) == 1 and not [name for name in frame if name.startswith("paper_")]
    assert "NTU" not in notes(TABLE1, new) + TABLE1.heading([new]) and "ℓ2 m" in shown
    image = admm(dataset="street", unit="image", stands_for=None, stand_in=False)
    assert takers(new) == takers(image) == ["benchmark"]  # where all its attacks are
    assert "Kinetics" not in TABLE5.heading([image]) + notes(TABLE5, image)
    assert {"ℓ2", "rms ‰"} <= {*page(TABLE5, image)} and "metre" not in TABLE5.heading([image])


def test_a_victim_that_is_not_in_the_paper_adds_no_rows_of_its_grid() -> None:
    assert len(TABLE1.rows([admm(choices={"model": "st_gcn"})])) == 1


def test_tables_three_and_five_beside_the_papers_cells() -> None:
    shown = page(TABLE3, cw())
    assert shown["success: paper"].tolist() == ["100.0", "not in the source"] and shown["ℓ2 m: paper"][0] == "0.244"
    assert shown["clips"].tolist() == ["6 of 430", "not run"] and "β" not in shown
    one = admm(choices={"model": "agcn_small"}, **IMAGE)
    shown = page(TABLE5, one)
    assert shown["success: paper"].tolist() == ["100.0", "100.0", "100.0", "99.2", "98.8", "98.4"]
    assert shown["ℓ2: paper"][1] == "0.298" and "rms ‰" in shown
    assert "stand-in for the paper's Kinetics (normalised image coordinates" in TABLE5.heading([one])
    assert "quarter of its channels" in notes(TABLE5, one)


def test_both_iterates_of_admm_have_separate_rows() -> None:
    runs = [admm(10.0), admm(10.0, attack={"keep": "best"}, identity="def", rows=six_rows(success=True))]
    shown = page(TABLE1, *runs, wide=False)
    shown = shown[shown["β"].eq("10") & shown["goal"].eq("untargeted")]
    assert shown["step returned"].tolist() == ["best", "last"] and "differs" not in shown
    assert [text[-5:] for text in shown["success"]] == ["(6/6)", "(4/6)"]
    assert "released code return the last" in notes(TABLE1, *runs, wide=False)


def test_at_most_ten_columns_by_default_and_the_important_ones_among_them() -> None:
    """Even if everything varies; a column that is the same in all rows becomes a sentence."""
    runs = [admm(), admm(0.1, choices={"attack": "admm_released"}, identity="b", attack={"keep": "best"})]
    runs += [admm(settings={"seed": 1}, identity="c"), admm(choices={"model": "agcn"}, identity="d")]
    shown, wide = page(TABLE1, *runs, wide=False), page(TABLE1, *runs)
    assert len(shown.columns) == MOST < len(wide.columns)
    always = {"clean accuracy", "success", "success if correct before", "feasible success if correct before", "differs"}
    assert always <= {*shown}
    one = page(TABLE1, admm(), wide=False)
    assert {"goal", "β", "success: paper"} <= {*one} and not {"victim", "attack", "clips"} & {*one}
    assert all(words in one.attrs["common"] for words in ("victim = hcn", "attack = admm", "clips = 6 of 430"))
    assert one["success"].tolist().count("not run") + one["success: paper"].tolist().count("not run") == 5
    for table, own in by_table([*runs, cw(), transfer("hcn", 0.1), defended(0.01, True, 0.5), certified()]):
        frame = page(table, *own, wide=False)
        assert len(frame.columns) <= MOST and {*frame} <= {*page(table, *own)}


def test_the_published_accuracy_fits_beside_ours() -> None:
    """If goals, victims, defenses and attacks vary as in the reference."""
    runs = [defended(sigma, sees, 0.5, identity=f"{sigma}{sees}") for sigma in (0.01, 0.02) for sees in (False, True)]
    runs += [defended(0.01, True, 0.4, choices={"model": "agcn"}, identity="b", settings={"batch_size": 3})]
    runs += [defended(0.01, True, 0.3, choices={"attack": "pgd"}, identity="c", settings={"attack": {"eps": 0.1}})]
    runs += [defended(0.01, True, 0.3, identity="d", settings={"targeted": True, "target": "random"})]
    shown = page(TABLE4, *runs, wide=False)
    assert {"accuracy: paper", "oblivious: accuracy", "adaptive: accuracy", "clean accuracy", "differs"} <= {*shown}
    assert len(shown.columns) <= MOST
    pairs = [head.partition(": ")[2] for head in shown if head.startswith("oblivious: ")]
    assert pairs == [head.partition(": ")[2] for head in shown if head.startswith("adaptive: ")]


def test_a_published_column_never_appears_without_ours() -> None:
    shown = page(TABLE1, admm(), admm(0.1, choices={"model": "agcn"}, identity="d"), wide=False)
    assert all(head.removesuffix(": paper") in shown for head in shown)


def test_the_note_defines_the_change_of_speed() -> None:
    text = notes(TABLE1, admm())
    assert "the speed plus 0.0001 of the clips' unit per frame" in text
    assert "the speed plus" not in notes(TABLE1, admm(), wide=False)  # which shows no such column


def test_any_number_of_constraints_with_any_names() -> None:
    jerk = {"symbol": "Δj", "unit": "m/s³"}
    one = admm(rows=six_rows(jerk_mean=0.5, jerk_max=2.0, jerk_ok=True), constraints={**CONSTRAINTS, "jerk": jerk})
    other = admm(0.1, identity="def")
    shown, frame = page(TABLE1, one, other), TABLE1.rows([one, other])
    shown = shown[shown["clips"] != "not run"]
    assert shown["Δj m/s³"].tolist() == ["", "0.500"] and shown["Δj m/s³ max"].tolist() == ["", "2 / 2"]
    assert frame["jerk_ok"].dropna().tolist() == [1.0] and frame["bone_ok"].notna().sum() == 2
    bare = admm(constraints={})
    assert "ΔB/B %" not in page(TABLE1, bare) and "bone" not in TABLE1.rows([bare])


def test_columns_that_an_attack_adds_are_shown() -> None:
    rows = six_rows(queries=[10, 20, 30, 40, 50, 60], note="x")
    one, other = run(rows, choices={"attack": "square"}, access="scores"), run(choices={"attack": "pgd"}, identity="b")
    frame = NAMED["benchmark"].rows([one, other])
    assert frame["queries"].dropna().tolist() == [35.0] and "note" not in frame
    assert sorted(page(NAMED["benchmark"], one, other)["queries"]) == ["", "35"]


def test_cw_and_admm_over_the_clips_that_both_fool() -> None:
    shorter = six_rows(l2=0.0625, success=[False, True, True, False, True, False])
    (row,) = against_admm([cw(shorter), admm(), admm(settings={"targeted": True, "target": "random"})])
    assert row["clips"] == 2 and row["cw_shorter"] == 1.0  # 1 and 2: correct before, and fooled by both
    assert (row["differs"], row["l2_cw"], row["l2_admm"]) == ("", 0.0625, 0.125)
    assert row["bone_mean_cw"] == pytest.approx(0.015)


def test_cw_and_admm_are_compared_at_the_same_target_only() -> None:
    aimed = {"targeted": True, "target": "random"}
    rows = six_rows(target=1, label=[1, 1, 2, 2, 2, 2])  # two of the target's own class
    one, two = cw(rows, settings=aimed), admm(rows=rows, settings=aimed)
    assert [row["clips"] for row in against_admm([one, two])] == [1]
    other = admm(rows=six_rows(target=[1, 1, 5, 1, 1, 1], label=[1, 1, 2, 2, 2, 2]), settings=aimed)
    assert [row["clips"] for row in against_admm([one, other])] == [0]
    assert not against_admm([one, admm(rows=rows, settings=aimed | {"seed": 1})])
    changed = admm(rows=rows, settings=aimed, attack={"lr": 0.1}, identity="def")
    differs = [row["differs"] for row in against_admm([one, two, changed])]
    assert sorted(differs) == ["attack.lr=0.001", "attack.lr=0.1"]


def test_the_second_page_of_table_three(tmp_path: Path) -> None:
    runs = [cw(), admm(identity="def")]
    ((_, own),) = [(table, own) for table, own in by_table(runs) if table is TABLE3]
    paths = write(TABLE3, own, TABLE3.rows(own), runs, tmp_path)
    assert [path.name for path in paths if path.suffix == ".csv"] == ["table3.csv", "table3_against_admm.csv"]
    assert "admm β=1" in paths[0].read_text() and "C&W / ADMM" in paths[0].read_text()


def test_transfer_beside_the_papers_cells() -> None:
    runs = [transfer("hcn", 0.1), transfer("agcn", 0.01, identity="b"), transfer("agcn", 0.5, identity="c")]
    frame, shown = TABLE2.rows(runs), page(TABLE2, *runs)
    assert frame["target"].tolist() == ["agcn s0", "agcn s0", "hcn s0"] and {*frame["source"]} == {"hcn s1"}
    assert shown["success: paper"].tolist() == ["19.6", "", "28.5"]
    assert shown["success if correct before"][0] == "75.0 [30.1, 95.4] (3/4)"
    itself = transfer("hcn", 0.1, settings={"surrogate_checkpoint": "weights"}, surrogate=0)
    assert "paper_success" not in TABLE2.rows([itself])


def test_transfer_among_three_victims_has_a_matrix() -> None:
    victims = ("hcn", "agcn", "sgn")
    runs = [transfer(name, 0.1, identity=name, settings={"checkpoint": name}) for name in victims]
    assert matrix(runs[:2]) == []
    (row,) = matrix(runs)
    assert row.pop("surrogate") == "hcn s1" and (row.pop("beta"), row.pop("goal")) == (0.1, "untargeted")
    assert len(row) == 3 and {*row.values()} == {"75.0 [30.1, 95.4] (3/4)"}


def test_transfer_from_and_to_noise_has_no_published_cell() -> None:
    noise = {"training": {"name": "noise", "sigma": 0.25}, "trained_noise": 0.25}
    frame = TABLE2.rows([transfer("hcn", 0.1, **noise), transfer("hcn", 0.01, surrogate_noise=0.1, identity="b")])
    assert "paper_success" not in frame and {*frame["target"]} == {"hcn s0", "hcn s0, σ=0.25"}
    assert {*frame["source"]} == {"hcn s1, σ=0.1", "hcn s1"}


def test_a_surrogate_of_another_training_is_named_and_has_no_published_cell() -> None:
    mixed = {"name": "mixed", "weight": 0.5}
    frame = TABLE2.rows([transfer("hcn", 0.1, surrogate_noise=0.0, surrogate_training=mixed)])
    assert "paper_success" not in frame and frame["source"].tolist() == ["hcn s1, trained by mixed weight=0.5"]


def test_the_same_weights_are_not_a_second_training_whatever_the_seed() -> None:
    itself = transfer("hcn", 0.1, settings={"surrogate_checkpoint": "weights"}, surrogate=1)
    assert "paper_success" not in TABLE2.rows([itself])


def test_a_victim_of_another_training_is_named_and_has_no_published_cell() -> None:
    noise = {"training": {"name": "noise", "sigma": 0.25}, "trained_noise": 0.25}
    runs = [admm(seeds={"model": 2}), admm(seeds={"model": 2}, identity="b", **noise)]
    shown = page(TABLE1, *runs).query("clips != 'not run'")
    assert shown["victim"].tolist() == ["hcn s2", "hcn s2, trained with σ=0.25"]
    assert shown["success: paper"].tolist() == ["100.0", "not in the paper"]
    assert "hcn" in {*page(TABLE1, runs[1]).query("clips == 'not run'")["victim"]}  # the paper's victim is not run yet
    noisy = defended(0.01, False, 0.55, **noise)
    shown = page(TABLE4, noisy)
    assert shown["victim"].tolist() == ["hcn, trained with σ=0.25"] and "accuracy: paper" not in shown
    unknown = admm(training={"name": "unknown"}, trained_noise=None)  # by other programs: it keeps the published cells
    assert page(TABLE1, unknown).query("clips != 'not run'")["success: paper"].tolist() == ["100.0"]
    robust = admm(training={"name": "trades", "beta": 6})
    assert page(TABLE1, robust).query("clips != 'not run'")["victim"].tolist() == ["hcn, trained by trades beta=6"]


def test_victims_of_one_name_are_distinguished_by_their_weights() -> None:
    runs = [admm(settings={"checkpoint": digest}, identity=digest) for digest in ("0123456789", "abcdefghij")]
    shown = page(TABLE1, *runs).query("clips != 'not run'")
    assert shown["victim"].tolist() == ["hcn (01234567)", "hcn (abcdefgh)"] and "differs" not in shown


def test_a_clip_without_motion_counts_once() -> None:
    runs = [admm(beta, identity=f"{beta}") for beta in (0.1, 1.0, 10.0)]
    assert "left out of ΔK/K: 1." in notes(TABLE1, *runs)
    assert "left out of ΔK/K: 2." in notes(TABLE1, *runs, admm(2.0, settings={"prepared": "other clips"}))


def test_both_kinds_of_attack_on_a_defense_share_a_row() -> None:
    runs = [defended(0.01, False, 0.55), defended(0.01, True, 0.05), defended(0.02, False, 0.5)]
    shown = page(TABLE4, *runs)
    assert shown["accuracy: paper"].tolist() == ["50.6", "51.4"]
    assert shown["oblivious: accuracy"][0].startswith("55.0 [") and shown["oblivious: accuracy"][0].endswith("(3.3/6)")
    assert shown["adaptive: accuracy"][0].startswith("5.0 [") and shown["adaptive: accuracy"][1] == ""
    assert shown["clean accuracy"][0].endswith("(5.4/6)") and "differs" not in shown
    text = notes(TABLE4, *runs)
    assert "8 fresh draws per step" in text and "10 times with fresh noise" in text
    twenty = defended(0.01, True, 0.04, settings={"defense": {"sigma": 0.01, "taps": 5, "draws": 50, "eot": 20}})
    shown = page(TABLE4, runs[0], twenty)  # the first row lacks the second's columns
    assert {"defense.eot=8", "defense.eot=20"} == {*shown["differs"]} and shown.columns[-1] == "differs"


def test_clean_accuracies_that_differ_are_both_shown() -> None:
    fewer = defended(0.01, True, 0.5, {"clean_share": 0.5})
    shown = page(TABLE4, defended(0.01, False, 0.5), fewer)
    assert {"oblivious: clean accuracy", "adaptive: clean accuracy"} <= {*shown} and "clean accuracy" not in shown


def test_other_attacks_on_a_defense_have_separate_rows() -> None:
    pgd = {"attack": {"eps": 0.2, "norm": "l2"}}
    runs = [
        defended(0.01, True, 0.5),
        defended(0.01, True, 0.4, choices={"attack": "admm_released"}),
        defended(0.01, True, 0.3, choices={"attack": "pgd"}, settings=pgd),
        defended(0.01, True, 0.2, settings={"attack": {"beta": 0.1}}),  # not the paper's
    ]
    shown = page(TABLE4, *runs)
    assert shown["attack"].tolist() == ["admm β=0.1", "admm β=1", "admm_released β=1", "pgd l2 ε=0.2"]
    assert shown["accuracy: paper"].tolist() == ["", "50.6", "50.6", ""]


def test_defenses_of_another_kind_have_no_sigma() -> None:
    mine = run(choices={"defense": "mine"}, settings={"defense": {"strength": 3}, "adaptive": True}, access="adaptive")
    shown = page(TABLE4, mine)
    assert shown["defense"].tolist() == ["mine"] and not {"accuracy: paper", "σ m"} & {*shown}
    assert "logits of 1 fresh" in notes(TABLE4, mine)
    bare = page(TABLE4, defended(0.01, False, 0.55, settings={"defense": {"sigma": 0.01}}))
    assert bare["σ m"].tolist() == ["0.01"] and "draws" not in bare


def test_runs_of_different_identity_are_distinguished() -> None:
    runs = [admm(), admm(settings={"seed": 1}, identity="b"), admm(10.0, identity="c")]
    assert {"seed=0", "seed=1"} <= {*page(TABLE1, *runs, wide=False)["differs"]}


def test_a_table_is_of_one_dataset() -> None:
    with pytest.raises(RunError, match="covers one dataset"):
        TABLE1.rows([admm(), admm(dataset="ntu60_cs")])


def test_titles_name_space_shape_confidence_and_stand_ins() -> None:
    title = TABLE1.heading([admm(), admm(choices={"model": "agcn"}, num_frames=64)])
    for words in ("stand-in for the paper's NTU RGB+D", "camera space", "hcn: T=32", "agcn: T=64", "confidence 1"):
        assert words in title
    assert "normalised space" in TABLE1.heading([admm(settings={"dataset": {"space": "normalised"}})])
    assert "stand-in" not in TABLE1.heading([admm(stand_in=False)])


def test_files_in_three_formats(tmp_path: Path) -> None:
    one = admm()
    paths = write(TABLE1, [one], TABLE1.rows([one]), [one], tmp_path)
    assert [path.name for path in paths] == ["table1.md", "table1.tex", "table1.csv"]
    texts = {path.suffix: path.read_text() for path in paths}
    assert "stand-in" in texts[".md"].partition("\n")[0] and "T=32" in texts[".md"]
    assert "python -m skeleton_adv" in texts[".md"] and r"\toprule" in texts[".tex"]
    csv = pd.read_csv(tmp_path / "utd_mhad/table1.csv")
    assert csv.loc[csv["clips"] == 6, "l2"].item() == 0.125
    assert sorted(path.name for path in (tmp_path / "utd_mhad").iterdir()) == ["table1.csv", "table1.md", "table1.tex"]


def test_latex_is_ascii(tmp_path: Path) -> None:
    runs = [admm(), admm(**IMAGE), defended(0.01, False, 0.55, settings={"attack": {"norm": "l2", "eps": 0.1}})]
    for one in [*runs, transfer("hcn", 0.1), cw(), certified(), run(choices={"attack": "pgd"})]:
        ((table, own),) = by_table([one])
        for wide in (False, True):
            text = write(table, own, table.rows(own), own, tmp_path, wide)[1].read_text()
            assert all(line.isascii() for line in text.splitlines() if not line.startswith("%"))


def test_a_command_that_no_shell_can_parse_is_shown() -> None:
    command = "python -m skeleton_adv targeted=True target='massaging person\\'s head'"
    assert commands([admm(command=command)]) == [command]


def test_a_whole_sweep_is_one_command() -> None:
    made = "python -m skeleton_adv"
    sweep = {"params": {"attack.beta": "0.1,1"}, "jobs": 2}
    grid = [
        admm(b, command=f"{made} attack.beta={b} experiment=table1 seed=1", sweep=sweep, experiment="table1")
        for b in (0.1, 1)
    ]
    assert commands(grid) == [f"{made} experiment=table1 seed=1 attack.beta=0.1,1"]
    assert commands(grid[:1]) == [grid[0].command]  # a part of it
    from_file = [
        admm(b, command=one.command, sweep=sweep | {"typed": []}, experiment="table1")
        for b, one in zip((0.1, 1), grid, strict=True)
    ]
    assert commands(from_file) == [f"{made} experiment=table1 seed=1"]  # its file sweeps the rest
    typed = [admm(b, command=f"{made} attack.beta={b} model=hcn", sweep=sweep) for b in (0.1, 1)]
    assert commands(typed) == [f"{made} model=hcn -m attack.beta=0.1,1"]
    assert commands([admm(command=made)]) == [made]  # of an earlier version, or not of a sweep


GOLDEN = Path(__file__).parent / "golden"
MADE = {
    "table1": [admm(), admm(10.0, six_rows(l2=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), identity="b")],
    "table2": [transfer("hcn", 0.1), transfer("agcn", 0.01, identity="b")],
    "table3": [cw()],
    "table4": [defended(0.01, False, 0.55), defended(0.01, True, 0.05, identity="b")],
    "table5": [admm(0.1, **IMAGE)],
    "certified": [certified(), certified(0.5, "b")],
}


@pytest.mark.parametrize("name", MADE)
def test_cells_are_those_of_the_previous_version(name: str) -> None:
    """``golden/*.csv``: what the program before the redesign wrote for these runs."""
    golden = pd.read_csv(GOLDEN / f"{name}.csv", dtype=str, keep_default_na=False)
    ((table, own),) = by_table(MADE[name])
    text = table.rows(own).to_csv(index=False, float_format="%.6g")
    frame = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(frame[[*golden]], golden)


def test_two_runs_of_one_cell_are_refused() -> None:
    runs = [defended(0.01, True, 0.5), defended(0.01, False, 0.5, identity="b")]
    runs = [replace(one, access="scores") for one in runs]
    with pytest.raises(RunError, match="abc and b"):
        TABLE4.rows(runs)


@pytest.mark.parametrize("odd", [[0.01, 0.02], "auto", None])
def test_settings_of_foreign_parts_may_have_any_value(odd: object, tmp_path: Path) -> None:
    defense = dict.fromkeys(("sigma", "taps", "draws", "eot"), odd)
    attack = dict.fromkeys(("beta", "eps", "norm", "conf", "keep"), odd)
    own = [
        defended(0.01, True, 0.5, identity="b"),
        defended(0.01, True, 0.5, settings={"defense": defense, "attack": attack}, choices={"attack": "mine"}),
    ]
    free = [admm(), admm(settings={"attack": attack}, identity="c", access="scores", choices={"attack": "mine"})]
    for table, runs in by_table([*own, *free]):
        assert write(table, runs, table.rows(runs), [*own, *free], tmp_path, wide=True)
