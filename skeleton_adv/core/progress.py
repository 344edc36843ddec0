"""Progress for people who watch, and for logs that nobody watches."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LOG_SECONDS = 30.0
BAR_SECONDS = 0.5


class Progress:
    """A bar on a terminal, else a log line every half a minute; within long items it counts what ``pulse`` is told."""

    def __init__(self, what: str) -> None:
        self._what, self._pulses = what, 0
        self._show: Callable[[], None] = lambda: None
        self._shown, self._every = time.monotonic(), LOG_SECONDS

    def over(self, items: Iterable[T], total: int) -> Iterator[T]:
        """Pass ``items`` on."""
        return self._with_bar(items, total) if sys.stderr.isatty() else self._with_lines(items, total)

    def pulse(self) -> None:
        """A victim was asked once more."""
        self._pulses += 1
        self._show_if_due()

    def _show_if_due(self) -> None:
        if time.monotonic() - self._shown >= self._every:
            self._show()
            self._shown = time.monotonic()

    def _with_bar(self, items: Iterable[T], total: int) -> Iterator[T]:
        from tqdm import tqdm

        with tqdm(total=total, desc=self._what, dynamic_ncols=True) as bar:
            self._show = lambda: bar.set_postfix_str(f"{self._pulses} passes in this one")
            self._every = BAR_SECONDS
            for item in items:
                self._pulses = 0
                yield item
                bar.update()

    def _with_lines(self, items: Iterable[T], total: int) -> Iterator[T]:
        began = last = time.monotonic()  # ``last``: when an item ended
        done = 0

        def show() -> None:
            seconds = (last - began) / done * (total - done) - (time.monotonic() - last) if done else 0.0
            left = f", about {max(seconds, 0):.0f} s left" if done else ""
            within = f", {self._pulses} passes in the next" if self._pulses else ""
            log(f"{self._what}: {done} of {total}{left}{within}")

        self._show, self._every = show, LOG_SECONDS
        for item in items:
            self._show_if_due()
            self._pulses = 0
            yield item
            done, last = done + 1, time.monotonic()


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """``items`` with their progress shown."""
    return Progress(what).over(items, total)


def log(text: str) -> None:
    """One line to the standard error stream."""
    print(text, file=sys.stderr, flush=True)
