"""Fixed chunks of clips. Their shape never changes, because rounding depends on it and attacks amplify rounding."""

from collections.abc import Container, Sequence


def chunks_left(order: Sequence[int], size: int, *finished: Container[int]) -> list[list[int]]:
    """The chunks of ``order``, ``size`` clips each, in which any of the ``finished`` sets lacks a clip.

    A chunk is a fixed part of ``order``: if only some of its clips are done, the whole chunk runs again.
    """
    chunks = [list(order[start : start + size]) for start in range(0, len(order), size)]
    return [chunk for chunk in chunks if any(number not in clips for clips in finished for number in chunk)]


def padded(numbers: Sequence[int], size: int) -> list[int]:
    """The clips of one chunk, repeated in turn until there are ``size``."""
    return [numbers[i % len(numbers)] for i in range(size)]
