"""Probable encodings of a text that is not Unicode, the likeliest first.

Texts in the Latin alphabet look alike in many encodings, and a wrong one changes only a few letters. They
are distinguished by the letters beyond ASCII: in the right encoding, one language explains nearly all of them.
"""

import re
from collections import Counter
from collections.abc import Iterator

LATIN = {
    "cp1252": "CP1252", "iso8859_15": "ISO-8859-15", "cp1250": "CP1250", "iso8859_2": "ISO-8859-2", "cp1254": "CP1254",
    "cp1257": "CP1257",
}  # fmt: skip
OLD_LATIN = {"cp850": "CP850", "cp852": "CP852", "mac_roman": "MACINTOSH"}
ENCODINGS = {
    **LATIN, **OLD_LATIN, "cp1251": "CP1251", "koi8_r": "KOI8-R", "koi8_u": "KOI8-U", "cp866": "CP866",
    "cp1253": "CP1253", "cp1255": "CP1255", "cp1256": "CP1256", "iso8859_6": "ISO-8859-6", "cp1258": "CP1258",
    "cp874": "CP874", "cp932": "CP932", "euc_jp": "EUC-JP", "gb18030": "GB18030", "big5": "BIG5", "euc_kr": "EUC-KR",
    "cp949": "CP949",
}  # fmt: skip
"""Python's names of encodings and those of iconv; if several read a text alike, the first is the likeliest."""
WESTERN = ("cp1252", "iso8859_15", "cp850", "mac_roman")
ALPHABETS = tuple(map(frozenset, (
    "äöüß", "àâæçéèêëîïôœùûüÿ", "áéíñóúü¿¡", "áàâãçéêíóôõúü", "àéèìíîòóùú", "àçéèíïòóúü·", "áäéëèíïóöúü",
    "åäöéà", "æøåéóòô", "åäöšž", "áðéíóúýþæö", "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű",
    "ăâîșțşţ", "čćđšž", "çë", "äõöüšž", "āčēģīķļņšūž", "ąčęėįšųūž", "çğı\u0307öşüâîû",
)))  # fmt: skip
"""Letters beyond ASCII of German, French, Spanish, Portuguese, Italian, Catalan, Dutch; Swedish, Danish and Norwegian,
Finnish, Icelandic; Polish, Czech, Slovak, Hungarian, Romanian, Croatian and Slovene, Albanian; Estonian, Latvian,
Lithuanian; Turkish."""
MARKS = re.compile(r"’|\b[«»„“”‘–—…€§°©](?!\w)|(?<!\w)[«»„“”‘–—…€§°©]")  # an apostrophe may be between two letters
EXPLAINED_SHARE = 0.9  # of the characters beyond ASCII, by the letters of one language and by punctuation
KANA_SHARE = 0.2  # of the characters of a Japanese text beyond ASCII


def probable_encodings(sample: bytes) -> Iterator[str]:
    """Python's names of the encodings that a sample may have."""
    for names in (LATIN, OLD_LATIN):
        shares = {name: _explained_share(sample, name) for name in names}
        yield from (name for name in sorted(names, key=lambda name: -shares[name]) if shares[name] >= EXPLAINED_SHARE)
    for name in ("cp932", "euc_jp"):
        beyond = re.findall(r"[^\0-\x7f]", sample.decode(name, "replace"))
        if sum("\u3040" <= character < "\u3100" for character in beyond) > KANA_SHARE * len(beyond):
            yield name
    import charset_normalizer  # only an error message needs it

    order = list(ENCODINGS)
    for match in charset_normalizer.from_bytes(sample, cp_isolation=order):
        yield from sorted(set(match.could_be_from_charset) & ENCODINGS.keys(), key=order.index)


def _explained_share(sample: bytes, encoding: str) -> float:
    """The share of the characters beyond ASCII that one language explains; 0 if the text is not in Latin letters."""
    try:
        text = sample.decode(encoding).lower()
    except UnicodeDecodeError:
        return 0.0
    counts = Counter(re.findall(r"[^\0-\x7f]", text))
    if sum(counts.values()) > len(re.findall(r"[a-z]", text)):
        return 0.0
    marks = len(MARKS.findall(text))
    letters = max(sum(counts[letter] for letter in alphabet) for alphabet in ALPHABETS)
    return (letters + marks) / counts.total()
