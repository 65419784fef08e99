"""The text of a subtitle file, whose encoding nothing states."""

from __future__ import annotations

import codecs
import re
from itertools import pairwise

# What subtitle files of the last thirty years were written in. Encodings of mainframes and of old
# Macs are left out: the fewer candidates, the surer the guess for a few lines.
_CANDIDATES = (
    *("cp1252", "iso8859-1", "iso8859-15", "cp1250", "iso8859-2", "cp1254", "iso8859-9"),
    *("cp1251", "koi8-r", "koi8-u", "iso8859-5", "cp866", "cp1253", "iso8859-7", "cp1257"),
    *("cp1255", "iso8859-8", "cp1256", "cp1258", "cp874", "tis-620"),
    *("gb18030", "big5", "cp932", "shift_jis", "euc-jp", "cp949", "euc-kr"),
)
# They share most letters: the detector takes the one, and the text may be in the other.
_LATIN = ("cp1252", "iso8859-15", "cp1250", "iso8859-2")
_SIBLINGS = {
    **dict.fromkeys((*_LATIN, "cp1254", "iso8859-9", "cp1257", "cp1258"), _LATIN),
    "cp1253": ("iso8859-7",),
}
# A sign inside a word or a capital after a small letter: what a wrong guess looks like.
_ODD = re.compile(r"[©®¦¬¶¹¼½¾ˇ¨˝˘˛¸](?=[^\W\d_])|(?<=[^\W\d_])[©¦¬¶¹¼½¾ˇ¨˝˘˛¸±]")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# A file is UTF-8 with a few bad bytes where at most one in this many of its characters beyond
# ASCII is broken. One in another encoding has hardly any that are not.
_BROKEN_SHARE = 10


class UnreadableSubtitlesError(Exception):
    """A subtitle file or stream that gives no text; the message is the reason alone.

    It stays inside `seal.words`: `find` makes a note or an error that names the source of it.
    """


def decode(data: bytes) -> str:
    """The text of `data`, without a byte order mark.

    Raises UnreadableSubtitlesError if it is no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data.removeprefix(codecs.BOM_UTF8).decode(encoding, "replace")
            return _admitted(text.removeprefix("\ufeff"))
    if b"\0" in data:
        return _admitted(_wide(data))
    try:
        return _admitted(data.decode())
    except UnicodeDecodeError:
        pass
    broken = _mostly_utf8(data)
    return _admitted(broken if broken is not None else data.decode(_guess(data), "replace"))


def _admitted(text: str) -> str:
    controls = len(re.findall(r"[\x00-\x08\x0e-\x1f\ufffd]", text[:100_000]))
    if controls * 20 > min(len(text), 100_000):
        raise UnreadableSubtitlesError("not text")
    return text.replace("\0", "")


def _wide(data: bytes) -> str:
    """UTF-16 without a mark has its zeros at every second byte."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    if max(even, odd) * 4 < len(data) // 2:
        return data.decode("latin-1")
    return data.decode("utf-16-be" if even > odd else "utf-16-le", "replace")


def _mostly_utf8(data: bytes) -> str | None:
    """Text that is UTF-8 but for a few bytes, which are taken for cp1252; None for any other."""
    text = data.decode("utf-8", "surrogateescape")
    bad = len(re.findall("[\udc80-\udcff]+", text))
    good = len(re.findall("[^\x00-\x7f\udc80-\udcff]", text))
    if bad * _BROKEN_SHARE > good:
        return None

    def as_cp1252(found: re.Match[str]) -> str:
        return found[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace")

    return re.sub("[\udc80-\udcff]+", as_cp1252, text)


def _guess(data: bytes) -> str:
    # Lines of plain ASCII, such as the times, say nothing.
    telling = b"\n".join(line for line in data.splitlines() if not line.isascii())
    # Not at the top: few files need it, and each command would load it.
    import chardet

    found = chardet.detect(
        telling, include_encodings=_CANDIDATES, no_match_encoding="cp1252", compat_names=False
    )
    encoding = str(found["encoding"] or "cp1252")
    encoding = {"iso8859-1": "cp1252", "windows-1252": "cp1252"}.get(encoding.lower(), encoding)
    others = _SIBLINGS.get(codecs.lookup(encoding).name, ())
    return min((encoding, *others), key=lambda name: _oddities(telling, name))


def _oddities(data: bytes, encoding: str) -> int:
    text = data.decode(encoding, "replace")
    mixed = sum(
        before.islower() and after.isupper()
        for before, after in pairwise(text)
        if before > "\x7f" or after > "\x7f"
    )
    controls = len(re.findall("[\x80-\x9f\ufffd]", text))
    return len(_ODD.findall(text)) + mixed + 2 * controls
