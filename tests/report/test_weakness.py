"""Signs of a weak attack: in its own rows, and beside attacks that see less."""

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
        ({"falling": FALLING}, ["1 of 2 failures were still improving"]),
        ({"adv_pred": -1}, ["6 of 6 clips diverged"]),
        ({"control_share": 1.0}, ["Gaussian noise of the same l2"]),
        ({"gradient": [0.0, 1.0, 1.0, 1.0, 1.0, 5e3]}, ["no gradient", "above 1000 per metre"]),
        ({"gradient": [1.0] * 5 + [NAN]}, ["above 1000 per metre"]),
        ({"gradient": [1e-6] * 5 + [5.0]}, []),
    ],
)
def test_each_sign_appears_once(columns: dict[str, Any], words: list[str]) -> None:
    found = warnings(run(six_rows(**columns)))
    assert len(found) == len(words) and all(word in text for word, text in zip(words, found, strict=True))


def test_a_single_step_cannot_be_continued() -> None:
    assert not warnings(run(six_rows(falling=FALLING), settings={"attack": {"steps": 1}}))


def test_margins_of_another_network_are_ignored() -> None:
    assert not warnings(transfer("hcn", 0.1, six_rows(falling=FALLING)))
    texts = [warnings(defended(0.01, adaptive, 0.9, {"falling": True, "success": False})) for adaptive in (False, True)]
    assert [any("still improving" in words for words in lines) for lines in texts] == [False, True]


def test_an_attack_that_does_not_average_over_noise_is_a_sign() -> None:
    defense = {"sigma": 0.01, "draws": 50, "eot": 1}
    found = defended(0.01, True, 0.5, settings={"defense": defense})
    assert any("does not average over draws" in text for text in warnings(found))


def test_draws_of_the_attack_count() -> None:
    defense = {"sigma": 0.01, "draws": 50, "eot": 1}
    found = defended(0.01, True, 0.5, settings={"defense": defense, "attack": {"eot": 20}})
    assert not any("does not average over draws" in text for text in warnings(found))


def test_an_attack_that_draws_ranks_does_not_fail_on_clips_at_rank_one() -> None:
    ranks = {"rank": 1, "drawn_rank": 1}
    weak = {"falling": True, "control_share": 1.0, "success": False, "success_share": 0.0}
    one = run(six_rows(**weak, **ranks))
    assert len(warnings(run(six_rows(**weak)))) == 2 and not warnings(one)
    assert not overtaken(one, transfer("hcn", 0.1)) and overtaken(run(six_rows(**weak)), transfer("hcn", 0.1))
    assert len(warnings(run(six_rows(adv_pred=-1, **ranks)))) == 1


MEMBERS = {"aa_member": 1, "aa_varies": False, "aa_flat": False, "aa_probabilities": False}


@pytest.mark.parametrize(
    ("columns", "version", "words"),
    [
        ({}, "standard", []),
        ({"aa_member": [0, 1, 2, 3, -1, -1]}, "standard", []),
        ({"aa_member": [4, 1, 4, 3, -1, -1]}, "standard", ["fools 2 of 6 clips that APGD and FAB do not"]),
        ({"aa_varies": True}, "standard", ["different logits on 6 of 6 clips"]),
        ({"aa_varies": True}, "rand", []),
        ({"aa_flat": [True] + [False] * 5}, "standard", ["exactly 0 on 1 of 6 clips"]),
        ({"aa_probabilities": True}, "standard", ["probabilities"]),
    ],
)
def test_signs_that_autoattack_reports(columns: dict[str, Any], version: str, words: list[str]) -> None:
    found = warnings(run(six_rows(**MEMBERS | columns), settings={"attack": {"version": version}}))
    assert len(found) == len(words) and all(word in text for word, text in zip(words, found, strict=True))


@pytest.mark.parametrize(("loss", "classes", "some"), [("dlr", 2, True), ("dlr", 3, False), ("targeted_dlr", 3, True)])
def test_too_few_classes_for_the_loss_are_a_sign(loss: str, classes: int, some: bool) -> None:
    found = warnings(run(settings={"attack": {"loss": loss}}, num_classes=classes))
    assert any("the loss is the margin" in text for text in found) is some


def overtaken(one: Run, *others: Run) -> list[str]:
    return [words for run, words in signs([one], [one, *others]) if "sees less" in words]


def test_an_attack_that_sees_less_and_does_better_is_a_sign() -> None:
    adaptive = defended(0.01, True, 0.5, {"success_share": 0.25})
    oblivious = defended(0.01, False, 0.5, {"success_share": 0.75}, identity="def")
    (words,) = overtaken(adaptive, oblivious)
    assert "fools it on 4.5 of 6 clips" in words and "this attack on 1.5" in words
    assert not overtaken(oblivious, adaptive)
    assert not overtaken(adaptive, defended(0.02, False, 0.5, {"success_share": 0.75}))  # behind another defense
    assert not overtaken(
        adaptive, defended(0.01, False, 0.5, {"success_share": 0.75, "l2": 1.0})
    )  # only at a greater l2
    assert not overtaken(adaptive, defended(0.01, False, 0.5, {"success_share": 0.75, "label": 2}))  # of other clips


def test_transfer_that_beats_the_white_box() -> None:
    weak = admm(rows=six_rows(success_share=0.0), identity="def")
    (words,) = overtaken(weak, transfer("hcn", 0.1))
    assert "this attack on 0" in words
    own = transfer("hcn", 0.1, settings={"surrogate_checkpoint": "weights"})  # the victim's own
    assert not overtaken(weak, own)
    assert not overtaken(admm(rows=six_rows(success_share=0.0), access="none"), transfer("hcn", 0.1))
    assert overtaken(weak, run(access="labels", identity="ghi"))
    within = run(access="labels", identity="ghi", choices={"threat": "linf_2mm"})
    assert not overtaken(weak, within)  # under another threat model


def test_only_the_strongest_of_many_is_named() -> None:
    weak = admm(rows=six_rows(success_share=0.0), identity="def")
    others = [transfer("hcn", 0.1 * n, six_rows(success_share=0.1 * n), identity=str(n)) for n in (1, 3, 2)]
    (words,) = overtaken(weak, *others)
    assert "1.8 of 6" in words and "2 more such attacks" in words and "β=0.3" in words


def test_clips_that_only_one_attacked_do_not_count() -> None:
    weak = admm(rows=six_rows(success_share=0.0)[:4], identity="def", done=4)
    (words,) = overtaken(weak, transfer("hcn", 0.1, [*reversed(six_rows())]))
    assert "3 of 4 clips" in words


def test_signs_among_many_runs_take_linear_time() -> None:
    rows = [six_rows(success_share=share) for share in (0.0, 0.5)]
    weak, other = admm(rows=rows[0], identity="def"), transfer("hcn", 0.1, rows[1])
    began = time.process_time()
    assert len(signs([replace(weak, identity=str(n)) for n in range(500)], [weak] + [replace(other)] * 500)) >= 500
    assert time.process_time() - began < 5
