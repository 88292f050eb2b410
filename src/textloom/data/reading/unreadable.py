"""Explains why a file cannot be decoded: its probable encoding, the position of the first bad byte, and the cure.

The whole file is examined, so that the answer does not depend on where a bad byte lies.
"""

import codecs
import itertools
import re
from dataclasses import dataclass, field

from textloom.data.reading.contents import COMPRESSIONS, Content
from textloom.data.reading.encodings import ENCODINGS, WESTERN, probable_encodings
from textloom.data.reading.files import COMPRESSED_BEGIN

HEAD = 1 << 16  # bytes examined for the kind of a file and its encoding
ENOUGH = 100_000  # bad bytes; more do not change the answer
CONTROLS = bytes([*range(1, 8), 11, *range(14, 27), *range(28, 32)])  # without NUL, which database dumps contain
BINARY_SHARE = 0.05  # control characters, of the bytes of a text
WESTERN_BY_CHANCE = 20  # bad bytes for each good character, at least, in a text in a Western encoding
WIDE_SHARE = 0.9  # of the characters of a text in UTF-16 are printable, at least
KINDS = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image", b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive (or a document of Word or Excel)", b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file", b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive", b"SQLite format 3": "an SQLite database", b"PAR1": "a Parquet table",
    b"\x7fELF": "a program", b"MZ": "a program", b"\x80\x02": "a pickle", b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle", b"\x80\x05": "a pickle", b"\x93NUMPY": "a NumPy array",
    b"\xd0\xcf\x11\xe0": "a document of old Word or Excel", b"ARROW1": "an Arrow file", b"RIFF": "a media file",
}  # fmt: skip
COMPRESSED = {KINDS[magic]: suffix for magic, suffix in COMPRESSED_BEGIN.items() if suffix != ".zip"}
TABLES = {
    "a Parquet table": "read it with data=table under a name that ends in .parquet",
    "an Arrow file": "write it as Parquet, and read that with data=table",
}
FROM_SURROGATES = (  # iconv knows no CESU-8
    'python3 -c \'import sys; t = sys.stdin.buffer.read().decode("utf-8", "surrogatepass"); '
    'sys.stdout.buffer.write(t.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())\''
)
WIDE = {"utf-16-le": "UTF-16LE", "utf-16-be": "UTF-16BE", "utf-32-le": "UTF-32LE", "utf-32-be": "UTF-32BE"}
LONGEST_CHARACTER = 4  # bytes
SHIFT = "\x1b$"  # begins characters of two bytes in ISO-2022, whose bytes are all ASCII
KOREAN = b"\x1b$)C"
HANDLER = "textloom.unreadable"


@dataclass
class _Scan:
    """Counts of the bytes of a file, read as UTF-8."""

    size: int = 0
    nuls: int = 0
    controls: int = 0
    good: int = 0
    """Characters beyond ASCII."""
    bad: list[int] = field(default_factory=list)
    """Offsets of the bytes that are not UTF-8."""
    cut_off: bool = False
    """True if the only bad bytes begin a character at the end of the file."""
    first_nul: int | None = None


