"""The PDF that a shopper prints: for each parcel the carrier's label, then the slip to put inside.

Slips measure 4 x 6 inch, like labels, so that one printer setting fits the whole file.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import chain

from PIL import Image
from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.constants import PageAttributes
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, PdfObject
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from adapters.labels import paper
from daemon.domain.orders import PostalAddress
from daemon.domain.slips import SlipParcel
from daemon.errors import ContractBroken

MAX_LABEL_BYTES = 5_000_000
MAX_LABEL_PAGES = 10
MAX_RMA = 80
MAX_LABEL_PIXELS = 20_000_000  # 4 x 6 inch at 600 dpi has 8.6 million

PNG = b"\x89PNG\r\n\x1a\n"
PAGE_KEYS = frozenset({  # what a page shows: no actions, scripts, thumbnails or private data
    "/Type", "/MediaBox", "/CropBox", "/BleedBox", "/TrimBox", "/ArtBox", "/Rotate", "/UserUnit", "/Group",
    PageAttributes.RESOURCES, PageAttributes.CONTENTS, PageAttributes.ANNOTS,
})  # fmt: skip

# pypdf's warnings quote the file, and a label is personal data.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)

# reportlab keeps its fonts in module globals.
_one_at_a_time = threading.Lock()


class PdfPrinter:
    """Joins labels and slips into one file. Thread-safe; the same parcels always give the same bytes."""

    def render(self, parcels: Sequence[SlipParcel], *, order_name: str) -> bytes:
        """Return the file. Raises ContractBroken when a label or an RMA id cannot be printed unchanged."""
        if not parcels:
            raise ValueError("a label document needs a parcel")
        with _one_at_a_time:
            return _joined(parcels, order_name)


def text_of(label: bytes) -> str:
    """The text of a label; "" when it is a picture or unreadable, so that nothing is known about it."""
    if label.startswith(PNG) or len(label) > MAX_LABEL_BYTES:
        return ""
    try:
        reader = PdfReader(BytesIO(label))
        return "\n".join(page.extract_text() for page in reader.pages[:MAX_LABEL_PAGES])
    except Exception:  # noqa: BLE001 - a damaged file makes a parser raise anything
        return ""


def _joined(parcels: Sequence[SlipParcel], order_name: str) -> bytes:
    writer = PdfWriter()
    writer.pdf_header = "%PDF-1.7"
    for number, parcel in enumerate(parcels, start=1):
        if parcel.label_pdf is not None:
            _add_label(writer, parcel.label_pdf)
        slip = _slip(parcel, f"Parcel {number} of {len(parcels)}", order_name)
        for page in PdfReader(BytesIO(slip)).pages:
            writer.add_page(page)
    writer.metadata = {"/Title": paper.printable(f"Return {order_name}")}
    preferences = writer.create_viewer_preferences()
    preferences[NameObject("/PrintScaling")] = NameObject("/None")  # scaled bars are harder to read
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


# ---- the label, as the carrier made it


def _add_label(writer: PdfWriter, label: bytes) -> None:
    if len(label) > MAX_LABEL_BYTES:
        raise ContractBroken("a label is larger than any label")
    try:
        for page in _label_pages(label):
            writer.add_page(page)
    except ContractBroken:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file makes a parser raise anything, and quote it
        raise ContractBroken(f"a label is not a readable PDF or PNG ({type(error).__name__})") from None


def _label_pages(label: bytes) -> Iterator[PageObject]:
    reader = PdfReader(BytesIO(_framed(label) if label.startswith(PNG) else label))
    if reader.is_encrypted and not reader.decrypt(""):  # most encrypted files open without a password
        raise ContractBroken("a label is a PDF that asks for a password")
    if not 1 <= len(reader.pages) <= MAX_LABEL_PAGES:
        raise ContractBroken(f"a label has {len(reader.pages)} pages")
    for page in reader.pages:
        contents = page.get_contents()
        if contents is None or not (contents.get_data().strip() or page.annotations):
            raise ContractBroken("a page of a label is empty")
        yield _harmless(page)


def _harmless(page: PageObject) -> PageObject:
    """Keep only what the page shows. Whatever belongs to the file (scripts, forms, attachments) is dropped."""
    for key in set(page) - PAGE_KEYS:
        del page[key]
    if page.annotations:
        page[NameObject(PageAttributes.ANNOTS)] = ArrayObject(chain.from_iterable(map(_picture, page.annotations)))
    return page


def _picture(reference: PdfObject) -> Iterator[DictionaryObject]:
    """The appearance of an annotation or filled form field, if it has one, without its actions."""
    annotation = reference.get_object()
    if isinstance(annotation, DictionaryObject) and "/AP" in annotation:
        look = {key: annotation.raw_get(key) for key in ("/Rect", "/AP", "/AS", "/F") if key in annotation}
        kind = {"/Type": NameObject("/Annot"), "/Subtype": NameObject("/Stamp")}
        yield DictionaryObject({NameObject(key): value for key, value in (kind | look).items()})


def _framed(png: bytes) -> bytes:
    """A page of 4 x 6 inch with the image scaled to fit, turned upright if it is wider than high."""
    raw = Image.open(BytesIO(png), formats=["PNG"])
    if raw.width * raw.height > MAX_LABEL_PIXELS or raw.mode not in {"1", "L", "LA", "P", "RGB", "RGBA"}:
        raise ContractBroken("a label's image has an unusual size or depth")
    image = _on_white(raw)
    if image.width > image.height:
        image = image.transpose(Image.Transpose.ROTATE_90)
    file = BytesIO()
    canvas = Canvas(file, pagesize=(paper.PAGE_WIDTH, paper.PAGE_HEIGHT))
    canvas.drawImage(ImageReader(image), 0, 0, paper.PAGE_WIDTH, paper.PAGE_HEIGHT, preserveAspectRatio=True)
    canvas.save()
    return file.getvalue()


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    white = Image.new("L" if image.mode in {"1", "L", "LA"} else "RGB", image.size, "white")
    white.paste(layer.convert(white.mode), mask=layer.getchannel("A"))
    return white


# ---- what the slip says


def _slip(parcel: SlipParcel, place: str, order_name: str) -> bytes:
    rma = parcel.rma_id
    if not (1 <= len(rma) <= MAX_RMA and rma.isascii() and rma.isprintable() and rma == rma.strip()):
        raise ContractBroken("amazonRmaId is not a short line of ASCII")
    rows = [
        *paper.section(f"Order {order_name}", _instructions(parcel)),
        *paper.section("RMA", [*paper.text(rma, paper.CODE), *paper.bars(rma)]),
        *paper.section("Goes to", _address(parcel.ship_to)),
        *paper.section("Amazon's page for this parcel", paper.link(parcel.page_url)),
        *_contents(parcel.units),
    ]
    return paper.drawn(paper.paged(rows, again=paper.text(f"RMA {rma}, continued", paper.HEAD)), "Return slip", place)


def _instructions(parcel: SlipParcel) -> list[paper.Row]:
    if parcel.label_pdf is not None:
        return [
            *paper.text("1. Put this slip inside the parcel."),
            *paper.text("2. Stick the label (printed just before this slip) on the outside."),
        ]
    return [
        *paper.text("Postage is not included.", paper.HEAD),
        *paper.text("1. Open Amazon's page below and print it. Put its slip and this one inside the parcel."),
        *paper.text("2. Stick its address label on the outside, and pay the postage at a carrier."),
    ]


def _address(place: PostalAddress | None) -> list[paper.Row]:
    if place is None:
        return []
    town = ", ".join(filter(None, [place.city, f"{place.region} {place.postal_code}".strip()]))
    lines = [place.name, place.line1, place.line2, place.line3, town, place.country_code]
    return [row for line in lines if line.strip() for row in paper.text(line)]


def _contents(units: Sequence[tuple[str, int]]) -> list[paper.Row]:
    total = sum(count for _, count in units)
    first, *others = [paper.together(paper.text(f"{count} x {sku}")) for sku, count in units] or [[]]
    return [
        *paper.section(f"In this parcel: {total} {'unit' if total == 1 else 'units'}", first),
        *chain.from_iterable(others),
    ]
