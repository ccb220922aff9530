"""The PDF that a shopper prints, read back by programs that had no part in making it."""

import logging
import string
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from itertools import groupby

import pypdfium2
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    ByteStringObject,
    DecodedStreamObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    StreamObject,
    TextStringObject,
)
from reportlab.pdfgen.canvas import Canvas

from adapters.labels.document import MAX_LABEL_BYTES, MAX_LABEL_PAGES, PdfPrinter
from daemon.domain.orders import PostalAddress
from daemon.domain.slips import SlipParcel
from daemon.errors import ContractBroken

SLIP = (288.0, 432.0)
LABEL_PRINTER_DPI = 203
CENTER = PostalAddress(
    name="Returns Department",
    line1="1 Dock Road",
    line2="Gate 7",
    city="Reno",
    region="NV",
    postal_code="89506",
    country_code="US",
)


def label(*words: str, size: tuple[float, float] = SLIP, rotated: int = 0) -> bytes:
    """A carrier's label, a page for each word."""
    file = BytesIO()
    canvas = Canvas(file, pagesize=size)
    for word in words:
        canvas.setPageRotation(rotated)
        canvas.rect(9, 9, size[0] - 18, size[1] - 18)
        canvas.drawString(20, size[1] / 2, word)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def edited(change) -> bytes:
    """A carrier's label after `change` has been done to it."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(label("Carrier"))))
    change(writer)
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def png(size: tuple[int, int], mode: str = "RGB", ground: object = "white") -> bytes:
    """An image with a black square in its top left quarter."""
    image = Image.new(mode, size, ground)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 2), fill=0 if mode in {"1", "L"} else "black")
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def parcel(rma_id: str = "DxRMA1", **changes) -> SlipParcel:
    """A parcel with postage, unless the changes take it away."""
    values = {
        "page_url": f"https://www.amazon.com/gp/orc/rml/{rma_id}",
        "ship_to": CENTER,
        "units": (("SHIRT-M", 2), ("SOCK-L", 1)),
        "label_pdf": label("Carrier"),
    }
    return SlipParcel(rma_id=rma_id, **(values | changes))


def printed(*parcels: SlipParcel, order_name: str = "#1001") -> bytes:
    """The file for these parcels."""
    return PdfPrinter().render(parcels, order_name=order_name)


def texts(file: bytes) -> list[str]:
    """What each page says, its line ends as blanks."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(BytesIO(file)).pages]


def pictures(file: bytes, dpi: float = LABEL_PRINTER_DPI) -> list[Image.Image]:
    """Each page as a printer of that resolution lays it down."""
    with closing(pypdfium2.PdfDocument(file)) as document:
        return [page.render(scale=dpi / 72).to_pil().convert("L") for page in document]


def scanned(image: Image.Image) -> list[tuple[str, str]]:
    """(text, symbology) of every bar code on a page."""
    return [(code.text, str(code.format)) for code in zxingcpp.read_barcodes(image)]


def names_in(file: bytes) -> set[str]:
    """Every dictionary key and every name that the file holds, wherever it hangs."""
    reader = PdfReader(BytesIO(file))
    found: set[str] = set()
    todo: list[object] = [reader.trailer, *(reader.get_object(number) for number in range(1, reader.trailer["/Size"]))]
    while todo:
        value = todo.pop()
        if isinstance(value, DictionaryObject):
            found.update(value)
            todo.extend(value.values())
        elif isinstance(value, ArrayObject):
            todo.extend(value)
        elif isinstance(value, NameObject):
            found.add(value)
    return found


# ---- the file


def test_each_parcels_label_comes_right_before_its_slip():
    """The label pages of a parcel come first, then its slip, parcel by parcel, and each slip says which it is."""
    pages = texts(
        printed(parcel("DxRMA1", label_pdf=label("One", "Receipt")), parcel("DxRMA2", label_pdf=label("Two")))
    )
    assert [pages[0], pages[1], pages[3]] == ["One", "Receipt", "Two"]
    assert "Parcel 1 of 2" in pages[2]
    assert "DxRMA1" in pages[2]
    assert "Parcel 2 of 2" in pages[4]
    assert "DxRMA2" in pages[4]
    assert len(pages) == 5


def test_a_lone_parcel_is_one_of_one():
    """A shopper with one parcel is told that there is no other."""
    assert "Parcel 1 of 1" in texts(printed(parcel()))[1]


