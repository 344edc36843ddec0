"""Fit a victim: choose the number of epochs on held-out training clips, then refit on all training clips."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.files import write_whole
from skeleton_adv.data.clips import Dataset, Prepared, load_batch
from skeleton_adv.models.network import Network
from skeleton_adv.train.augment import training_batch
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.state import Epoch, TrainingState
from skeleton_adv.train.training import Plain, Training

Log = Callable[[str], None]
PLAIN = Plain()


def fit(
    build: Callable[[], nn.Module],
    dataset: Dataset,
    prepared: Prepared,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    scratch: Path,
    log: Log,
    training: Training = PLAIN,
) -> tuple[nn.Module, TrainingState]:
    """Train ``build()`` by ``recipe`` without test clips; return it with the final state, which has the history.

    ``training`` is the part beyond the recipe. The file ``scratch`` contains the state after each epoch: a training
    that resumes from it ends with the same weights.
    """
    train, held_out = _training_clips(dataset, prepared, recipe, seed)
    fresh = partial(_fresh, _started(build, training, dataset, len(train)), recipe, training, len(train), seed, device)
    model, optimiser, state = _restore(*fresh(), scratch, device)
    while state.phase != "done":
        selecting = state.phase == "select"
        clips = [i for i in train if i not in held_out] if selecting else train
        last = recipe.epochs if selecting else (state.chosen or recipe.epochs)
        if (selecting and not held_out) or state.epoch == last:
            state.phase = "refit" if selecting else "done"
            if selecting:
                state.epoch = 0
                model, optimiser = fresh()
            continue
        where = (seed, state.phase, state.epoch)
        loss = _one_epoch(model, optimiser, dataset, prepared, clips, recipe, training, where)
        epoch = Epoch(state.phase, state.epoch + 1, loss, recipe.rate(state.epoch))
        if selecting:
            epoch = _judged(epoch, correct(model, dataset, prepared, sorted(held_out), recipe.batch_size, training))
        state.add(epoch)
        _save(scratch, model, optimiser, state)
        log(_line(epoch, last))
    return training.finish(model, optimiser).eval(), state


def _started(
    build: Callable[[], nn.Module], training: Training, dataset: Dataset, clips: int
) -> Callable[[], nn.Module]:
    """What makes the module that is trained."""
    return lambda: training.start(build(), dataset, clips)


def _judged(epoch: Epoch, hits: Sequence[bool]) -> Epoch:
    """The epoch with the accuracy on the held-out clips."""
    return replace(epoch, held_out_accuracy=sum(hits) / len(hits), held_out_clips=len(hits))


def _line(epoch: Epoch, last: int) -> str:
    """The line that the log shows after an epoch."""
    text = f"{epoch.phase} epoch {epoch.epoch}/{last} loss {epoch.loss:.3f}"
    accuracy = epoch.held_out_accuracy
    return text if accuracy is None else f"{text} held-out accuracy {100 * accuracy:.1f} %"


def correct(
    model: nn.Module,
    dataset: Dataset,
    prepared: Prepared,
    numbers: Sequence[int],
    batch_size: int,
    training: Training = PLAIN,
) -> list[bool]:
    """Whether the model classifies each of these clips correctly, or as ``training`` changes them to judge it."""
    model.eval()
    hits: list[bool] = []
    with torch.no_grad():
        for start in range(0, len(numbers), batch_size):
            batch = load_batch(dataset, prepared, numbers[start : start + batch_size]).to(_device(model))
            context = Context(batch.mask, batch.movable, batch.index, 0, "clean", batch.skeleton)
            x = training.judged(model, batch)
            logits = model(x, context) if isinstance(model, Network) else model(x)
            hits += (logits.argmax(dim=1) == batch.y).tolist()
    return hits


def _one_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    dataset: Dataset,
    prepared: Prepared,
    clips: list[int],
    recipe: Recipe,
    training: Training,
    where: tuple[int, str, int],
) -> float:
    """Train for one epoch on ``clips``; return the mean loss. ``where``: seed, phase and epoch, which fix all draws."""
    rng, strength = random.Random(repr(where)), recipe.noise_share(where[2])
    order = rng.sample(clips, len(clips))
    for group in optimiser.param_groups:
        group["lr"] = recipe.rate(where[2])
    model.train()
    device, total = _device(model), torch.zeros((), device=_device(model))
    # Dropout uses the global generator, which is seeded per epoch and restored afterwards.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(rng.getrandbits(48))
        for start in range(0, len(order), recipe.batch_size):
            numbers = order[start : start + recipe.batch_size]
            batch = training_batch(dataset, prepared, numbers, recipe, rng, training, strength).to(device)
            total += training.step(model, optimiser, batch, recipe) * len(numbers)
    return float(total) / len(order)


def _training_clips(dataset: Dataset, prepared: Prepared, recipe: Recipe, seed: int) -> tuple[list[int], set[int]]:
    """All training clips, and those that are held out to choose the number of epochs."""
    train = [i for i, clip in enumerate(prepared.clips) if clip.split == "train"]
    if not train:
        raise DataError(
            f"{dataset.name}: none of its {len(prepared.clips)} clips is a training clip: {dataset.splitting}"
        )
    held_out = _stratified(prepared, train, recipe.held_out, seed)
    if len(held_out) == len(train):
        raise SettingError(f"recipe.held_out={recipe.held_out} leaves none of {len(train)} clips for training")
    return train, held_out


def _stratified(prepared: Prepared, train: list[int], share: float, seed: int) -> set[int]:
    """A ``share`` of the training clips, stratified by class."""
    by_class: dict[int, list[int]] = {}
    for number in train:
        by_class.setdefault(prepared.clips[number].label, []).append(number)
    rng = random.Random(f"held out {seed}")
    # The shuffled classes follow each other; every (1/share)-th clip of this row is held out.
    row = [
        number
        for label in rng.sample(sorted(by_class), len(by_class))
        for number in rng.sample(by_class[label], len(by_class[label]))
    ]
    count = round(share * len(row))
    return {row[int((k + 0.5) * len(row) / count)] for k in range(count)}


def _fresh(
    build: Callable[[], nn.Module], recipe: Recipe, training: Training, clips: int, seed: int, device: str
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model before its training on this number of clips, and its optimiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build().to(device)
    if recipe.dropout is not None:
        for layer in model.modules():
            if isinstance(layer, nn.modules.dropout._DropoutNd):
                layer.p = recipe.dropout
    return model, training.optimiser(model, recipe, clips)


def _restore(
    model: nn.Module, optimiser: torch.optim.Optimizer, scratch: Path, device: str
) -> tuple[nn.Module, torch.optim.Optimizer, TrainingState]:
    if not scratch.exists():
        return model, optimiser, TrainingState()
    saved: dict[str, Any] = torch.load(scratch, map_location=device, weights_only=True)
    model.load_state_dict(saved["model"])
    optimiser.load_state_dict(saved["optimiser"])
    return model, optimiser, TrainingState.of(saved)


def _save(scratch: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: TrainingState) -> None:
    saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), **state.plain()}
    content = BytesIO()  # torch's own writer reports a full disk as an internal error
    torch.save(saved, content)
    write_whole(scratch, content.getvalue())


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
