"""Signs of a weak attack: by its own rows, and beside attacks that see less."""

import time
from dataclasses import replace
from typing import Any

import pytest
from samples import admm, defended, run, six_rows, transfer

from skeleton_adv.report.weakness import signs, warnings
from skeleton_adv.runs.load import Run

NAN = float("nan")
FALLING = [False] * 5 + [True]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, []),
        ({"falling": FALLING}, ["1 of 2 failures were still getting nearer"]),
        ({"adv_pred": -1}, ["6 of 6 clips diverged"]),
        ({"control_share": 1.0}, ["Gaussian noise of the same l2"]),
        ({"gradient": [0.0, 1.0, 1.0, 1.0, 1.0, 5e3]}, ["no gradient", "over 1000 per metre"]),
        ({"gradient": [1.0] * 5 + [NAN]}, ["over 1000 per metre"]),
        ({"gradient": [1e-6] * 5 + [5.0]}, []),
    ],
)
def test_each_sign_is_said_once(columns: dict[str, Any], words: list[str]) -> None:
    found = warnings(run(six_rows(**columns)))
    assert len(found) == len(words) and all(word in text for word, text in zip(words, found, strict=True))


def test_margins_of_another_network_say_nothing() -> None:
    assert not warnings(transfer("hcn", 0.1, six_rows(falling=FALLING)))
    said = [warnings(defended(0.01, adaptive, 0.9, {"falling": True, "success": False})) for adaptive in (False, True)]
    assert [any("getting nearer" in words for words in lines) for lines in said] == [False, True]


def test_noise_without_its_average_is_said() -> None:
    defense = {"sigma": 0.01, "draws": 50, "eot": 1}
    found = defended(0.01, True, 0.5, settings={"defense": defense})
    assert any("averages over none" in text for text in warnings(found))


def said(one: Run, *others: Run) -> list[str]:
    return [words for run, words in signs([one], [one, *others]) if "did not see" in words]


def test_an_attack_that_sees_less_and_does_better_is_a_sign() -> None:
    adaptive = defended(0.01, True, 0.5, {"success_share": 0.25})
    oblivious = defended(0.01, False, 0.5, {"success_share": 0.75}, identity="def")
    (words,) = said(adaptive, oblivious)
    assert words.startswith("4.5 of 6 clips fall to an attack that did not see the victim") and "1.5 to this" in words
    assert not said(oblivious, adaptive)
    assert not said(adaptive, defended(0.02, False, 0.5, {"success_share": 0.75}))  # behind another defense
    assert not said(adaptive, defended(0.01, False, 0.5, {"success_share": 0.75, "l2": 1.0}))  # it only spent more
    assert not said(adaptive, defended(0.01, False, 0.5, {"success_share": 0.75, "label": 2}))  # of other clips


def test_transfer_that_beats_the_white_box() -> None:
    weak = admm(rows=six_rows(success_share=0.0), identity="def")
    (words,) = said(weak, transfer("hcn", 0.1))
    assert "0 to this one" in words
    own = transfer("hcn", 0.1, settings={"surrogate_checkpoint": "weights"})  # the victim's own
    assert not said(weak, own)
    assert not said(admm(rows=six_rows(success_share=0.0), access="none"), transfer("hcn", 0.1))
    assert said(weak, run(access="labels", identity="ghi"))


def test_only_the_strongest_of_many_is_named() -> None:
    weak = admm(rows=six_rows(success_share=0.0), identity="def")
    others = [transfer("hcn", 0.1 * n, six_rows(success_share=0.1 * n), identity=str(n)) for n in (1, 3, 2)]
    (words,) = said(weak, *others)
    assert "1.8 of 6" in words and "2 more such attacks" in words and "β=0.3" in words


def test_clips_that_only_one_attacked_do_not_count() -> None:
    weak = admm(rows=six_rows(success_share=0.0)[:4], identity="def", done=4)
    (words,) = said(weak, transfer("hcn", 0.1, [*reversed(six_rows())]))
    assert "3 of 4 clips" in words


def test_looking_for_signs_among_many_runs_takes_time_in_proportion() -> None:
    rows = [six_rows(success_share=share) for share in (0.0, 0.5)]
    weak, other = admm(rows=rows[0], identity="def"), transfer("hcn", 0.1, rows[1])
    began = time.process_time()
    assert len(signs([replace(weak, identity=str(n)) for n in range(500)], [weak] + [replace(other)] * 500)) >= 500
    assert time.process_time() - began < 5