def test_the_same_parcels_give_the_same_bytes():
    """Printing again changes nothing, and nothing in the file tells when or by what it was made."""
    parcels = [parcel("DxRMA1"), parcel("DxRMA2", label_pdf=png((406, 609))), parcel("DxRMA3", label_pdf=None)]
    file = printed(*parcels)
    assert file == printed(*parcels)
    assert names_in(file).isdisjoint({"/CreationDate", "/ModDate", "/ID", "/Producer", "/Metadata"})


def test_threads_do_not_disturb_each_other():
    """Files printed by several threads at once are the files printed one after the other."""
    orders = [[parcel(f"DxRMA{number}", label_pdf=label(str(number)))] for number in range(12)]
    alone = [printed(*parcels) for parcels in orders]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda parcels: printed(*parcels), orders)) == alone


def test_the_viewer_is_asked_for_actual_size_and_shows_the_order():
    """The file names the order, and asks the print dialogue not to scale its bars."""
    reader = PdfReader(BytesIO(printed(parcel(), order_name="#1001 é \ud800")))
    assert reader.metadata.title.startswith("Return #1001 é")
    assert reader.viewer_preferences.print_scaling == "/None"


def test_no_parcel_is_a_mistake_of_the_caller():
    """There is no file without a parcel."""
    with pytest.raises(ValueError, match="needs a parcel"):
        printed()


# ---- the slip


def test_the_slip_says_what_goes_where():
    """A slip carries order, RMA, units, the center's address, Amazon's page and what to do with slip and label."""
    _, slip = texts(printed(parcel()))
    for words in (
        "Order #1001",
        "Put this slip inside the parcel.",
        "Stick the label (printed just before this slip) on the outside.",
        "RMA DxRMA1",
        "Returns Department 1 Dock Road Gate 7 Reno, NV 89506 US",
        "https://www.amazon.com/gp/orc/rml/DxRMA1",
        "In this parcel: 3 units 2 x SHIRT-M 1 x SOCK-L",
    ):
        assert words in slip
    assert "ostage" not in slip


def test_without_postage_each_parcel_is_one_page_that_says_so():
    """Without labels there is one page per parcel: link, RMA, units, address, and that postage is not included."""
    file = printed(parcel("DxRMA1", label_pdf=None), parcel("DxRMA2", label_pdf=None))
    assert len(texts(file)) == 2
    for number, page in enumerate(texts(file), start=1):
        assert "Postage is not included." in page
        assert "pay the postage" in page
        assert f"https://www.amazon.com/gp/orc/rml/DxRMA{number}" in page
        assert f"RMA DxRMA{number}" in page
        assert "2 x SHIRT-M" in page
        assert "1 Dock Road" in page
        assert "printed just before" not in page
    assert [scanned(page)[0][0] for page in pictures(file)] == ["DxRMA1", "DxRMA2"]


def links(file: bytes) -> list[str]:
    """Where one gets by clicking."""
    pages = PdfReader(BytesIO(file)).pages
    return [note.get_object()["/A"]["/URI"] for page in pages for note in page.annotations or ()]


def test_amazons_page_can_be_clicked():
    """Amazon's page is a link, whatever is in it."""
    url = "https://www.amazon.com/gp/orc/rml/a(b)c?d=e%20f&g=\\h"
    assert links(printed(parcel(page_url=url))) == [url]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "https://münchen.example/", ""])
def test_what_is_no_web_address_is_only_text(url):
    """Nothing but a plain web address becomes a link."""
    file = printed(parcel(page_url=url))
    assert links(file) == []
    assert url in texts(file)[1]


def test_what_amazon_does_not_name_is_left_out():
    """A slip without address, page or units is still a slip."""
    _, slip = texts(printed(parcel(page_url="", ship_to=None, units=())))
    assert "DxRMA1" in slip
    assert "Goes to" not in slip
    assert "Amazon's page" not in slip


def test_a_hundred_units_flow_onto_further_pages():
    """Every unit is listed once, on pages that are numbered, name the RMA and leave their margins blank."""
    units = tuple((f"SKU-{number:03}-{'LONG NAME ' * (number % 9)}", 1 + number % 3) for number in range(100))
    file = printed(parcel(units=units, label_pdf=None))
    pages = texts(file)
    assert len(pages) > 2
    for number, page in enumerate(pages, start=1):
        assert f"Parcel 1 of 1, page {number} of {len(pages)}" in page
        assert "RMA DxRMA1" in page
    everything = " ".join(pages)
    for sku, count in units:
        assert everything.count(f"{count} x {' '.join(sku.split())}") == 1
    assert all(margin_is_blank(picture) for picture in pictures(file))


