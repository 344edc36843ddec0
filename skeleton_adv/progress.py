"""Progress for people who watch, and for logs that nobody watches."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LOG_SECONDS = 30.0


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass ``items`` on: with a bar on a terminal, else with a log line every half a minute."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, dynamic_ncols=True)
        return
    began = last = time.monotonic()
    for done, item in enumerate(items):
        moment = time.monotonic()
        if moment - last >= LOG_SECONDS:
            left = (moment - began) / done * (total - done) if done else float("nan")
            log(f"{what}: {done} of {total}, about {left:.0f} s left")
            last = moment
        yield item


def log(text: str) -> None:
    """One line to the standard error stream."""
    print(text, file=sys.stderr, flush=True)
