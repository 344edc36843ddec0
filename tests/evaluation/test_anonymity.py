"""k-anonymity in runs: the first clips of a run have balanced ranks, in the order of the run."""

from collections import Counter
from functools import partial
from typing import Any

from judged import evaluation, rows

from skeleton_adv.attacks.k_a3 import k_a3
from skeleton_adv.data.clips import hashed_order

ATTACK = partial(k_a3, k=3, steps=1)


def test_ranks_are_balanced_over_the_first_clips_of_a_run(data: Any) -> None:
    order = hashed_order(data[1].clips, "test")
    made = rows(data, ATTACK)
    drawn = [row["drawn_rank"] for row in made]
    assert [row["index"] for row in made] == order and order != sorted(order)
    whole = len(drawn) // 3 * 3
    assert whole >= 6
    assert all(sorted(drawn[start : start + 3]) == [1, 2, 3] for start in range(0, whole, 3))
    counts = Counter(drawn)
    assert max(counts.values()) - min(counts.values()) <= 1
    by_clip = {row["index"]: row["drawn_rank"] for row in made}
    for other in (rows(data, ATTACK, limit=4), rows(data, ATTACK, batch_size=2), part(data, order[3:])):
        assert {row["index"]: row["drawn_rank"] for row in other}.items() <= by_clip.items()


def part(data: Any, order: list[int]) -> list[dict[str, Any]]:
    """The rows of a run that begins in the middle of the order, as a shard or a resumed run does."""
    found: list[dict[str, Any]] = []
    evaluation(data, ATTACK).run(order, set(), found.extend, lambda starts, _: starts)
    return found