def explain(content: Content, encoding: str, mark: int) -> str:
    """The reason why a file cannot be decoded, and the cure. ``mark``: length of its byte-order mark."""
    head = _head(content)
    kind = next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)
    if kind is None and head[257:262] == b"ustar":
        kind = "a tar archive"
    if kind is not None:
        return f"a binary file, not text ({kind}); {_cure_for_kind(kind, content)}"
    if encoding != "utf-8":
        return _explain_wide(content, encoding, mark)
    wide = _wide(head)
    if wide is not None:
        cure = content.command(f"iconv -f {WIDE[wide]} -t UTF-8")
        return f"{WIDE[wide][:-2]} without a byte-order mark, not UTF-8; convert it: {cure}"
    scan = _scan(content)
    if scan.controls > BINARY_SHARE * scan.size:
        return "a binary file, not text; give a UTF-8 text file"
    shift = None if scan.bad else _find(content, SHIFT.encode())
    if shift is not None:
        name = "ISO-2022-JP" if _find(content, KOREAN) is None else "ISO-2022-KR"
        return f"{name}, not UTF-8, from {_place(content, shift)} on; convert it: " + content.command(
            f"iconv -f {name} -t UTF-8"
        )
    if not scan.bad:
        assert scan.first_nul is not None
        where = _place(content, scan.first_nul)
        return f"a NUL byte at {where}, {scan.nuls:,} in all; remove it: " + content.command("tr -d '\\000'")
    where = _place(content, scan.bad[0])
    drop = content.command("iconv -c -f UTF-8 -t UTF-8")
    if _reads(content, "utf-8", "surrogatepass"):
        cure = content.command(FROM_SURROGATES)
        return f"not UTF-8 at {where}: halves of surrogate pairs (CESU-8, of Java and databases); convert it: {cure}"
    if scan.cut_off:
        return f"not UTF-8 at {where}: the file ends within a character; drop the rest of it: {drop}"
    few = "that byte" if len(scan.bad) == 1 else f"{len(scan.bad):,} bytes"
    mixed = f"not UTF-8 at {where}: all but {few} of it is UTF-8; correct it in an editor, or drop those bytes: {drop}"
    if scan.good >= len(scan.bad):
        return mixed
    sample = _around(content, scan.bad[0])
    guess = next((name for name in probable_encodings(sample) if _reads(content, name)), None)
    if guess is None:
        cure = content.command("iconv -f ENCODING -t UTF-8")
        return f"not UTF-8 at {where}, and in no encoding that textloom knows; convert it: {cure}"
    if guess in WESTERN and scan.good * WESTERN_BY_CHANCE >= len(scan.bad):
        return mixed
    shown = _shown(sample.decode(guess, "replace"))
    cure = content.command(f"iconv -f {ENCODINGS[guess]} -t UTF-8")
    return f"not UTF-8 at {where}; probably {ENCODINGS[guess]} ({shown!r}); convert it: {cure}"


def _cure_for_kind(kind: str, content: Content) -> str:
    if kind not in COMPRESSED:
        return TABLES.get(kind, "give a UTF-8 text file")
    if content.member is not None or content.path.suffix.lower() in COMPRESSIONS:  # compressed twice
        return "unpack it, and give the file in it"
    return f"name it so that it ends in {COMPRESSED[kind]}"


def _explain_wide(content: Content, encoding: str, mark: int) -> str:
    decoder, position, name = codecs.getincrementaldecoder(encoding)(), mark, WIDE[encoding]
    unit = 2 if "16" in name else 4
    lines, skip = 1, mark
    pending = b""
    for block in itertools.chain(content.blocks(), [b""]):
        data = pending + block[skip:]
        skip = max(0, skip - len(block))
        whole = len(data) - len(data) % unit if block else len(data)
        data, pending = data[:whole], data[whole:]
        held = len(decoder.getstate()[0])  # the first half of a surrogate pair
        try:
            text = decoder.decode(data, final=not block)
        except UnicodeDecodeError as error:
            lines += error.object[: error.start].decode(encoding, "replace").count("\n")
            where = position - held + error.start
            return f"not valid {name} at byte {where} (line {lines}); is it cut off? get it again"
        if "\0" in text:
            before = text[: text.index("\0")]
            lines += before.count("\n")
            cure = "remove it in an editor, and save the text as UTF-8"
            return f"a NUL character at byte {position + len(before.encode(encoding))} (line {lines}); {cure}"
        lines += text.count("\n")
        position += len(data)
    raise AssertionError("what could not be decoded can be")


def _head(content: Content) -> bytes:
    head = b""
    for block in content.blocks():
        head += block
        if len(head) >= HEAD:
            break
    return head[:HEAD]


