"""Clips in fixed chunks, whose shape never changes, because rounding depends on it and attacks amplify rounding."""

from collections.abc import Container, Sequence


def chunks_left(order: Sequence[int], size: int, *held: Container[int]) -> list[list[int]]:
    """The parts of ``order``, ``size`` clips each, with a clip that is missing in any of ``held``.

    A chunk is a fixed part of ``order``: if only some of its clips are done, the whole chunk runs again.
    """
    chunks = [list(order[start : start + size]) for start in range(0, len(order), size)]
    return [chunk for chunk in chunks if any(number not in place for place in held for number in chunk)]


def padded(numbers: Sequence[int], size: int) -> list[int]:
    """The clips of one chunk, ``size`` of them, by repeating them in turn."""
    return [numbers[i % len(numbers)] for i in range(size)]
