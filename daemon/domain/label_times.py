"""How long Amazon takes until a late label exists: a running histogram, and what follows from it for the next look.

Between a look that showed nothing and the next one, nobody knows whether the label exists. `unseen` is how long it has
existed by now, on average over what was learnt. It stays near zero while no label is ever ready, grows fastest where
most labels become ready, and grows without end. So whoever's is largest is looked at first. Where turns are scarce a
look is due once it is worth most of what looks were worth of late, so that some turns are saved for a rush.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, sqrt

from daemon.domain.copies import replace
from daemon.domain.durations import HOUR

GROWTH, BINS = 1.5, 22
EDGES = (0.0, *(GROWTH**n for n in range(BINS)))
"""Ages in seconds between which the rate of labels is one figure; the last is beyond an hour."""

ENOUGH, MEMORY = 20, 0.995
"""Labels before which nothing is known, and what is left of one after the next: the last two hundred count most."""

UNKNOWN = 0.01
"""Labels taken to have become ready in each bin beforehand, within as long as the bin's end: no rate is ever zero."""

MOST_LOOKS, LEAST_PAUSE, GONE = 24, 0.5, 10.0
"""Looks at an average label where turns are not scarce, seconds between two, and how slowly time runs after an hour."""

THRIFT, RUSH = 0.8, 100.0
"""The share of what looks were worth at which the next is due, and over how many seconds that is averaged."""

PATIENCE, AGAIN = 50.0, 30.0
"""Whoever was not looked at for so long, or not again, goes before all others. Looks further apart teach nothing."""


@dataclass(frozen=True, slots=True)
class LabelTimes:
    """By bin: the labels that became ready in it, and the seconds for which labels that were not ready were in it."""

    ready: Sequence[float]
    watched: Sequence[float]
    count: int
    rates: Sequence[float]
    left: Sequence[float]  # the share of labels that is not ready yet, at each edge
    area: Sequence[float]  # the sum of that share over time, up to each edge
    least: float  # what a look has to be worth where turns are not scarce
    price: float = 0.0  # and where they are
    priced_at: float = 0.0

    @property
    def known(self) -> bool:
        """Whether enough was learnt to go by it."""
        return self.count >= ENOUGH

    def learnt(self, looked_at: float, found_at: float) -> "LabelTimes":
        """What is known after a label that became ready between these ages."""
        if not 0 < found_at - looked_at <= PATIENCE:
            return self
        ready, watched, between = [], [], self._became_ready(looked_at, found_at)
        for n, (start, end) in enumerate(pairwise(EDGES)):
            first, last = max(start, looked_at), min(end, found_at)
            share = self._became_ready(first, last) / between if first < last else 0.0
            seconds = max(0.0, min(end, looked_at) - start) + share * (found_at - (first + last) / 2)
            ready.append(MEMORY * self.ready[n] + share)
            watched.append(MEMORY * self.watched[n] + seconds)
        return replace(_drawn(ready, watched, self.count + 1), price=self.price, priced_at=self.priced_at)

    def looked(self, looked_at: float, age: float, now: float) -> "LabelTimes":
        """What is known after a look that had its turn at that age: the longer turns are waited for, the dearer."""
        if not self.known or age - looked_at > PATIENCE:
            return self
        old, worth = exp((self.priced_at - now) / RUSH), self.unseen(looked_at, age)
        return replace(self, price=old * self.price + (1 - old) * THRIFT * worth, priced_at=now)

    def unseen(self, looked_at: float, age: float) -> float:
        """For how long the label has existed by that age, on average, if it did not when it was looked at."""
        left, before = self._at(looked_at)
        return age - looked_at - (self._at(age)[1] - before) / left

    def urgency(self, looked_at: float, age: float) -> float:
        """Who goes first where turns are scarce; all are alike until enough is known. Nobody waits without end."""
        if not self.known:
            return 0.0
        apart = (age - looked_at) / (GONE if looked_at >= HOUR else 1.0)
        return HOUR * apart if apart > (AGAIN if looked_at else PATIENCE) else self.unseen(looked_at, looked_at + apart)

    def pause(self, looked_at: float, most: float) -> float:
        """How long until the next look is worth its turn."""
        low, high, price = LEAST_PAUSE, most, max(self.price, self.least)
        while high - low > 0.05:
            middle = (low + high) / 2
            low, high = (middle, high) if self.unseen(looked_at, looked_at + middle) < price else (low, middle)
        return high

    def _became_ready(self, first: float, last: float) -> float:
        """The share of labels that became ready between two ages; no time is impossible."""
        return self._at(first)[0] - self._at(last)[0] + 0.01 * (last - first)

    def _at(self, age: float) -> tuple[float, float]:
        """The share that is not ready at an age, and its sum over time up to then."""
        age = max(0.0, age)  # the clock may have been set back
        n = min(bisect_right(EDGES, age), BINS) - 1
        left = self.left[n] * exp(-self.rates[n] * (age - EDGES[n]))
        return max(left, 1e-12), self.area[n] + (self.left[n] - left) / self.rates[n]


def _drawn(ready: Sequence[float], watched: Sequence[float], count: int) -> LabelTimes:
    """Sum up the histogram. Looks that follow each other by the root of 2 * price / rate cost least in all."""
    rates: list[float] = []
    left, area, weight = [1.0], [0.0], 0.0
    for n, (start, end) in enumerate(pairwise(EDGES)):
        rates.append((ready[n] + UNKNOWN) / (watched[n] + UNKNOWN * end))
        left.append(left[-1] * exp(-rates[-1] * (end - start)))
        area.append(area[-1] + (left[-2] - left[-1]) / rates[-1])
        weight += (left[-2] - left[-1]) / sqrt(rates[-1])
    return LabelTimes(ready, watched, count, rates, left, area, (weight / MOST_LOOKS) ** 2 / 2)


def nothing_learnt() -> LabelTimes:
    """What is known at the start."""
    return _drawn((0.0,) * BINS, (0.0,) * BINS, 0)