def margin_is_blank(picture: Image.Image) -> bool:
    """Nothing is printed within 0.15 inch of the edge."""
    border = round(0.15 * LABEL_PRINTER_DPI)
    inside = (border, border, picture.width - border, picture.height - border)
    picture.paste(255, inside)
    return picture.getextrema() == (255, 255)


def test_what_is_too_long_for_a_line_is_wrapped():
    """Long SKUs, addresses and links lose no letter and stay on the page."""
    sku, url = "W" * 50, "https://www.amazon.com/" + "m" * 200
    place = PostalAddress(name="Amazon " * 20, line1="Q" * 120, city="Reno", country_code="US")
    file = printed(parcel(units=((sku, 1),), ship_to=place, page_url=url, label_pdf=None))
    together = "".join("".join(texts(file)).split())
    for words in (sku, url, "Amazon" * 20, "Q" * 120):
        assert words in together
    assert all(margin_is_blank(picture) for picture in pictures(file))


def test_an_address_longer_than_a_page_still_fits_its_pages():
    """Rows that cannot be kept together are parted rather than lost."""
    place = PostalAddress(name="Amazon", line1=" ".join(f"line{number}" for number in range(400)))
    file = printed(parcel(ship_to=place, label_pdf=None))
    assert set(" ".join(texts(file)).split()) >= {f"line{number}" for number in range(400)}
    assert all(margin_is_blank(picture) for picture in pictures(file))


@pytest.mark.parametrize(
    ("sku", "shown"),
    [
        ("ÄÖ-Straße-é-€", "ÄÖ-Straße-é-€"),
        ("e\u0301te\u0301", "été"),
        ("Łódź-Čeđ", "Lódz-Ced"),
        ("靴-42-обувь", "?-42-?????"),
        ("ש-👟", "?-?"),
        ("a\nb\tc\x00d", "a b c d"),
        ("lone \ud800 half", "lone half"),
    ],
)
def test_letters_that_no_viewer_has_are_replaced(sku, shown):
    """Accents go first, and what has no Latin form becomes a question mark; the RMA stays exact."""
    file = printed(parcel("DxRMA-9", units=((sku, 1),)))
    assert f"1 x {shown}" in texts(file)[1]
    assert ("DxRMA-9", "Code 128") in scanned(pictures(file)[1])


# ---- the RMA


@pytest.mark.parametrize(
    "rma_id", ["DxQ2Z8k1RRMA", "1", "0123456789", "123", "A1234567B", "A12345", "rma with blanks", "~!\"#$%&'()*+,-./"]
)
def test_the_bar_code_is_the_rma(rma_id):
    """A bar code reader gets the exact RMA from the slip, which shows it in letters, too."""
    file = printed(parcel(rma_id))
    assert scanned(pictures(file)[1]) == [(rma_id, "Code 128")]
    assert f"RMA {rma_id}" in texts(file)[1]


@settings(max_examples=20, deadline=None)
@given(st.text(string.ascii_letters + string.digits * 4 + "-_./+$%", min_size=1, max_size=26))
def test_any_rma_can_be_scanned_from_a_label_printer(rma_id):
    """Whatever the mix of letters and digits, the bars are read back at a label printer's resolution."""
    page = pictures(printed(parcel(rma_id, label_pdf=None)))[0]
    assert scanned(page) == [(rma_id, "Code 128")]


@pytest.mark.parametrize("dpi", [203, 300, 600])
def test_the_bars_are_read_at_every_usual_resolution(dpi):
    """The longest RMA that gets bars is read from thermal and office printers alike."""
    rma_id = "Zq" * 14
    assert scanned(pictures(printed(parcel(rma_id, label_pdf=None)), dpi)[0]) == [(rma_id, "Code 128")]


