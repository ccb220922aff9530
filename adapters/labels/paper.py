"""Strips of text and bars, laid on pages of 4 x 6 inch. PURE."""

import unicodedata
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from typing import NamedTuple

from reportlab import rl_config
from reportlab.graphics.barcode.code128 import Code128
from reportlab.lib.units import inch
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

rl_config.useA85 = 0  # every reader of PDF takes bytes; writing them as text takes longer than drawing them

PAGE_WIDTH, PAGE_HEIGHT = 4 * inch, 6 * inch
DOT = inch / 203  # the usual label printer; bars aligned with its dots print sharp
MARGIN = 41 * DOT
WIDTH = PAGE_WIDTH - 2 * MARGIN

HEAD_HEIGHT = 26.0
BARS_HEIGHT = 0.6 * inch
TRIM = DOT / 20  # a renderer blackens every dot that a bar touches; rounding must not add one
MAX_DOTS, MIN_DOTS = 3, 2  # per narrowest bar: 15 and 10 mil
BASES = str.maketrans("ĐđĦħıŁł", "DdHhiLl")  # letters that Unicode does not decompose


class Face(NamedTuple):
    """A font, its size and the height of its line, in points."""

    font: str
    size: float
    leading: float


TITLE = Face("Helvetica-Bold", 14, 17)
HEAD = Face("Helvetica-Bold", 9, 12)
BODY = Face("Helvetica", 9.5, 12)
SMALL = Face("Helvetica", 8, 10)
CODE = Face("Courier-Bold", 16, 19)  # tells I from l and O from 0


class Row(NamedTuple):
    """A strip of a page: its height in points, and a function that paints it above a given height."""

    height: float
    paint: Callable[[Canvas, float], None]


def text(line: str, face: Face = BODY) -> list[Row]:
    """Rows of text as wide as the page allows."""
    return [Row(face.leading, partial(_paint_line, part, face, "")) for part in _wrapped(printable(line), face)]


def link(url: str) -> list[Row]:
    """Rows of a clickable URL; only http and https can be clicked. Nothing for an empty URL."""
    target = url if url.isascii() and url.startswith(("https://", "http://")) else ""
    lines = _wrapped(printable(url), SMALL) if url else []
    return [Row(SMALL.leading, partial(_paint_line, part, SMALL, target)) for part in lines]


def _paint_line(line: str, face: Face, url: str, canvas: Canvas, bottom: float) -> None:
    canvas.setFont(face.font, face.size)
    canvas.drawString(MARGIN, bottom + face.leading / 4, line)
    if url:
        canvas.linkURL(url, (MARGIN, bottom, MARGIN + WIDTH, bottom + face.leading))


def section(title: str, rows: list[Row]) -> list[Row]:
    """The rows under a title; no page break separates it from the first row. Nothing without rows."""
    return [Row(6, lambda _canvas, _bottom: None), *together([*text(title, HEAD), *rows])] if rows else []


def together(rows: list[Row]) -> list[Row]:
    """Join the rows so that no page break separates them, unless they fill half a page."""
    height = sum(row.height for row in rows)
    return [Row(height, partial(_paint_rows, rows, height))] if height < PAGE_HEIGHT / 2 else rows


def _paint_rows(rows: list[Row], height: float, canvas: Canvas, bottom: float) -> None:
    top = bottom + height
    for row in rows:
        top -= row.height
        row.paint(canvas, top)


def bars(rma: str) -> list[Row]:
    """The Code 128 symbol; nothing for an id too long for a scanner. The page margins are its quiet zones."""
    symbol = Code128(rma, barWidth=1, quiet=0)
    dots = min(MAX_DOTS, int(WIDTH / DOT) // round(symbol.width))  # reading `width` lays out the bars
    pattern = symbol.decomposed  # a letter for each bar (A to D: 1 to 4 modules) and each space (a to d)
    return [Row(BARS_HEIGHT + 4, partial(_paint_bars, pattern, dots * DOT))] if dots >= MIN_DOTS else []


def _modules(letter: str) -> int:
    return "abcd".index(letter.lower()) + 1


def _paint_bars(pattern: str, module: float, canvas: Canvas, bottom: float) -> None:
    left = MARGIN
    for letter in pattern:
        width = _modules(letter) * module
        if letter.isupper():
            canvas.rect(left + TRIM, bottom + 2, width - 2 * TRIM, BARS_HEIGHT, stroke=0, fill=1)
        left += width


def paged(rows: Iterable[Row], again: list[Row]) -> list[list[Row]]:
    """Distribute rows over pages; each page after the first begins with the rows of `again`."""
    pages: list[list[Row]] = [[]]
    room = full = PAGE_HEIGHT - 2 * MARGIN - HEAD_HEIGHT
    for row in rows:
        if row.height > room:
            pages.append(again.copy())
            room = full - sum(each.height for each in again)
        pages[-1].append(row)
        room -= row.height
    return pages


def drawn(pages: list[list[Row]], title: str, place: str) -> bytes:
    """A PDF of the pages, each headed by the title, the place and the page number."""
    file = BytesIO()
    canvas = Canvas(file, pagesize=(PAGE_WIDTH, PAGE_HEIGHT), pageCompression=1)
    for number, rows in enumerate(pages, start=1):
        canvas.setFont(TITLE.font, TITLE.size)
        canvas.drawString(MARGIN, PAGE_HEIGHT - MARGIN - TITLE.size, title)
        canvas.setFont(HEAD.font, HEAD.size)
        position = place if len(pages) == 1 else f"{place}, page {number} of {len(pages)}"
        canvas.drawRightString(PAGE_WIDTH - MARGIN, PAGE_HEIGHT - MARGIN - TITLE.size, position)
        height = sum(row.height for row in rows)
        _paint_rows(rows, height, canvas, PAGE_HEIGHT - MARGIN - HEAD_HEIGHT - height)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def _wrapped(words: str, face: Face) -> list[str]:
    """Break text into lines that fit: at blanks, and inside a word only when the word alone is too wide."""
    lines: list[str] = []
    line = ""
    for word in words.split(" "):
        longer = f"{line} {word}" if line else word
        if _fits(longer, face):
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, face)
        lines += whole
    return [*lines, line]


def _pieces(word: str, face: Face) -> list[str]:
    pieces = [""]
    for letter in word:
        if _fits(pieces[-1] + letter, face):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _fits(line: str, face: Face) -> bool:
    return stringWidth(line, face.font, face.size) <= WIDTH


def printable(words: str) -> str:
    """Replace letters that not every PDF viewer has: by the letter without accent, or by a question mark."""
    if words.isascii() and words.isprintable():
        return words
    spaced = "".join(letter if letter.isprintable() else " " for letter in words)
    return "".join(map(_letter, unicodedata.normalize("NFC", spaced).translate(BASES)))


def _letter(letter: str) -> str:
    for form in (letter, unicodedata.normalize("NFKD", letter)[0]):
        try:
            form.encode("cp1252")
        except UnicodeEncodeError:
            continue
        return form
    return "?"