def _wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte-order mark, recognized by the zero bytes of ASCII characters."""
    is_utf8 = len(head.decode("utf-8", "ignore").encode()) > len(head) - LONGEST_CHARACTER  # it may be cut at its end
    shares = {}
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        unit = 2 if "16" in encoding else 4
        whole = head[: len(head) - len(head) % (2 * unit)] or head[: len(head) - len(head) % unit]
        zeros = [whole[i::unit].count(0) for i in range(unit)]
        low = zeros.pop(0 if encoding.endswith("le") else -1)
        if not whole or (low and is_utf8) or min(zeros) * 100 < len(whole) // unit:
            continue  # a text in UTF-8 with some NUL bytes has them anywhere
        text = whole.decode(encoding, "replace")
        shares[encoding] = sum((c.isprintable() and c != "\ufffd") or c in "\r\n\t" for c in text) / len(text)
    likeliest = max(shares, key=lambda encoding: shares[encoding], default=None)
    return likeliest if likeliest is not None and shares[likeliest] > WIDE_SHARE else None


def _scan(content: Content) -> _Scan:
    scan, offset = _Scan(), 0

    def note(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        scan.bad += range(offset + error.start, offset + error.end)
        scan.cut_off = "unexpected end" in error.reason and len(scan.bad) == error.end - error.start
        return "", error.end

    codecs.register_error(HANDLER, note)
    decoder = codecs.getincrementaldecoder("utf-8")(errors=HANDLER)
    for block in content.blocks():
        offset = scan.size - len(decoder.getstate()[0])
        text = decoder.decode(block)
        if scan.first_nul is None and b"\0" in block:
            scan.first_nul = scan.size + block.index(0)
        scan.nuls += block.count(0)
        scan.controls += len(block) - len(block.translate(None, CONTROLS))
        scan.good += len(text) - len(text.encode("ascii", "ignore"))
        scan.size += len(block)
        if len(scan.bad) > ENOUGH:
            return scan
    offset = scan.size - len(decoder.getstate()[0])
    decoder.decode(b"", final=True)
    return scan


def _find(content: Content, wanted: bytes) -> int | None:
    """The offset of some bytes; None if they do not occur."""
    seen, held = 0, b""
    for block in content.blocks():
        held += block
        if wanted in held:
            return seen + held.index(wanted)
        kept = len(wanted) - 1
        seen, held = seen + max(0, len(held) - kept), held[-kept:]
    return None


def _place(content: Content, offset: int) -> str:
    """``byte N (line M)``: bytes from 0, lines from 1."""
    feeds = returns = seen = 0
    for block in content.blocks():
        before = block[: max(0, offset - seen)]
        feeds, returns, seen = feeds + before.count(b"\n"), returns + before.count(b"\r"), seen + len(block)
        if seen > offset:
            break
    return f"byte {offset} (line {1 + (feeds or returns)})"


def _around(content: Content, offset: int) -> bytes:
    """The whole lines around an offset."""
    first, last, seen, found = max(0, offset - HEAD // 2), offset + HEAD // 2, 0, b""
    for block in content.blocks():
        found += block[max(0, first - seen) : max(0, last - seen)]
        seen += len(block)
        if seen >= last:
            break
    begin = found.rfind(b"\n", 0, offset - first) + 1 if first else 0
    begin = min(begin, found.find(b"\n") + 1) if first else 0
    end = found.rfind(b"\n", offset - first) + 1
    return found[begin : end or len(found)]


def _reads(content: Content, encoding: str, errors: str = "strict") -> bool:
    """True if the whole file can be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    try:
        for block in content.blocks():
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: str) -> str:
    """A few words around the first character beyond ASCII."""
    first = re.search(r"[^\0-\x7f]", text)
    at = first.start() if first else 0
    return " ".join(text[max(0, at - 15) : at + 15].split())
