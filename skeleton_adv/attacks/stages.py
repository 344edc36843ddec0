"""Attacks in stages: between two stages, clips that are done leave, and others take their places in a pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model
from skeleton_adv.core.batch import SkeletonBatch

State = Mapping[str, Tensor]  # name -> (N, ...); ``done`` (N,) bool, ``stage`` (N,) int: the number of the next stage


@dataclass(frozen=True)
class Staged:
    """An attack with its settings as stages. All that one stage leaves to the next is a state, per clip.

    ``begin`` makes the state of clips, ``advance`` takes their next stage, which is of the same ``kind`` for all of
    them, and ``end`` makes the result of clips that are done. The rows of a state do not depend on each other, so a
    clip may share each stage with other clips. ``fixed``: whether a stage of a kind always takes the same number of
    passes. If not, the draws of a model with noise depend on the other clips.
    """

    begin: Callable[[Model, SkeletonBatch], State]
    advance: Callable[[Model, SkeletonBatch, State], State]
    end: Callable[[SkeletonBatch, State], AttackResult]
    kind: Callable[[int], int] = lambda stage: stage
    fixed: bool = False

    def whole(self, model: Model, batch: SkeletonBatch) -> AttackResult:
        """The attack on one batch, in which clips that are done wait for the others."""
        state = self.begin(model, batch)
        while not bool(state["done"].all()):
            state = self.advance(model, batch, state)
        return self.end(batch, state)


def kept(state: State, new: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ``new`` state, with the old one for clips that are done."""
    done = state["done"]
    return {
        name: torch.where(done.view(-1, *[1] * (values.dim() - 1)), state[name], values) for name, values in new.items()
    }


def rows_of(state: State, rows: slice) -> dict[str, Tensor]:
    """The state of the clips at these places."""
    return {name: values[rows] for name, values in state.items()}


def joined(states: list[State]) -> dict[str, Tensor]:
    """The states of several batches as one."""
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}
