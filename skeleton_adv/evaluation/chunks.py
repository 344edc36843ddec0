"""Fixed chunks of clips. Their shape never changes, because rounding depends on it and attacks amplify rounding."""

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from skeleton_adv.data.clips import Clip
from skeleton_adv.runs.schema import Columns

Row = dict[str, Any]
Append = Callable[[list[Row]], None]
Over = Callable[[Iterable[int], int], Iterable[int]]  # (places, how many) -> the same places, with progress shown


def chunks_left(order: Sequence[int], size: int, *finished: Container[int]) -> list[list[int]]:
    """The chunks of ``order``, ``size`` clips each, in which any of the ``finished`` sets lacks a clip.

    A chunk is a fixed part of ``order``: if only some of its clips are done, the whole chunk runs again.
    """
    chunks = [list(order[start : start + size]) for start in range(0, len(order), size)]
    return [chunk for chunk in chunks if any(number not in clips for clips in finished for number in chunk)]


def padded(numbers: Sequence[int], size: int) -> list[int]:
    """The clips of one chunk, repeated in turn until there are ``size``."""
    return [numbers[i % len(numbers)] for i in range(size)]


def in_chunks(
    rows: Callable[[list[int]], list[Row]], order: Sequence[int], size: int, done: set[int], append: Append, over: Over
) -> None:
    """Append the ``rows`` of each chunk of ``order`` in which a clip is not ``done``, without those that are."""
    chunks = chunks_left(order, size, done)
    for place in over(range(len(chunks)), len(chunks)):
        append([row for row in rows(chunks[place]) if row["index"] not in done])


def rows_of(
    values: Mapping[str, Tensor], columns: Columns, numbers: Sequence[int], clips: Sequence[Clip], began: float
) -> list[Row]:
    """The rows of the clips ``numbers`` from values (N,) by column, without those of padding or of no column.

    ``began`` is when work on them began, by ``time.perf_counter``.
    """
    by_clip = {name: column.tolist() for name, column in values.items() if name in columns}
    seconds = round((time.perf_counter() - began) / len(numbers), 4)
    return [
        {"index": number, "name": clips[number].name, "seconds": seconds}
        | {name: column[place] for name, column in by_clip.items()}
        for place, number in enumerate(numbers)
    ]
