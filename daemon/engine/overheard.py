"""What the portal said of a failure in a message, until it can be told without the shopper's data.

Messages are stored at once, and what identifies the shopper has to be asked for first. The words are in memory alone: a
restart loses them, but nothing else, and nobody's data is stored.
"""

from collections import OrderedDict

MOST_KEPT = 200
LONGEST = 500

Ref = tuple[str, str]


class Overheard:
    """The latest words about each return, as the portal wrote them."""

    def __init__(self) -> None:
        self._words: OrderedDict[Ref, str] = OrderedDict()

    def keep(self, ref: Ref, words: str) -> None:
        """Keep what was said of a return, in place of earlier words."""
        self._words.pop(ref, None)
        if words:
            self._words[ref] = words[:LONGEST]
        if len(self._words) > MOST_KEPT:
            self._words.popitem(last=False)

    def said(self, ref: Ref) -> str:
        """What was said of a return; empty if nothing is known."""
        return self._words.get(ref, "")

    def forget(self, ref: Ref) -> None:
        """Drop what was said of a return."""
        self._words.pop(ref, None)
