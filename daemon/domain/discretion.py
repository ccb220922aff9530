"""Removes the shopper's data from vendors' texts: vendors repeat what they were sent."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import partial

GAP = "[…]"
SHORTEST_PART = 4  # shortest name searched inside longer words: "canary" in "JANECANARY", but not "La" in "label"
SHORTEST_START = 3  # a text may end in the middle of a word
SHORTEST_NUMBER = 3

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"\+?\d[\d-]*\d|[^\W_]+")  # one number, however its digits are grouped
_ENCODED = re.compile(r"\S*[@%&\\]\S*")  # e-mail addresses, and words that may contain encoded text
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


def strike(text: str, private: Collection[str]) -> str:
    """Return the text without any word of the private texts, in whatever spelling.

    It removes too much rather than too little. Without private texts to compare with, it returns "".
    """
    words = {spelling for phrase in private for word in _WORD.findall(phrase) for spelling in _spellings(word)}
    if not words:
        return ""
    numbers = {digits for phrase in private if len(digits := _digits(phrase)) >= SHORTEST_NUMBER}
    plain = _ENCODED.sub(GAP, unicodedata.normalize("NFKC", text))
    struck = _PART.sub(partial(_judge, words=words, numbers=numbers), plain)
    kept = re.sub(rf"{re.escape(GAP)}(?:[\W_]*{re.escape(GAP)})+", GAP, struck)
    return kept if _WORD.search(kept) else ""


def _judge(found: re.Match[str], words: Collection[str], numbers: Collection[str]) -> str:
    word = found[0]
    names = any(_names(spelling, words) for spelling in _spellings(word))
    return GAP if names or _counts(_digits(word), numbers) else word


def _names(word: str, words: Iterable[str]) -> bool:
    """Whether a word is one of the private words, contains one, or is the beginning of one."""
    return any(
        word == name
        or (name in word and (len(name) >= SHORTEST_PART or not name.isascii()))
        or (len(word) >= SHORTEST_START and name.startswith(word))
        for name in words
    )


def _counts(number: str, numbers: Iterable[str]) -> bool:
    """Whether the digits are part of a private number, whatever separates them: 555-0142 and 5550142."""
    return len(number) >= SHORTEST_NUMBER and any(number in known or known in number for known in numbers)


def _spellings(word: str) -> set[str]:
    """The spellings of a word, without case: müller, mueller, muller."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    plain = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    return {folded, plain, folded.translate(_SPELLED)}


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdecimal())
