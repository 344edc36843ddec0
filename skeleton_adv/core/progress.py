"""Progress on a terminal and in logs."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LOG_SECONDS = 30.0
BAR_SECONDS = 0.5


class Progress:
    """A bar on a terminal, otherwise a log line every half minute, with the time left.

    An item may take minutes, so passes of a network are counted too: call ``pulse`` once per pass.
    ``passes`` is the expected number of passes per item; None: the number of the previous item.
    """

    def __init__(self, what: str, passes: int | None = None) -> None:
        self._what, self._expected, self._pulses = what, passes, 0
        self._done = self._total = 0
        self._began = self._shown = time.monotonic()
        self._bar: _Bar | None = None

    def over(self, items: Iterable[T], total: int) -> Iterator[T]:
        """Yield the ``items``, ``total`` in number, and show the progress."""
        self._total, self._done = total, 0
        self._began = self._shown = time.monotonic()
        self._bar = _Bar(self._what, total) if sys.stderr.isatty() else None
        try:
            for item in items:
                self._pulses = 0
                yield item
                self._done += 1
                self._expected = self._pulses or self._expected
                self._pulses = 0
                self._show_if_due()
        finally:
            if self._bar:
                self._bar.show(self._done, "")
                self._bar.close()

    def pulse(self) -> None:
        """Count one pass of a network."""
        self._pulses += 1
        self._show_if_due()

    @property
    def share(self) -> float:
        """The fraction of all items that is done; the current item counts by its passes."""
        within = min(self._pulses / self._expected, 1.0) if self._expected else 0.0
        return (self._done + within) / max(self._total, 1)

    def _show_if_due(self) -> None:
        now = time.monotonic()
        if now - self._shown < (BAR_SECONDS if self._bar else LOG_SECONDS):
            return
        self._shown = now
        share = self.share
        left = f"about {clock((now - self._began) * (1 / share - 1))} left" if share else ""
        of = f" of {self._expected}" if self._expected else ""
        within = f"{self._pulses}{of} passes in the next" if self._pulses else ""
        details = ", ".join(text for text in (left, within) if text)
        if self._bar:
            self._bar.show(share * self._total, details)
        else:
            log(f"{self._what}: {self._done} of {self._total}" + (f", {details}" if details else ""))


class _Bar:
    """tqdm's bar, set to the current position."""

    def __init__(self, what: str, total: int) -> None:
        from tqdm import tqdm

        form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f} of {total_fmt} [{elapsed}{postfix}]"
        self._bar = tqdm(total=total, desc=what, dynamic_ncols=True, bar_format=form)

    def show(self, done: float, details: str) -> None:
        self._bar.n = done
        self._bar.set_postfix_str(details)

    def close(self) -> None:
        self._bar.close()


def clock(seconds: float) -> str:
    """A duration as text, such as ``5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the ``items`` and show the progress."""
    return Progress(what).over(items, total)


def log(text: str) -> None:
    """Print one line to the standard error stream."""
    print(text, file=sys.stderr, flush=True)
