"""The law of an attack's steps: they never wait for the device, except for rare checks whether all clips are done.

On a GPU, a read of a tensor by Python, or a tensor made from Python's numbers, waits until the device has done all its
work, so that it idles while Python prepares the next step.
"""

import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import linear_case
from options import attack_of, options
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from skeleton_adv.attacks import access_of
from skeleton_adv.core.batch import Context
from skeleton_adv.defenses import none
from skeleton_adv.models.victim import Victim

STEPS = ("steps", "inner_steps", "queries")
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "bincount", "_unique2", "lift_fresh"}
RARE = 0.3  # waits per pass; APGD of few steps looks in each of them
# BASAR looks before each projection, which costs more than a query.
OFTEN = ("basar",)


class Waits(TorchDispatchMode):
    """Counts operations that wait for the device, except in torch's optimisers, whose counters are on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.__name__.partition(".")[0]
        masked = func.__name__.startswith(("index.", "index_put")) and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        )
        if (name in WAITING or masked) and not any("torch/optim" in one.filename for one in traceback.extract_stack()):
            self.count += 1
        return func(*args, **(kwargs or {}))


class Linear(nn.Module):
    """A linear victim, called as the program calls its victims."""

    def __init__(self, alone: nn.Module) -> None:
        super().__init__()
        self.alone = alone

    def forward(self, x: Tensor, context: Context) -> Tensor:
        logits: Tensor = self.alone(x)
        return logits


def waits_and_passes(name: str, folder: Path, factor: int) -> tuple[int, int]:
    """Waits and passes of an attack with ``factor`` times as many steps."""
    model, batch = linear_case(n=8, t=4, dtype=torch.float32)
    attack = attack_of(name, folder, batch)
    assert isinstance(attack, partial)
    key = next((key for key in STEPS if key in attack.keywords), None)
    if key is None:
        pytest.skip("the attack has one step")
    attack.keywords[key] *= factor
    view = Victim(Linear(model), none, "cpu").view(batch, "attack", 0)
    with Waits() as waits:
        attack(view.limited(access_of(attack)), batch, targeted=False)
    return waits.count, view.forwards


@pytest.mark.cases(12)
@pytest.mark.parametrize("name", sorted({*options("attack")} - {*OFTEN}))
def test_steps_do_not_wait_for_the_device(name: str, tmp_path: Path) -> None:
    waits_and_passes(name, tmp_path, 1)  # fills caches
    few, more = (waits_and_passes(name, tmp_path, factor) for factor in (1, 2))
    assert more[0] - few[0] <= RARE * (more[1] - few[1]), f"{few} and {more} waits and passes"
