"""Tables of the benchmark: by threat model, worst case per clip, and attacks that minimise a norm."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import samples

from skeleton_adv.report.paired import Paired, by_victim, median, median_interval
from skeleton_adv.report.tables import by_table
from skeleton_adv.report.tables.corruption import BY_SEVERITY
from skeleton_adv.report.tables.least import TABLE as TABLES_LEAST
from skeleton_adv.report.tables.least import robustness
from skeleton_adv.report.tables.threat import TRAININGS, matrix, worst_cases
from skeleton_adv.report.transferred import _interval
from skeleton_adv.report.transferred import rows as transfer_rows
from skeleton_adv.report.weakness import warnings
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run


def under(
    attack: str,
    fooled: Sequence[int],
    feasible: Sequence[int] = (*range(6),),
    threat: str | None = "linf_2mm",
    **facts: Any,
) -> Run:
    """A run that fools these of the six clips, of which 0 to 3 are correct before."""
    rows = samples.six_rows(
        success=[index in fooled for index in range(6)],
        feasible=[index in feasible for index in range(6)],
        adv_pred=[2 if index in fooled else 1 for index in range(6)],
        **facts.pop("rows", {}),
    )
    choices = {"attack": attack, "threat": threat, **facts.pop("choices", {})}
    settings = {"attack": {"name": attack}, **facts.pop("settings", {})}
    return samples.run(rows, choices=choices, settings=settings, identity=f"{attack}{threat}"[:12], **facts)


def least(attack: str, l2: list[float], fooled: Sequence[int] = (*range(6),), **facts: Any) -> Run:
    return under(attack, fooled, threat=None, minimises="l2", rows={"l2": l2}, **facts)


def test_every_threat_model_has_a_table(tmp_path: Path) -> None:
    runs = [under("pgd", [0, 1]), under("cw", [2]), under("pgd", [3], threat="paper")]
    tables = {table.name: own for table, own in by_table(runs)}
    assert {name: len(own) for name, own in tables.items() if name.startswith("benchmark_threat")} == {
        "benchmark_threat_linf_2mm": 2,
        "benchmark_threat_paper": 1,
    }
    for table, own in by_table(runs):
        write(table, own, table.rows(own), runs, tmp_path)
    written = {path.name for path in (tmp_path / "utd_mhad").iterdir()}
    assert {f"benchmark_threat_linf_2mm{end}" for end in (".md", ".csv", "_matrix.csv", "_worst_case.csv")} <= written
    matrix = pd.read_csv(tmp_path / "utd_mhad/benchmark_threat_linf_2mm_matrix.csv")
    assert matrix["attack"].tolist() == ["pgd", "cw"]
    assert [one.partition(" ")[0] for one in matrix["hcn s0"]] == ["50.0", "25.0"]


def test_the_worst_case_counts_clips_that_no_attack_fools_inside_the_threat_model(tmp_path: Path) -> None:
    """Clips 0 to 3 are correct before: pgd fools 0 and 1, but 1 outside; cw fools 0, 2, and 4, which is wrong."""
    runs = [under("pgd", [0, 1], feasible=[0]), under("cw", [0, 2, 4]), under("transfer", [3], access="transfer")]
    ((table, own),) = [(table, own) for table, own in by_table(runs) if table.name == "benchmark_threat_linf_2mm"]
    write(table, own, table.rows(own), runs, tmp_path)
    worst = pd.read_csv(tmp_path / "utd_mhad/benchmark_threat_linf_2mm_worst_case.csv")
    assert worst["attacks"].tolist() == [2] and worst["paired_clips"].tolist() == [6]
    assert worst["worst_case"].tolist() == [0.5] and worst["worst_case_clips"].tolist() == [4]
    assert worst["strongest"].tolist() == ["cw"] and worst["strongest_success"].tolist() == [0.5]
    assert worst["alone"].tolist() == [1]


def test_victims_that_draw_noise_have_no_worst_case() -> None:
    assert [row["attacks"] for row in worst_cases([under("pgd", [0]), under("cw", [1], randomised=True)])] == [1]


def test_runs_of_one_attack_with_other_settings_have_rows_of_their_own() -> None:
    """Three runs on one victim, with 5 and 10 steps and behind other defenses; on another victim, one is enough."""
    behind = [{"settings": {"defense": {"sigma": s}}, "choices": {"defense": "noise"}} for s in (0.1, 0.2)]
    steps = [{"settings": {"attack": {"name": "pgd", "steps": number}}} for number in (5, 10)]
    runs = [under("pgd", fooled, **facts) for fooled, facts in zip(([0], [0, 1]), steps, strict=True)]
    runs += [under("cw", [0], **behind[0]), under("cw", [0, 1], **behind[1])]
    found = {row.pop("attack"): {name: cell.partition(" ")[0] for name, cell in row.items()} for row in matrix(runs)}
    assert found == {
        "pgd, steps=5": {"hcn s0": "25.0"},
        "pgd, steps=10": {"hcn s0": "50.0"},
        "cw": {"hcn s0, noise, sigma=0.1": "25.0", "hcn s0, noise, sigma=0.2": "50.0"},
    }


def test_only_clips_that_all_attacks_have_are_paired() -> None:
    few = samples.six_rows(success=True)[2:5]
    part = samples.run(few, choices={"attack": "cw"}, done=3)
    paired = Paired([under("pgd", [0, 2, 3], threat=None), part])
    assert paired.clips.tolist() == [2, 3, 4] and paired.right.tolist() == [True, True, False]
    assert paired.succeeded(paired.runs[0]).tolist() == [True, True, False]


def test_a_short_run_does_not_shrink_the_common_clips() -> None:
    short = samples.run(samples.six_rows(success=True)[2:4], choices={"attack": "cw"}, done=2, minimises="l2")
    runs = [least("ddn", [1.0] * 6), least("fmn", [2.0] * 6), short]
    assert [row["attacks"] for row in worst_cases(runs)] == [2]
    ((table, own),) = [(table, own) for table, own in by_table(runs) if table.name == "benchmark_least"]
    frame = table.rows(own).set_index("attack")
    assert frame["near_shortest_clips"].dropna().to_dict() == {"ddn": 4, "fmn": 4}
    assert frame["near_shortest"].isna().to_dict() == {"ddn": False, "fmn": False, "cw": True}


def test_victims_are_ranked_by_the_median_of_the_shortest_perturbation() -> None:
    """Clips 0 to 3 are correct before; hcn's shortest are 1, 2, 3 and none; agcn's are 1, 1, 1 and 9."""
    other = {"choices": {"model": "agcn"}, "settings": {"checkpoint": "agcn"}}
    runs = [
        least("ddn", [1.0, 5.0, 3.0, 1.0, 1, 1], fooled=[0, 1, 2, 4, 5]),
        least("cw", [2.0, 2.0, 4.0, 1.0, 1, 1], fooled=[0, 1, 2, 4, 5]),
        under("ddn", range(6), threat=None, minimises="l2", rows={"l2": [1.0, 1, 1, 9, 1, 1]}, **other),
    ]
    first, second = robustness(runs)
    assert [first["median_least"], second["median_least"]] == [2.0, 1.0]
    assert [first["attacks"], second["attacks"]] == [2, 1] and first["paired_clips"] == second["paired_clips"] == 4
    assert (first["quarter"], first["three_quarters"]) == (1.0, 3.0)
    assert (first["median_least_low"], first["median_least_high"]) == (0, np.inf)  # four clips are too few


@pytest.mark.parametrize("count", [6, 25, 100])
def test_the_interval_of_a_median_covers_it(count: int) -> None:
    rng = np.random.default_rng(0)
    ends = np.array([median_interval(rng.exponential(size=count)) for _ in range(2000)])
    assert ((ends[:, 0] <= np.log(2)) & (ends[:, 1] >= np.log(2))).mean() >= 0.94
    assert median_interval(np.arange(100.0)) == (39.0, 60.0)  # the 40th and the 61st value


def test_victims_with_other_weights_are_apart() -> None:
    runs = [under("pgd", []), under("cw", []), under("pgd", [], settings={"checkpoint": "others"})]
    assert [len(group) for group in by_victim(runs)] == [2, 1]


def test_the_success_of_an_attack_varies_between_trainings() -> None:
    """Of the four clips that are correct before, pgd fools two of either training, cw none and all, fgsm ran on one."""
    fooled = {("pgd", 0): [0, 1], ("pgd", 1): [2, 3], ("cw", 0): [], ("cw", 1): [*range(6)], ("fgsm", 0): [0]}
    runs = [
        under(attack, own, seeds={"model": seed}, settings={"checkpoint": f"weights {seed}"})
        for (attack, seed), own in fooled.items()
    ]
    found = TRAININGS.rows(runs)
    assert [(row["attack"], row["trainings"], row["ranks"]) for row in found] == [("pgd", 2, "1 2"), ("cw", 2, "2 1")]
    assert [[row[key] for key in ("mean_success", "lowest", "highest")] for row in found] == [
        [0.5, 0.5, 0.5],
        [0.5, 0, 1],
    ]
    assert TRAININGS.rows(runs[:1] + runs[2:3] + runs[4:]) == []  # one training has no spread


def test_random_targets_of_other_seeds_are_apart() -> None:
    seeds = [{"targeted": True, "seed": seed} for seed in (0, 0, 1)]
    assert [len(group) for group in by_victim([under("pgd", [], settings=own) for own in seeds])] == [2, 1]
    untargeted = [under("pgd", [], settings={"targeted": False, "seed": seed}) for seed in (0, 1)]
    assert [len(group) for group in by_victim(untargeted)] == [2]


def test_the_shortest_perturbation_of_each_clip_is_the_reference() -> None:
    """Clips 0 to 3: ddn is shortest on 0, 1 and 3; cw on 2, and within 1.1 on 0; 3 is not fooled by cw."""
    runs = [
        least("ddn", [1.0, 1.0, 1.2, 1.0, 9, 9]),
        least("cw", [1.09, 1.11, 1.0, 0.1, 9, 9], fooled=[0, 1, 2, 4, 5]),
    ]
    ((table, own),) = [(table, own) for table, own in by_table(runs) if table.name == "benchmark_least"]
    frame = table.rows(own).set_index("attack")
    assert frame["near_shortest"].to_dict() == {"ddn": 0.75, "cw": 0.5}
    assert frame["near_shortest_clips"].to_dict() == {"ddn": 4, "cw": 4}
    assert frame["median_norm"].to_dict() == pytest.approx({"ddn": 1.0, "cw": 1.09})
    assert frame["mean_norm"].to_dict() == pytest.approx({"ddn": 1.05, "cw": 3.2 / 3})


def test_the_rms_of_displacements_is_compared_in_the_unit_of_the_clips() -> None:
    run = under("fab", [0, 1], threat=None, minimises="rms", rows={"rms_mm": [1.0, 3.0, 2.0, 2.0, 2.0, 2.0]})
    assert Paired([run]).lengths("rms")[0].tolist() == [0.001, 0.003, *[np.inf] * 4]
    ((table, own),) = [(table, own) for table, own in by_table([run]) if table.name == "benchmark_least"]
    assert table.rows(own)["mean_norm"].tolist() == pytest.approx([0.002])


def test_the_median_may_be_infinite() -> None:
    assert median(np.array([np.inf, 1, np.inf])) == np.inf and median(np.array([3.0, 1, np.inf])) == 3


def on(attack: str, surrogate: str, victim: str, fooled: Sequence[int], **facts: Any) -> Run:
    choices = {"model": victim, "model@surrogate": surrogate}
    settings = {"checkpoint": victim, "surrogate_checkpoint": surrogate, "surrogate": {"name": surrogate}}
    settings |= {"attack": {"name": attack}}
    return under(attack, fooled, access="transfer", choices=choices, settings=settings, **facts)


def test_transfer_is_the_mean_over_victims_that_are_no_surrogate() -> None:
    """Clips 0 to 3 are correct before. On a and b, mi_fgsm fools 1 of 8, tasar 4 of 8; c is a surrogate."""
    runs = [
        on("mi_fgsm_paper", "c", "a", [0]),
        on("mi_fgsm_paper", "c", "b", []),
        on("mi_fgsm_paper", "c", "c", [*range(6)]),
    ]
    runs += [on("tasar", "c", "a", [0, 1, 2]), on("tasar", "c", "b", [0])]
    runs += [on("svre", "ensemble", victim, clips, members=["c", "d"]) for victim, clips in (("a", [0, 4]), ("b", [5]))]
    found = {row["attack"]: row for row in transfer_rows(runs)}
    means = {name: row["transfer_success"] for name, row in found.items()}
    assert means == {"mi_fgsm_paper": 1 / 8, "tasar": 4 / 8, "svre": 1 / 8}
    assert {row["victims"] for row in found.values()} == {2} and {row["paired_clips"] for row in found.values()} == {4}
    assert found["tasar"]["gain"] == 3 / 8 and "gain" not in found["mi_fgsm_paper"] and "gain" not in found["svre"]
    low, high = found["tasar"]["gain_low"], found["tasar"]["gain_high"]
    assert 0 <= low < 3 / 8 < high <= 0.5  # no clip gains more than a half


def test_an_attack_on_a_posterior_is_compared_with_the_baseline_on_the_network_it_was_fitted_to() -> None:
    runs = [
        on("mi_fgsm_paper", "c", "a", [0], seeds={"surrogate": 0}),
        on("tasar", "c", "a", [0, 1], seeds={"surrogate": 0}),
    ]
    runs += [on("mi_fgsm_paper", "c", "a", [0, 1, 2], seeds={"surrogate": 1})]
    for run, weights in zip(runs, ("plain", "posterior", "other"), strict=True):
        run.settings["surrogate_checkpoint"] = weights  # type: ignore[index]
    assert [row["gain"] for row in transfer_rows(runs) if row["attack"] == "tasar"] == [1 / 4]


def test_victims_behind_one_defense_with_other_settings_are_apart() -> None:
    runs = [on("mi_fgsm_paper", "c", "a", [0], seeds={"surrogate": 0}) for _ in range(2)]
    for run, sigma in zip(runs, (0.1, 0.2), strict=True):
        run.settings["defense"] = {"sigma": sigma}  # type: ignore[index]
    assert [row["victims"] for row in transfer_rows(runs)] == [2]


def test_the_bootstrap_covers_a_mean_as_often_as_it_claims() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    hits = 0
    for _ in range(300):
        found = _interval("x", rng.random(40))
        hits += found["x_low"] <= 0.5 <= found["x_high"]
    assert 0.90 <= hits / 300 <= 0.98


def test_plausibility_is_shown_beside_that_of_clean_clips() -> None:
    names = ("jerk", "high_frequency", "skate", "limit_excess", "pose_distance")
    columns = {f"{name}{end}": 0.5 for name in names for end in ("", "_ratio", "_percentile", "_clean_percentile")}
    columns |= {"jerk_ratio": [2.0, 4.0, 3.0, 3.0, 3.0, 3.0], "limit_excess": [0.0, 0.1, 0.0, 0.2, 0.0, 0.0]}
    run = under("pgd", [0], rows=columns)
    ((table, own),) = [(table, own) for table, own in by_table([run]) if table.name == "benchmark_plausibility"]
    frame = table.rows(own)
    assert frame["jerk_ratio"].tolist() == [3.0] and frame["beyond_limits"].tolist() == pytest.approx([1 / 3])
    assert "benchmark_plausibility" not in [table.name for table, _ in by_table([under("pgd", [0])])]


def test_corruptions_are_shown_by_severity() -> None:
    """Of six clips, the accuracy is 5 / 6 at the lowest severity and 1 / 6 at the highest."""
    runs = [
        under(
            "corruption_yaw",
            [],
            threat=None,
            access="none",
            rows={"adv_share": [1.0] * (6 - severity) + [0.0] * severity},
            settings={"attack": {"name": "corruption", "kind": "yaw", "severity": severity}},
        )
        for severity in (3, 1, 2, 5, 4)
    ]
    assert [(table.name, len(own)) for table, own in by_table(runs)] == [("benchmark_corruption", 5)]
    (row,) = BY_SEVERITY.rows(runs)
    assert [row[f"severity_{severity}_hits"] for severity in range(1, 6)] == [5, 4, 3, 2, 1] and row["kind"] == "yaw"
    assert row["mean"] == pytest.approx(0.5)
    assert "mean" not in BY_SEVERITY.rows(runs[:4])[0]  # a mean over fewer severities is another number
    assert all(warnings(run) == [] for run in runs)  # there is no adversary that could be weak


def test_a_short_run_has_a_median_of_its_own() -> None:
    short = least("basar", [2.0, 4.0, 9, 9, 9, 9])
    short = replace(short, records=short.records[:2])
    rows = TABLES_LEAST.rows([least("ddn", [1.0] * 6), least("cw", [1.0] * 6), short]).set_index("attack")
    assert rows.loc["basar", "median_norm"] == 2.0 and rows.loc["basar", "mean_norm"] == 3.0
    assert rows.loc["ddn", "near_shortest"] == 1.0 and np.isnan(rows.loc["basar", "near_shortest"])


def test_runs_under_a_threat_model_are_in_none_of_the_papers_tables() -> None:
    runs = [under("admm", [0], threat="paper"), under("admm", [0], threat=None), under("cw", [0], threat="linf_2mm")]
    found = {table.name: len(own) for table, own in by_table(runs)}
    assert found == {"benchmark_threat_linf_2mm": 1, "benchmark_threat_paper": 1, "table1": 1}
