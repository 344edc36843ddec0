"""The weights and clips behind the golden files, rebuilt from names and shapes."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def golden_weight(name: str, shape: Sequence[int], gain: float) -> Tensor:
    """An entry of a state dict, drawn from a stream that is seeded by its name."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return torch.tensor(1)
    learned = last in ("PA", "A_res")  # learned changes of a graph
    if len(shape) >= 2 and not learned:
        values = rng.normal(0, 1, shape) * np.sqrt(gain / np.prod(shape[1:]))
    elif last in ("running_var", "weight"):
        values = rng.uniform(0.5, 1.5, shape) if last == "running_var" else rng.uniform(0.6, 1.4, shape)
    else:
        values = rng.normal(0, 0.05 if learned else 0.1, shape)
    return torch.from_numpy(values.astype(np.float32))


def golden_clips(n: int, c: int, t: int, v: int, m: int, seed: int) -> Tensor:
    """Smooth random clips (n, c, t, v, m); every second clip has only one person."""
    rng = np.random.Generator(np.random.PCG64(seed))
    time = np.linspace(0, 1, t)[None, None, :, None, None]
    rest = rng.normal(0, 0.35, (n, c, 1, v, m))
    size = 0.15 * rng.normal(size=(n, c, 1, v, m))
    phase = 2 * np.pi * (1 + 2 * rng.random((n, 1, 1, v, m))) * time
    x = rest + size * np.sin(phase + 6 * rng.random((n, c, 1, v, m)))
    if m > 1:
        x[::2, ..., 1] = 0
    return torch.from_numpy(x.astype(np.float32))


def golden_state(golden: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of a golden file, without constant buffers."""
    return {key: golden_weight(key, shape, golden["gain"]) for key, shape in golden["state_dict"].items()}


def assert_golden(
    model: nn.Module,
    golden: Mapping[str, Any],
    rename: Callable[[str], str] = str,
    atol: float = 1e-9,
    load: bool = True,
) -> None:
    """Assert that the logits and input gradients of the model agree with the file in float64.

    Newer files leave out gradients of absent persons: a maximum over time ties there, and rounding decides.
    """
    model = model.double().eval()
    if load:
        model.load_state_dict({rename(key): value for key, value in golden_state(golden).items()})
    x = golden_clips(*golden["input"]["args"], golden["input"]["seed"]).double().requires_grad_()
    logits = model(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, torch.tensor(golden["labels"]), reduction="sum"), x)
    if "norm_all" in golden["input_gradient"]:
        gradient = gradient * (x.abs().sum((1, 2, 3), keepdim=True) > 0)
    found = (logits, gradient.flatten(1).norm(dim=1), gradient[0, 0, 0, :, 0].flatten())
    stored = (golden["logits"], golden["input_gradient"]["norm"], golden["input_gradient"]["first"])
    for ours, theirs in zip(found, stored, strict=True):
        expected = torch.tensor(theirs, dtype=torch.float64).view_as(ours)
        torch.testing.assert_close(ours, expected, rtol=0, atol=atol)
