"""The table of k-anonymity by hand: counts of ranks, the chi-square test, and clips outside the ranks."""

from pathlib import Path
from typing import Any

import pytest
import samples
from scipy.stats import chi2

from skeleton_adv.report.tables import by_table
from skeleton_adv.report.tables.anonymity import TABLE, counts, outside, reached, uniform
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run


def run(ranks: list[int], k: int = 2, hide: bool = False, **facts: Any) -> Run:
    rows = samples.six_rows(rank=ranks, drawn_rank=[1, 2, 1, 2, 1, 2])
    settings = {"attack": {"k": k, "hide": hide, "norm": "linf", "eps": 0.01}}
    return samples.run(rows, settings=settings, choices={"attack": "k_a3"}, **facts)


def test_ranks_are_counted_and_tested() -> None:
    one = run([1, 2, 1, 1, 1, 2])
    assert counts(one).tolist() == [4, 2]
    found = uniform(one)
    assert found["rank_counts"] == "4 2" and found["largest_share_hits"] == 4
    assert found["uniform_p"] == pytest.approx(chi2.sf(((4 - 3) ** 2 + (2 - 3) ** 2) / 3, 1))
    assert (reached(one).hits, outside(one).hits) == (5, 0)


def test_ranks_that_hide_every_clip_begin_at_two() -> None:
    one = run([1, 2, 3, 3, 2, 9], hide=True)
    assert counts(one).tolist() == [2, 2] and outside(one).hits == 2
    assert uniform(one)["uniform_p"] == 1


def test_the_table_takes_attacks_with_ranks_only(tmp_path: Path) -> None:
    one = run([1, 2, 1, 2, 1, 2])
    assert [table.name for table, _ in by_table([one])] == ["anonymity", "anonymity_judged"]
    assert not {"anonymity", "anonymity_judged"} & {table.name for table, _ in by_table([samples.run()])}
    write(TABLE, [one], TABLE.rows([one]), [one], tmp_path)
    text = (tmp_path / "utd_mhad/anonymity.md").read_text()
    assert "3 3" in text and "attack.hide=true" in text