@pytest.mark.parametrize(("rma_id", "dots"), [("DxQ2Z8k1RRMA", 3), ("DxQ2Z8k1RRMA-DxQ2Z8k1RRMA", 2)])
def test_a_label_printer_draws_the_bars_without_blur(rma_id, dots):
    """Each bar and each gap covers whole dots of a label printer: a multiple of two or three, and no grey between."""
    picture = pictures(printed(parcel(rma_id, label_pdf=None)))[0]
    rows = [picture.crop((0, y, picture.width, y + 1)).tobytes() for y in range(picture.height)]
    bars, _ = Counter(row for row in rows if 0 in row).most_common(1)[0]  # nothing else is as tall
    assert set(bars) == {0, 255}
    runs = [len(list(run)) for _, run in groupby(bars)][1:-1]
    assert {width // dots for width in runs} == {1, 2, 3, 4}
    assert all(width % dots == 0 for width in runs)


@pytest.mark.parametrize("rma_id", ["Zq7" * 12, "Zq7" * 26])
def test_an_rma_too_long_for_bars_is_printed_in_letters(rma_id):
    """Bars too thin to be read are left away; the letters are all there."""
    file = printed(parcel(rma_id, label_pdf=None))
    assert scanned(pictures(file, dpi=600)[0]) == []
    assert rma_id in texts(file)[0].replace(" ", "")


@pytest.mark.parametrize("rma_id", ["", " DxRMA1", "DxRMA1\n", "DxRMÄ1", "Dx\x00RMA", "靴", "x" * 81])
def test_an_rma_that_cannot_be_printed_exactly_is_refused(rma_id):
    """An RMA is never altered to make it fit, and the error does not quote it."""
    with pytest.raises(ContractBroken, match=r"^amazonRmaId is not a short line of ASCII$"):
        printed(parcel(rma_id))


# ---- the carrier's label


@pytest.mark.parametrize(
    ("size", "rotated"), [(SLIP, 0), ((283.46, 425.2), 0), ((432.0, 288.0), 90), ((612.0, 792.0), 180)]
)
def test_a_label_keeps_its_size_and_its_content(size, rotated):
    """A label's page has the size, the turn, the content and the looks that the carrier gave it."""
    carrier = label("Carrier", size=size, rotated=rotated)
    file = printed(parcel(label_pdf=carrier))
    before, after = PdfReader(BytesIO(carrier)).pages[0], PdfReader(BytesIO(file)).pages[0]
    assert after.mediabox == before.mediabox
    assert after.rotation == rotated
    assert after.get_contents().get_data() == before.get_contents().get_data()
    assert ImageChops.difference(pictures(carrier)[0], pictures(file)[0]).getbbox() is None
    slip = PdfReader(BytesIO(file)).pages[1]
    assert (float(slip.mediabox.width), float(slip.mediabox.height)) == SLIP


def booby_trap(writer: PdfWriter) -> None:
    """Put an action wherever a PDF may have one, and a form field that shows a black square."""
    script = DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("x()")})
    launch = DictionaryObject({NameObject("/S"): NameObject("/Launch"), NameObject("/F"): TextStringObject("x.exe")})
    on_open = DictionaryObject({NameObject("/O"): script})
    writer.root_object[NameObject("/OpenAction")] = script
    writer.root_object[NameObject("/AA")] = on_open
    writer.add_attachment("x.exe", b"MZ")
    look = StreamObject()
    look.set_data(b"0 0 50 50 re f")
    look.update({NameObject("/Subtype"): NameObject("/Form"), NameObject("/BBox"): box(0, 0, 50, 50)})
    field = {"/Subtype": NameObject("/Widget"), "/Rect": box(100, 300, 150, 350), "/A": launch, "/AA": on_open}
    field |= {"/FT": NameObject("/Tx"), "/F": NumberObject(4)}
    field["/AP"] = DictionaryObject({NameObject("/N"): writer._add_object(look)})
    link = {"/Subtype": NameObject("/Link"), "/Rect": box(0, 0, 288, 432), "/A": launch}
    notes = [DictionaryObject({NameObject(key): value for key, value in note.items()}) for note in (field, link)]
    page = writer.pages[0]
    page[NameObject("/AA")] = on_open
    page[NameObject("/Annots")] = ArrayObject([*map(writer._add_object, notes), NumberObject(7)])


def box(*corners: int) -> ArrayObject:
    """A rectangle as a PDF writes it."""
    return ArrayObject(map(NumberObject, corners))


