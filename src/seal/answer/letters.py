"""Which of several options a text chooses.

A text is taken apart into labels: letters of options that stand for options. Labels that are
joined ("A and B") form a group. What decides is what stands around the groups, never which letter
it is: whatever is read for one letter is read for every other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from seal.answer.thoughts import without_thoughts


def _read_words() -> dict[str, list[str]]:
    """By the part that they play, patterns of words; see the file."""
    text = (resources.files("seal.answer") / "letter_words.txt").read_text("utf-8")
    words: dict[str, list[str]] = {}
    for line in text.splitlines():
        part, colon, listed = line.partition(": ")
        if colon and not line.startswith("#"):
            words.setdefault(part, []).extend(listed.split())
    return words


_WORDS = _read_words()
# Characters that make a word of a letter beside them. Scripts without capitals may touch a label.
_WORD = r"0-9A-Za-z_\u00c0-\u052f\u1e00-\u1fff"


def _any(*parts: str) -> str:
    """A pattern for one of the words that play these parts."""
    words = (re.escape(word).replace("_", r"\s+") for part in parts for word in _WORDS[part])
    # "e" and "o" join in some languages; "E" is a label.
    words = (rf"(?-i:{word})" if len(word) == 1 else word for word in words)
    # Of words with one beginning the longest is meant.
    longest = "|".join(sorted(dict.fromkeys(words), key=len, reverse=True))
    return rf"(?<![{_WORD}])(?:{longest})(?![{_WORD}])"


_OPEN, _CLOSE = r"(\[{<\"'“‘「『«", r")\]}>\"'”’」』»"
_BETWEEN = rf"(?:[\s:：=\-–—>→*,，、.{_OPEN}{_CLOSE}]|{_any('link', 'option')})"
_NAMED = re.compile(rf"{_any('noun', 'option', 'choose')}(?:{_BETWEEN})*\Z", re.IGNORECASE)
_OPTION = re.compile(rf"{_any('option')}\s*[:{_OPEN}]?\s*\Z", re.IGNORECASE)
_NOT = (
    r"(?:\bnot\b|n['’]t\b|\bcannot\b|\bnever\b|\bno es\b|n['’]est pas\b|\bnão é\b|\bnon è\b"
    r"|\bnie jest\b|\bне\b|\bbukan\b|\bkhông\b|\bdeğil\b|ليست?|नहीं|不是|不对|不對|不正确|不正確"
    r"|ではな|じゃな|ではあり|違|間違|아니|틀)"
)
# Behind a label that is right: "is the best answer", but not "is right or ...".
_RIGHT = re.compile(
    rf"(?:\s*{_any('be')}\s+(?:clearly\s+|most\s+|the\s+most\s+|the\s+|die\s+|la\s+)?"
    rf"{_any('right')}|\s*[—–-]?\s*{_any('is_right')}|\s*:\s*yes\b)(?!\s*(?:or|if)\b)",
    re.IGNORECASE,
)
# Behind a label that is not right.
_WRONG = re.compile(
    rf"\s*(?:\([^)]*\))?\s*(?:{_any('be')}\s*)?(?:also\s+|both\s+|clearly\s+|be\s+)?"
    rf"(?:{_NOT}|{_any('wrong')})|\s*\?\s*no\b|\s*[:—–]\s*{_any('wrong')}|\s*[✗✘❌×]",
    re.IGNORECASE,
)
# Before a label that is not right.
_DENIED = re.compile(
    rf"(?:{_NOT}|{_any('deny')})(?!\s+only)"
    rf"(?:\s+{_any('option')}|\s+(?:is|be|it|the|answer)\b)*[\s{_OPEN}]*\Z",
    re.IGNORECASE,
)
_JOINED = re.compile(
    rf"(?:[\s,;.?!/&+|~、，；]|{_any('join', 'option')}|(?:is|are)?\s*as\s+\w+\s+as\b)+",
    re.IGNORECASE,
)
_CLAUSE = re.compile(rf"\s+{_any('clause')}", re.IGNORECASE)
# Before a bare letter that stands for an option.
_BEFORE = re.compile(
    rf"(?:\A|[.!?。！？:：;,，、\n=>→—–*/&+|~{_OPEN}-]|{_any('before')}|[^\x00-\u024f\s])\s*\Z",
    re.IGNORECASE,
)
# Another option is as good: "B is also possible".
_ALSO = re.compile(
    rf"[{_CLOSE}]*\s+(?:(?:is|are|was|may|might|could|can|would|be|seems?|looks?|works?|fits?)\s+)*"
    r"(?:also|too|as well|equally|just as|possible|plausible)\b",
    re.IGNORECASE,
)
_LIST = re.compile(r"(?m)^[\s(\[*>-]*([A-Z])[)\].:]")
_FAR = 48
"""Characters before a label in which what it is called is looked for."""


# Characters that make a word of a letter beside them. Scripts without capitals may touch a label.


class _Label(NamedTuple):
    letter: str
    start: int
    end: int
    marked: bool
    """Whether it is in brackets or quotes, or called an option."""
    denied: bool
    """Whether the text says that this option is not the answer."""


_Group = list[_Label]


def extract(output: str, options: Mapping[str, str]) -> str:
    """The letter, of `options` by letter, that an output means, or "" where it does not say.

    The first of these that there is counts. The answer may call a letter the answer. It may begin
    with a letter, or have one as a line of its own at its end. Last come the only letter that is
    marked as one, the only option whose text is there, and the only letter that stands alone.
    Options that the output rejects do not count, nor do thoughts, nor an article "A". If the
    deciding place names several options, the output does not say.
    """
    text = _plain(without_thoughts(output))
    whole = re.fullmatch(r"\W*([a-z])\W*", text)
    if whole and whole[1].upper() in options:
        return whole[1].upper()
    groups = _groups(text, _labels(text, options))
    if stated := [group for group in groups if _named(text, group)]:
        return _only(stated[-1])
    if called_right := [group for group in groups if _called_right(text, group)]:
        return _only(label for group in called_right for label in group)
    if not groups:
        return _single(_quoted(text, options))
    first, last = groups[0], groups[-1]
    if _begins(text, first) and len(set(_LIST.findall(text))) < 2:
        also = any(_ALSO.match(text, label.end) for group in groups[1:] for label in group)
        return "" if also else _only(first)
    if _own_line(text, last):
        return _only(last)
    if any(len(_letters(group)) > 1 for group in groups):
        return ""
    labels = [label for group in groups for label in group]
    denied = {label.letter for label in labels if label.denied}
    quoted = [letter for letter in _quoted(text, options) if letter not in denied]
    return _only(label for label in labels if label.marked) or _single(quoted) or _only(labels)


def _plain(text: str) -> str:
    """The text in plain characters, without mark-up."""
    text = unicodedata.normalize("NFKC", text)
    for _ in range(2):
        text = re.sub(r"\\(?:boxed|text\w*|math\w*|fbox)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"<\|?/?[\w|]{1,24}>", " ", text)
    return re.sub(r"\*+|`+|\$+|__+|\\[()\[\]]|^#+", "", text, flags=re.MULTILINE).strip()


def _labels(text: str, options: Mapping[str, str]) -> list[_Label]:
    labels: list[_Label] = []
    for match in _candidates(text, options):
        letter, start, end = match[1].upper(), match.start(1), match.end(1)
        joined = bool(labels) and _joins(text, labels[-1].end, start, end)
        before, after = text[max(0, start - _FAR) : start], text[end : end + _FAR]
        option, marked = options.get(letter, ""), _marked(before, after)
        denied = bool(_DENIED.search(before))
        placed = joined or marked or denied or _BEFORE.search(before) or _NAMED.search(before)
        if placed and (marked or not _article(before, after, option)):
            denied = denied or _rejected(after, option)
            labels.append(_Label(letter, start, end, marked, denied))
    return labels


def _candidates(text: str, options: Mapping[str, str]) -> list[re.Match[str]]:
    """The letters that are no part of a word, in order."""
    capitals = "".join(map(re.escape, options)) or "A-D"
    small = capitals.lower()
    patterns = (
        # A letter by itself: part of no word and no abbreviation, and not of "'s", "B-roll", "C++".
        rf"(?<![{_WORD}])(?<![{_WORD}]['’.&\\-])([{capitals}])"
        rf"(?![{_WORD}]|['’][{_WORD}]|-[{_WORD}]|\.\w|[+#]\W|[+#]\Z|\+\+)",
        rf"\(([{small}])\)",
        # A small letter is an answer where nothing follows.
        rf"(?i:{_any('noun')}(?:\s*:|\s+is)\s*)([{small}])(?=[\s.)\]]*\Z)",
    )
    found = [match for pattern in patterns for match in re.finditer(pattern, text)]
    return sorted(found, key=lambda match: match.start(1))


def _marked(before: str, after: str) -> bool:
    """Whether a letter is in brackets or quotes, numbers a list, or is called an option."""
    enclosed = re.search(rf"[{_OPEN}]\s*\Z", before) and re.match(rf"\s*[{_CLOSE}.:,]", after)
    item = re.search(r"(?:\A|[\n.:：,])\s*\Z", before) and re.match(r"[)\]]", after)
    return bool(enclosed or item or _OPTION.search(before))


def _rejected(after: str, option: str) -> bool:
    """Whether a text goes on behind a letter, or behind the words of its option, to reject it."""
    after = re.sub(rf"\A[{_CLOSE}.:]*\s*", " ", after) if option else after
    if option and after.lower().startswith(f" {option.lower()}"):
        rest = after[1 + len(option) :]
        return bool(re.match(rf"\s+\w+\s+(?:not\s+)?{_any('wrong')}", rest, re.IGNORECASE))
    return bool(_WRONG.match(after))


def _article(before: str, after: str, option: str) -> bool:
    """Whether a bare letter before a word may be an article, which begins a sentence or a title."""
    word = re.match(r"[ \t]+([A-Za-z\u00c0-\u024f][\w'’-]*)", after)
    if word is None or word[1].lower() in _WORDS["after"] or re.fullmatch(r"[A-Z]", word[1]):
        return False
    if option and _words(after).startswith(_words(option)):
        return False
    # In the middle of a sentence an article is no capital, but for that of a title.
    inside = re.search(r"[\w'’,]\s+\Z", before)
    return not inside or word[1][0].isupper()


def _groups(text: str, labels: Sequence[_Label]) -> list[_Group]:
    """Labels with nothing between them but what joins them."""
    groups: list[_Group] = []
    for label in labels:
        if groups and _joins(text, groups[-1][-1].end, label.start, label.end):
            groups[-1].append(label)
        else:
            groups.append([label])
    return [_alike(text, group) for group in groups]


def _joins(text: str, end: int, start: int, after: int) -> bool:
    """Whether what stands between two labels joins them; `after` is the end of the second."""
    between = re.sub(rf"[{_OPEN}{_CLOSE}]", " ", text[end:start])
    if not _JOINED.fullmatch(between):
        return False
    # Without a word, a full stop, a line or a verb behind it begins something else.
    if re.search(r"\w", between):
        return not re.search(r"[.!]\s*\Z", between)
    return not re.search(r"[.!\n]", between) and not _CLAUSE.match(text, after)


def _alike(text: str, group: _Group) -> _Group:
    """A group, all of it denied if what is said before it or behind it denies it."""
    before = _before(text, group[0])
    last = group[-1]
    if _DENIED.search(before) or (last.denied and not _DENIED.search(_before(text, last))):
        return [label._replace(denied=True) for label in group]
    return group


def _before(text: str, label: _Label) -> str:
    return text[max(0, label.start - _FAR) : label.start]


def _named(text: str, group: _Group) -> bool:
    """Whether the text announces what is in a group as the answer."""
    if not _letters(group):
        return False
    before = _before(text, group[0])
    if called := _OPTION.search(before):
        # Every option is called an option.
        before = before[: called.start()]
    return bool(_NAMED.search(before))


def _called_right(text: str, group: _Group) -> bool:
    """Whether the text says behind a group that it is the answer."""
    after = text[group[-1].end : group[-1].end + _FAR].lstrip(")]}>\"'”’」』»")
    return bool(_letters(group)) and bool(_RIGHT.match(after))


def _begins(text: str, group: _Group) -> bool:
    head = re.sub(r"[\W_]+", " ", text[: group[0].start]).strip()
    return (
        not head
        or bool(re.fullmatch(r"both|either|it is|it s", head, re.IGNORECASE))
        or (bool(_OPTION.fullmatch(head)))
    )


def _own_line(text: str, group: _Group) -> bool:
    """Whether a group is all of the last line."""
    line = text[: group[0].start].rpartition("\n")[2] + text[group[-1].end :]
    return not re.search(r"\w", line)


def _letters(labels: Iterable[_Label]) -> set[str]:
    return {label.letter for label in labels if not label.denied}


def _only(labels: Iterable[_Label]) -> str:
    return _single(_letters(labels))


def _single(letters: Iterable[str]) -> str:
    found = set(letters)
    return found.pop() if len(found) == 1 else ""


def _quoted(text: str, options: Mapping[str, str]) -> list[str]:
    """The options whose words are in `text`, but for those that are part of another one there."""
    said = _words(text)
    there = {letter: _words(option) for letter, option in options.items()}
    there = {letter: words for letter, words in there.items() if words.strip() and words in said}
    return [
        letter
        for letter, words in there.items()
        if not any(words != other and words in other for other in there.values())
        and not _negated(text, words.split())
    ]


def _negated(text: str, words: Sequence[str]) -> bool:
    phrase = r"[\W_]+".join(map(re.escape, words))
    return bool(re.search(rf"\bnot\s+(?:(?-i:an?|the)\s+)?{phrase}\b", text, re.IGNORECASE))


def _words(text: str) -> str:
    """Lower case, without punctuation, a space around each word."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "
