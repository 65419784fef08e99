"""Cues to sentences: no word is lost or doubled, none is too long, none leaps over a pause."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.config import SpeechOptions
from seal.words import Cue, Word
from seal.words.sentences import sentences

OPTIONS = SpeechOptions()


def texts(*cues: Cue, options: SpeechOptions = OPTIONS) -> list[str]:
    return [cue.text for cue in sentences(cues, options)]


def spans(*cues: Cue, options: SpeechOptions = OPTIONS) -> list[tuple[float, float, str]]:
    return [
        (round(cue.start_s, 3), round(cue.end_s, 3), cue.text) for cue in sentences(cues, options)
    ]


def timed(*words: tuple[float, float, str]) -> Cue:
    said = tuple(Word(*word) for word in words)
    return Cue(said[0].start_s, said[-1].end_s, " ".join(word.text for word in said), said)


def lines(*told: str, every_s: float = 2.0, length_s: float = 1.9) -> list[Cue]:
    return [Cue(n * every_s, n * every_s + length_s, text) for n, text in enumerate(told)]


# ---- cutting ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("Wait... what? OK", ["Wait... what?", "OK"]),
        ("Mr. Smith met Dr. J. R. Jones of the U.S. Army.", 1),
        ("It was I. Then No. 5 came. No. He said 3.5 p.m. sharp.",
         ["It was I.", "Then No. 5 came.", "No.", "He said 3.5 p.m. sharp."]),
        ('"Why?" she asked. "Go!" He left.', ['"Why?" she asked.', '"Go!"', "He left."]),
        ("¿Qué? ¡Sí! Señor D. Manuel", ["¿Qué?", "¡Sí!", "Señor D. Manuel"]),
        ("今天好。走吧！「好。」他说", ["今天好。", "走吧！", "「好。」", "他说"]),
        ("كيف حالك؟ جيد.", ["كيف حالك؟", "جيد."]),
        ("नमस्ते। कैसे हो?", ["नमस्ते।", "कैसे हो?"]),
        ("- Hello - Hi there", ["- Hello", "- Hi there"]),
        ("-Hello -Hi -- you", ["-Hello", "-Hi -- you"]),
        ("He was - well - tired", 1),
        ("No? - Yes - 5 of them", ["No?", "- Yes - 5 of them"]),
        ("FRED: Go MARY ANN: No way", ["FRED: Go", "MARY ANN: No way"]),
        ("At 12:30: lunch, A: b", 1),
        (">> Go >> Stop", [">> Go", ">> Stop"]),
        ("♪ la la ♪ Hello", ["♪ la la ♪", "Hello"]),
    ],
)  # fmt: skip
def test_a_cue_is_cut_at_sentences_and_speakers(text: str, expected: list[str] | int) -> None:
    assert texts(Cue(0, 10, text)) == ([text] if expected == 1 else expected)


def test_the_characters_of_a_cue_share_its_time() -> None:
    assert spans(Cue(10, 20, "Abc. Defgh?")) == [(10, 14, "Abc."), (14, 20, "Defgh?")]


def test_word_times_are_kept() -> None:
    cue = timed((0, 1, "One."), (1.5, 2, "Two"), (2, 3, "more."))
    assert spans(cue) == [(0, 1, "One."), (1.5, 3, "Two more.")]
    assert [part.words for part in sentences([cue], OPTIONS)] == [cue.words[:1], cue.words[1:]]


def test_words_without_punctuation_are_cut_at_pauses() -> None:
    cue = timed((0, 1, "so"), (1.2, 2, "we"), (3.5, 4, "went"), (4.9, 5, "on"))
    assert spans(cue) == [(0, 2, "so we"), (3.5, 5, "went on")]


def test_words_of_a_language_without_blanks_are_lined_up() -> None:
    words = (Word(0, 1, "今天"), Word(1, 2, "好。"), Word(4, 5, " 走"), Word(5, 6, "吧"))
    parts = sentences([Cue(0, 6, "今天好。 走吧", words)], OPTIONS)
    assert [part.words for part in parts] == [(Word(0, 2, "今天好。"),), (Word(4, 6, "走吧"),)]


def test_words_that_are_not_those_of_the_text_are_left_out() -> None:
    (part,) = sentences([Cue(0, 2, "a b", (Word(0, 1, "x"),))], OPTIONS)
    assert part == Cue(0, 2, "a b")


# ---- joining ----


def test_a_sentence_is_joined_over_cues() -> None:
    assert spans(*lines("This is", "one sentence.", "And", "another.")) == [
        (0, 3.9, "This is one sentence."),
        (4, 7.9, "And another."),
    ]


@pytest.mark.parametrize("last", ["Mr.", "so,", "and -"])
def test_these_do_not_end_a_sentence(last: str) -> None:
    assert texts(*lines(f"It was {last}", "Smith came.")) == [f"It was {last} Smith came."]


def test_a_long_pause_is_not_joined_over() -> None:
    cues = lines("so we", "went", every_s=3.0)
    assert texts(*cues) == ["so we", "went"]
    assert texts(*cues, options=SpeechOptions(pause_s=1.2)) == ["so we went"]


@pytest.mark.parametrize("other", ["- yes", "ANN: yes", "Ann: yes", ">> yes", "[door]", "(sighs)"])
def test_another_speaker_is_not_joined(other: str) -> None:
    assert texts(*lines("so we", other)) == ["so we", other]
    assert texts(*lines("[music]", "so we")) == ["[music]", "so we"]


def test_a_cue_that_stays_after_its_last_word_is_over_when_it_is_said() -> None:
    first = Cue(0, 9, "so we", (Word(0, 1, "so"), Word(1, 2, "we")))
    assert texts(first, Cue(9, 10, "went")) == ["so we", "went"]


def test_cues_at_once_are_not_joined() -> None:
    assert texts(Cue(0, 4, "so we"), Cue(1, 3, "a sign")) == ["so we", "a sign"]


def test_cues_that_overlap_by_a_picture_or_two_are_joined() -> None:
    assert texts(Cue(0, 2.05, "so we"), Cue(2, 3, "went")) == ["so we went"]


def test_a_long_heading_is_no_name_of_a_speaker() -> None:
    assert texts(*lines("we saw", "Ann Mary: yes")) == ["we saw", "Ann Mary: yes"]
    heading = "The Most Unusual: yes"
    assert texts(*lines("we saw", heading)) == ["we saw", heading]
    for heading in ("The Most Very Unusual: yes", "International Meteorological Organisation: yes"):
        assert len(texts(*lines("we saw", heading))) == 1


def test_what_would_be_too_long_is_not_joined() -> None:
    cues = lines(*["and so on"] * 20)
    assert all(cue.end_s - cue.start_s <= 15 for cue in sentences(cues, OPTIONS))
    assert len(sentences(cues, OPTIONS)) == 3


def test_the_lines_of_a_song_are_sentences() -> None:
    song = ["I am Sinbad", "So hearty", "I live here", "On a whale", "It is big", "Its lord"]
    assert texts(*lines(*song)) == song
    # A sentence goes on after a comma. Where lines go on in small letters, capitals are names.
    assert texts(*lines(*song, "The end,", "My dear"))[-1] == "The end, My dear"
    talk = [*song, "is he", "and so", "he goes", "to"]
    assert texts(*lines(*talk, "Paris"))[-1].endswith("he goes to Paris")


# ---- splitting ----


def test_a_long_cue_is_split_at_its_longest_pause() -> None:
    words = [(n * 1.0, n + 0.9, f"w{n}") for n in range(20)]
    words[7] = (7.0, 7.5, "w7")
    assert spans(timed(*words))[0] == (0, 7.5, "w0 w1 w2 w3 w4 w5 w6 w7")


def test_a_long_cue_without_word_times_is_split_at_a_comma_or_evenly() -> None:
    assert [part.count(" ") for part in texts(Cue(0, 20, "word " * 40))] == [19, 19]
    some = "word " * 23 + "word, " + "word " * 16
    assert texts(Cue(0, 20, some))[0].endswith("word,")
    first = "word, " + "word " * 39
    assert texts(Cue(0, 20, first))[0].count(" ") == 19


def test_a_long_text_without_blanks_is_split_between_characters() -> None:
    parts = texts(Cue(0, 40, "字" * 99 + "。"))
    assert [len(part) for part in parts] == [25, 25, 25, 25]
    assert not any(part.startswith(("ー", "。")) for part in texts(Cue(0, 31, "ガー。" * 40)))


def test_a_sign_that_stays_long_is_one_token_that_ends() -> None:
    assert spans(Cue(10, 90, "No entry, please")) == [(10, 25, "No entry, please")]
    assert spans(Cue(10, 90, "[music]")) == [(10, 25, "[music]")]
    assert spans(timed((0, 40, "Ooooh"))) == [(0, 15, "Ooooh")]


def test_empty_cues_are_none() -> None:
    assert sentences([], OPTIONS) == ()
    assert sentences([Cue(0, 1, " \n")], OPTIONS) == ()


# ---- what always holds ----

WORDS = st.sampled_from(
    ["so", "We", "went.", "no,", "-", "- Yes", "ANN:", ">>", "(sighs)", "why?", "Mr.", "[x]", "J.",
     "♪", "今天好。走吧", "ガーデン、と", "12:30", "“Go!”", "…", "5", "é:", "---", "a.b", "[", "!?"]
)  # fmt: skip


@st.composite
def transcripts(draw: st.DrawFn) -> list[Cue]:
    cues, at_s = [], 0.0
    for _ in range(draw(st.integers(1, 6))):
        at_s += draw(st.sampled_from([0.0, 0.2, 0.9, 1.1, 5.0]))
        told = draw(st.lists(WORDS, min_size=1, max_size=12))
        tokens = " ".join(told).split()
        if draw(st.booleans()):
            words, start_s = [], at_s
            for token in tokens:
                word_s = draw(st.sampled_from([0.0, 0.1, 0.5, 3.0, 20.0]))
                words.append(Word(at_s, at_s + word_s, token))
                at_s += word_s + draw(st.sampled_from([0.0, 0.1, 1.5]))
            cues.append(Cue(start_s, at_s, " ".join(tokens), tuple(words)))
        else:
            length_s = draw(st.sampled_from([0.0, 0.5, 3.0, 14.9, 15.1, 60.0]))
            cues.append(Cue(at_s, at_s + length_s, " ".join(tokens)))
            at_s += length_s
    return cues


def solid(cues: Sequence[Cue]) -> str:
    return "".join("".join(cue.text.split()) for cue in cues)


@given(transcripts(), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([2.0, 15.0]))
def test_no_word_is_lost_or_doubled_and_all_times_hold(
    cues: list[Cue], pause_s: float, max_length_s: float
) -> None:
    made = sentences(cues, SpeechOptions(max_length_s, pause_s))
    assert solid(made) == solid(cues)
    spaced = [token for cue in cues for token in cue.text.split() if token.isascii()]
    assert [token for cue in made for token in cue.text.split() if token.isascii()] == spaced
    starts = [cue.start_s for cue in made]
    assert starts == sorted(starts)
    first_s, last_s = cues[0].start_s, max(cue.end_s for cue in cues)
    for cue in made:
        assert cue.text == " ".join(cue.text.split())
        assert cue.end_s - cue.start_s <= max_length_s + 2e-6
        assert first_s <= cue.start_s <= cue.end_s <= last_s + 1e-9
        assert [word.text for word in cue.words] in ([], cue.text.split())
        at = [time for word in cue.words for time in (word.start_s, word.end_s)]
        assert at == sorted(at)
        assert not at or cue.start_s - 1e-9 <= at[0] <= at[-1] <= cue.end_s + 1e-9


@given(transcripts())
def test_sentences_of_timed_words_do_not_leap_over_a_pause(cues: list[Cue]) -> None:
    for cue in sentences(cues, OPTIONS):
        for before, after in zip(cue.words, cue.words[1:], strict=False):
            assert after.start_s - before.end_s <= OPTIONS.pause_s + 1e-9


@given(transcripts())
def test_sentences_of_sentences_are_the_same(cues: list[Cue]) -> None:
    once = sentences(cues, OPTIONS)
    assert solid(sentences(once, OPTIONS)) == solid(once)