def test_a_label_shows_and_does_nothing():
    """Scripts, launches and attachments are not taken over; what a form field shows is."""
    trapped = edited(booby_trap)
    evil = {"/JS", "/JavaScript", "/Launch", "/AA", "/OpenAction", "/EmbeddedFiles", "/Widget"}
    assert evil <= names_in(trapped)
    file = printed(parcel(page_url="", label_pdf=trapped))
    assert names_in(file).isdisjoint(evil | {"/A", "/Link", "/URI"})
    picture = pictures(file, dpi=72)[0]
    assert picture.getpixel((125, 432 - 325)) == 0
    assert picture.getpixel((200, 432 - 325)) == 255


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize(
    ("size", "filled"), [((812, 1218), 1), ((1218, 812), 1), ((406, 609), 1), ((600, 600), 2 / 3), ((300, 900), 1 / 2)]
)
def test_an_image_becomes_a_page_of_four_by_six(mode, size, filled):
    """An image fills a page as far as its proportions allow, turned upright, on white."""
    ground = {"1": 1, "L": 255, "RGBA": (0, 0, 0, 0)}.get(mode, "white")
    file = printed(parcel(label_pdf=png(size, mode, ground)))
    page = PdfReader(BytesIO(file)).pages[0]
    assert (float(page.mediabox.width), float(page.mediabox.height)) == SLIP
    picture = pictures(file)[0]
    dark = sum(picture.histogram()[:128]) / (picture.width * picture.height)
    assert dark == pytest.approx(filled / 4, abs=0.01)  # a quarter of the image is black
    assert picture.getpixel((811, 1217)) == 255


def sixteen_bits() -> bytes:
    """An image of a depth that no carrier uses."""
    file = BytesIO()
    Image.new("I;16", (40, 60)).save(file, "PNG")
    return file.getvalue()


def around_in_circles(writer: PdfWriter) -> None:
    """Make the page tree its own child."""
    pages = writer.root_object["/Pages"]
    pages[NameObject("/Kids")] = ArrayObject([writer.root_object.raw_get("/Pages")])
    pages[NameObject("/Private")] = ByteStringObject(b"Rowan Pike")


def blank(writer: PdfWriter) -> None:
    """Let the page show nothing, with a content stream all the same."""
    stream = DecodedStreamObject()
    stream.set_data(b" \n")
    writer.pages[0][NameObject("/Contents")] = writer._add_object(stream)


def test_a_pdf_that_anybody_may_read_is_a_label():
    """Some carriers encrypt with an empty password, to forbid changes: shoppers print that without noticing."""
    whole = printed(parcel(label_pdf=label("Carrier")))
    locked = printed(parcel(label_pdf=edited(lambda writer: writer.encrypt("", "owner"))))
    assert [page.extract_text() for page in PdfReader(BytesIO(locked)).pages] == [
        page.extract_text() for page in PdfReader(BytesIO(whole)).pages
    ]
    assert not PdfReader(BytesIO(locked)).is_encrypted


BROKEN = {
    "nothing": lambda: b"",
    "a web page": lambda: b"<html>Rowan Pike</html>",
    "a letter": lambda: b"Rowan Pike\n%%EOF",
    "a header and no more": lambda: b"%PDF-1.7\nRowan Pike",
    "half a PDF": lambda: (whole := label("Rowan Pike"))[: len(whole) // 2],
    "all but the end": lambda: label("Rowan Pike")[:-40],
    "encrypted": lambda: edited(lambda writer: writer.encrypt("secret")),
    "no page": lambda: edited(lambda writer: writer.remove_page(0)),
    "too many pages": lambda: label(*["Rowan Pike"] * (MAX_LABEL_PAGES + 1)),
    "a page without content": lambda: edited(lambda writer: writer.add_blank_page(288, 432)),
    "a page of blanks": lambda: edited(blank),
    "pages that contain themselves": lambda: edited(around_in_circles),
    "too many bytes": lambda: label("Rowan Pike") + b"\n" * MAX_LABEL_BYTES,
    "half an image": lambda: (image := png((406, 609)))[: len(image) // 2],
    "an image and no more": lambda: png((406, 609))[:8],
    "too many pixels": lambda: png((5000, 5000), "1", 1),
    "sixteen bits of grey": sixteen_bits,
    "another kind of image": lambda: b"GIF89a" + bytes(100),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_no_label_is_refused_and_not_quoted(broken, caplog):
    """An unreadable label stops the file, and neither the error nor the log says what was in it."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ContractBroken, match=r"^a (page of a )?label") as caught:
        printed(parcel("DxRMA1"), parcel("DxRMA2", label_pdf=BROKEN[broken]()))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "Rowan" not in f"{caught.value}{caplog.text}"


def test_a_parcel_does_not_show_its_label_in_a_log():
    """A parcel's representation leaves the label out."""
    assert "PDF" not in repr(parcel())
