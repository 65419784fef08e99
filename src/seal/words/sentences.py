"""Cues to sentences, the size of a speech token.

A cue is cut where a sentence ends, where another speaker begins and where its words leave a pause.
Pieces that continue a sentence are joined. Pieces that are still too long are split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from seal.config import SpeechOptions
from seal.words.cue import Cue, Word
from seal.words.spoken import WordClock

_CLOSERS = r"[\"'”’»)\]}」』”）】》]*"
# Where a sentence ends and another one follows. Chinese and Japanese need no blank between them.
_END = re.compile(rf"(?:[.!?…؟۔।॥։]+{_CLOSERS}|[♪♫]+)(?=\s)|[。！？｡]+{_CLOSERS}(?!$)")
_ENDED = re.compile(rf"(?:([.!?…؟۔।॥։。！？｡]+){_CLOSERS}|[♪♫\]])$")
# No more signs than these end a sentence.
_MARKS_LENGTH = 12
# A sentence goes on after these, in the next line or after a pause.
_CLAUSE = tuple(",;:、，；：–—-")
# A single point behind these ends no sentence; nor does one behind a single letter, as in "J. R."
# or "U.S.", or a number as in "No. 5".
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr prof rev hon sgt capt lt gov sen vs jr sr st mt sra srta dra ud uds mme mlle"
        " bzw evtl ggf ph.d",
    )
)
_NUMBERED = frozenset({"no", "nos", "nr", "vol", "fig", "art", "p", "pp"})
_OPENERS = "\"'([{¿¡“‘«-"
_DASHES = "-–—‐"
# What begins a turn of speech inside a cue: a dash, ">>" as in American captions.
_TURN = re.compile(rf"(?<=\s)(?:[{_DASHES}](?=\s?\w)|>>+)")
# The whole cue is what is heard, such as [music].
_SOUND = re.compile(r"\s*[\[(（【][^\])）】]*[\])）】]\s*")
_NAME_LENGTH = 32
# Cues that are on screen together for longer are two speakers.
_OVERLAP_S = 0.1
# Where nearly every cue after one without a mark at its end begins with a capital, as in a song,
# the lines are the sentences.
_CAPITAL_SHARE = 0.9
_CAPITAL_COUNT = 5
# A text with fewer characters a second is shown for longer than it is said.
_SLOWEST_HZ = 2.0
_ROUNDING_S = 1e-6


@dataclass(slots=True)
class _Piece:
    cue: Cue
    is_turn: bool
    """Whether another speaker begins here."""
    is_line: bool
    """Whether it begins its cue."""


def sentences(cues: Iterable[Cue], options: SpeechOptions) -> tuple[Cue, ...]:
    """The words of `cues` in order of time, a sentence each; no word is lost or doubled.

    None lasts longer than `max_length_s`: a longer one is split at its longest pause, at a comma or
    evenly. A few words that are shown for longer than anybody needs to say them, and a single word,
    end after `max_length_s`. The words of a sentence have times where its cues have them.
    """
    ordered = sorted((cue for cue in cues if cue.text.strip()), key=lambda cue: cue.start_s)
    pieces = [piece for cue in ordered for piece in _cut(cue, options.pause_s)]
    joined = _joined(pieces, options, _lines_are_sentences(ordered))
    short = [part for cue in joined for part in _short(cue, options.max_length_s)]
    return tuple(sorted(short, key=lambda cue: cue.start_s))


# ---- cutting ----


def _cut(cue: Cue, pause_s: float) -> list[_Piece]:
    text = " ".join(cue.text.split())
    turns = _turns(text)
    clock = WordClock.of(cue, text)
    cuts = {*turns, *_ends(text), *clock.pauses(pause_s)}
    parts = clock.slices(sorted(cuts)) if cuts else [(0, clock.whole())]
    return [
        _Piece(
            part,
            position in turns or (position == 0 and _begins_turn(text)),
            position == 0,
        )
        for position, part in parts
    ]


def _ends(text: str) -> list[int]:
    """Where in `text` a sentence begins after another one."""
    found = []
    for end in _END.finditer(text):
        following = text[end.end() :].lstrip()[:1]
        if following.islower() or (end[0] == "." and _is_short(text[: end.start()], following)):
            continue
        found.append(end.end())
    return found


def _is_short(before: str, following: str) -> bool:
    """Whether the point after `before` is that of an abbreviation."""
    word = before[before.rfind(" ") + 1 :].lower().lstrip(_OPENERS)
    if word in _NUMBERED:
        return following.isdigit()
    letter = word.rpartition(".")[2]
    return word in _ABBREVIATIONS or (len(letter) == 1 and letter.isalpha() and word != "i")


def has_ended(text: str) -> bool:
    """Whether a sentence, or the name of a sound, ends where the text ends."""
    found = _ENDED.search(text, max(0, len(text) - _MARKS_LENGTH))
    if found is None:
        return _SOUND.fullmatch(text) is not None
    return found[1] != "." or not _is_short(text[: found.start()], "")


def _turns(text: str) -> set[int]:
    """Where another speaker begins inside `text`."""
    found = set()
    has_dash = text[:1] in _DASHES
    for turn in _TURN.finditer(text):
        before, after = text[: turn.start()].rstrip(), text[turn.end() :].lstrip()[:1]
        is_dialogue = has_dash and not after.islower() and not after.isdigit()
        if turn[0].startswith(">") or is_dialogue or _ENDED.search(before):
            found.add(turn.start())
    position = text.find(": ")
    while position > 0:
        # A name in capitals, of up to four words.
        start = position
        while text[start - 1 : start] not in ("", ":"):
            word = text.rfind(" ", 0, start - 1) + 1 if start else 0
            if not text[word:start].strip().isupper() or position - word > _NAME_LENGTH:
                break
            start = word
        if 0 < start < position - 1:
            found.add(start)
        position = text.find(": ", position + 1)
    return found


def _begins_turn(text: str) -> bool:
    """Whether the cue begins with a dash, ">>", the name of a speaker, or is a sound."""
    if text[:1] in _DASHES or text.startswith(">>") or _SOUND.fullmatch(text):
        return True
    name, colon, rest = text.partition(":")
    names = name.split()
    is_name = 0 < len(names) <= 3 and all(each[0].isupper() for each in names)
    return bool(colon) and rest[:1] == " " and is_name and len(name) <= _NAME_LENGTH


# ---- joining ----


def _lines_are_sentences(cues: Sequence[Cue]) -> bool:
    """Whether cues that end without a mark are followed by capitals alone, as in a song."""
    cased = capitals = 0
    for before, after in pairwise(cues):
        text = before.text.rstrip()
        first = after.text.lstrip()[:1]
        if not text.endswith(_CLAUSE) and not has_ended(text) and first.lower() != first.upper():
            cased += 1
            capitals += first.isupper()
    return cased >= _CAPITAL_COUNT and capitals >= _CAPITAL_SHARE * cased


def _joined(pieces: Sequence[_Piece], options: SpeechOptions, by_line: bool) -> list[Cue]:
    groups: list[list[_Piece]] = []
    end_s = 0.0
    for piece in pieces:
        if groups and _continues(groups[-1], end_s, piece, options, by_line):
            groups[-1].append(piece)
            end_s = max(end_s, piece.cue.end_s)
        else:
            groups.append([piece])
            end_s = piece.cue.end_s
    return [_one([piece.cue for piece in group]) for group in groups]


def _continues(
    group: Sequence[_Piece], end_s: float, piece: _Piece, options: SpeechOptions, by_line: bool
) -> bool:
    """Whether a piece goes on with the sentence of the group before it, which ends at `end_s`."""
    before, cue = group[-1], piece.cue
    if piece.is_turn:
        return False
    if cue.start_s < end_s - _OVERLAP_S:
        return False
    # A cue may stay on screen after its last word.
    silent_s = before.cue.words[-1].end_s if before.cue.words else end_s
    speaks_s = cue.words[0].start_s if cue.words else cue.start_s
    if speaks_s - silent_s > options.pause_s:
        return False
    if max(end_s, cue.end_s) - group[0].cue.start_s > options.max_length_s:
        return False
    if has_ended(before.cue.text):
        return False
    is_new_line = by_line and piece.is_line and cue.text[:1].isupper()
    return not is_new_line or before.cue.text.endswith(_CLAUSE)


def _one(cues: Sequence[Cue]) -> Cue:
    if len(cues) == 1:
        return cues[0]
    text = " ".join(cue.text for cue in cues)
    words: tuple[Word, ...] = ()
    if any(cue.words for cue in cues):
        words = tuple(word for cue in cues for word in WordClock.of(cue, cue.text).words())
    return Cue(cues[0].start_s, max(cue.end_s for cue in cues), text, words)


# ---- splitting ----


def _short(cue: Cue, max_length_s: float) -> list[Cue]:
    """The cue in parts of at most `max_length_s`."""
    length_s = cue.end_s - cue.start_s
    if length_s <= max_length_s + _ROUNDING_S:
        return [cue]
    if not cue.words and len(cue.text) < _SLOWEST_HZ * length_s:
        return [_ended_after(cue, max_length_s)]
    clock = WordClock.of(cue, cue.text)
    places = [0, *clock.places(), len(cue.text)]
    from_s = [clock.start_s(place) for place in places]
    until_s = [clock.end_s(place) for place in places]
    is_clause = [cue.text[max(0, place - 2) : place].rstrip().endswith(_CLAUSE) for place in places]
    firsts, todo = [], [(0, len(places) - 1)]
    while todo:
        first, last = todo.pop()
        span_s = until_s[last] - from_s[first]
        if span_s <= max_length_s + _ROUNDING_S or last == first + 1:
            firsts.append(first)
            continue
        middle_s = from_s[first] + span_s / 2
        ranked = []
        for number in range(first + 1, last):
            away_s = abs((until_s[number] + from_s[number]) / 2 - middle_s)
            is_fit = is_clause[number] and away_s <= span_s / 4
            pause_s = round(from_s[number] - until_s[number], 2)
            ranked.append((pause_s, is_fit, -away_s, number))
        best = max(ranked)[-1]
        todo += [(first, best), (best, last)]
    cuts = [places[first] for first in sorted(firsts)[1:]]
    return [_ended_after(part, max_length_s) for _, part in clock.slices(cuts)]


def _ended_after(cue: Cue, max_length_s: float) -> Cue:
    end_s = min(cue.end_s, cue.start_s + max_length_s)
    if end_s == cue.end_s:
        return cue
    words = tuple(
        Word(min(word.start_s, end_s), min(word.end_s, end_s), word.text) for word in cue.words
    )
    return Cue(cue.start_s, end_s, cue.text, words)
