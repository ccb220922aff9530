"""Label files, written by hand, that printers and PDF readers accept."""

import base64
import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

from pypdf import PdfWriter

POINTS_PER_INCH = 72


def pdf(lines: Sequence[str], *, width: float = 4.0, length: float = 6.0) -> bytes:
    """Make a one-page PDF of text lines; sizes in inches."""
    text = "".join(f"({_escaped(line)}) Tj T* " for line in lines)
    content = f"BT /F1 11 Tf 14 TL 18 {length * POINTS_PER_INCH - 30:.0f} Td {text}ET".encode("latin-1", "replace")
    box = f"0 0 {width * POINTS_PER_INCH:.0f} {length * POINTS_PER_INCH:.0f}"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    return _assembled(objects)


def png() -> bytes:
    """Make the smallest white PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zpl(lines: Sequence[str]) -> bytes:
    """Make a ZPL label of text lines."""
    fields = "".join(f"^FO30,{40 + 40 * n}^A0N,30,30^FD{line}^FS" for n, line in enumerate(lines))
    return f"^XA{fields}^XZ".encode()


def locked(content: bytes) -> bytes:
    """Encrypt a PDF with an empty password: everybody can read it, nobody can change it."""
    writer = PdfWriter(clone_from=BytesIO(content))
    writer.encrypt("", "carrier")
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def encoded(file_format: str, lines: Sequence[str], *, width: float, length: float, kind: str = "plain") -> str:
    """Make a file in one of Amazon's formats, as base64; a PDF of that kind."""
    if file_format == "PDF":
        content = pdf(lines, width=width, length=length)
        if kind == "blank":
            start, end = content.index(b"BT "), content.index(b"ET\nendstream") + 2
            content = content[:start] + b" " * (end - start) + content[end:]
        elif kind == "locked":
            content = locked(content)
    else:
        content = png() if file_format == "PNG" else zpl(lines)
    return base64.b64encode(content).decode()


def _assembled(objects: Sequence[bytes]) -> bytes:
    parts = [b"%PDF-1.4\n"]
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(sum(map(len, parts)))
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = sum(map(len, parts))
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table))
    parts.append(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start))
    return b"".join(parts)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
