"""Table 1 within the limits of the body."""

from typing import Any

import pandas as pd
import samples

from skeleton_adv.report.columns import scope_of
from skeleton_adv.report.tables import TABLES, by_table
from skeleton_adv.report.tables.threat import cells
from skeleton_adv.runs.load import Run

(TABLE,) = (table for table in TABLES if table.name == "table1_feasible")
LIMITS = {"bone": {"eps": 0.01}, "speed": {"eps": 0.1, "floor": 0.0, "reading": "speed"}}
MADE: dict[str, Any] = {"run": "abc", "weights": "weights", "attacked": "hcn", "dataset": "utd_mhad"}


def feasible(name: str, attack: dict[str, Any], threat: str | None = "paper", **facts: Any) -> Run:
    settings = {"attack": {"name": name} | attack, "constraint": LIMITS} | facts.pop("settings", {})
    choices = {"attack": name, "threat": threat, "constraint": "paper"}
    own = {"settings": settings, "choices": choices, "experiment": "table1_feasible", **facts}
    return samples.run(samples.six_rows(), identity=f"{name}{len(str(own))}"[:12], **own)


RUNS = (
    feasible("admm", {"beta": 1.0}),
    feasible("projected", {"path": "a" * 64}, origin=MADE | {"attack": "admm", "settings": {"beta": 1.0}}),
    feasible("projected", {"path": "b" * 64}, origin=MADE | {"attack": "cw", "settings": {}, "weights": "other"}),
    feasible(
        "admm_feasible",
        {"steps": 80},
        threat=None,
        settings={"constraint": LIMITS | {"speed": LIMITS["speed"] | {"floor": 0.05}}},
    ),
)


def test_runs_are_here_and_in_the_table_of_their_threat_model_but_not_in_table_1() -> None:
    tables = {table.name: len(own) for table, own in by_table(RUNS)}
    assert tables == {"table1_feasible": 4, "benchmark_threat_paper": 3}


def test_a_row_names_its_limits_and_the_attack_whose_clips_it_projects() -> None:
    shown = TABLE.page(TABLE.rows(RUNS), scope_of(RUNS))
    page = pd.DataFrame(dict(shown.grid))
    assert page["limits"].tolist() == ["paper", "paper", "paper", "paper, floor 0.05 m/s"]
    assert page["attack"].tolist() == ["admm β=1", "projected", "projected", "admm_feasible"]
    assert page["clips of"].tolist() == ["", "admm β=1", "cw on hcn", ""]
    assert page["feasible success if correct before"].str.startswith("25.0 ").all()
    assert "differs" not in page and len(page.columns) <= 10


def test_projected_clips_have_columns_of_their_own_in_the_matrix_of_a_threat_model() -> None:
    assert [attack for attack, _ in cells(RUNS[:3])] == ["admm", "projected of admm β=1", "projected of cw on hcn"]
