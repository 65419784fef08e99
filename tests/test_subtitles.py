"""Subtitles: every format, encoding and oddity, beside a video and inside it."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pysubs2
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import seal
from oddities import ASS, HELLO, ODDITIES, SRT, Times, ass, srt
from seal.cli import main
from seal.config import SubtitleOptions
from seal.errors import OptionError, VideoError
from seal.types import Box, UInt8
from seal.words import Cue, Line, TextReader, Transcript, Word
from seal.words.charset import UnreadableSubtitlesError, decode
from seal.words.export import FORMATS, render, write
from seal.words.formats import RawCue, parse
from seal.words.markup import plain, timed_words
from seal.words.subtitles import find
from seal.words.tidy import Extent, tidy
from synthetic import write_video


def read(text: str, end_s: float | None = None, rate_hz: float | None = None) -> tuple[Cue, ...]:
    return tidy(parse(text, rate_hz)[0], Extent(0.0, end_s))[0]


def times(cues: Sequence[Cue]) -> Times:
    return [(round(cue.start_s, 3), round(cue.end_s, 3), cue.text) for cue in cues]


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds that start at 0."""
    return write_video(tmp_path_factory.mktemp("film") / "film.mkv", range(0, 10_000, 200))


@pytest.fixture
def own(film: Path, tmp_path: Path) -> Path:
    """A copy in a folder of its own."""
    return Path(shutil.copy(film, tmp_path / "film.mkv"))


def found(video: Path, duration_s: float | None = 10.0, **options: str) -> Transcript:
    return find(video, SubtitleOptions(**options), duration_s)


def mux(video: Path, out: Path, *files: tuple[Path, str]) -> Path:
    """The video with the subtitle files as streams, each with its language."""
    with av.open(str(out), "w") as container:
        inputs = [av.open(str(video)), *(av.open(f"file:{file}") for file, _ in files)]
        streams = [inputs[0].streams.video[0], *(each.streams.subtitles[0] for each in inputs[1:])]
        outputs = [container.add_stream_from_template(stream) for stream in streams]
        for output, (_, language) in zip(outputs[1:], files, strict=True):
            output.metadata["language"] = language
        packets = [
            (packet, output)
            for each, stream, output in zip(inputs, streams, outputs, strict=True)
            for packet in each.demux(stream)
            if packet.dts is not None
        ]
        for packet, output in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = output
            container.mux(packet)
        for each in inputs:
            each.close()
    return out


# ---- oddities ----


@pytest.mark.parametrize("name", ODDITIES)
def test_oddities_are_read_exactly(name: str) -> None:
    text, expected = ODDITIES[name]
    assert times(read(text)) == [(float(start), float(end), told) for start, end, told in expected]


def test_pictures_are_counted_at_the_rate_of_the_video() -> None:
    assert times(read("{25}{50}One\n", rate_hz=25.0)) == [(1.0, 2.0, "One")]
    with pytest.raises(UnreadableSubtitlesError, match="rate"):
        parse("{25}{50}One\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("#EXTM3U\n#EXTINF:10,\na.ts\n", "playlist"),
        ("<html><body>404</body></html>", "no subtitles"),
        (ASS, "no subtitles"),
        ('<tt xmlns="http://www.w3.org/ns/ttml"><!ENTITY a "b"></tt>', "entities"),
        ('<tt xmlns="http://www.w3.org/ns/ttml"><body>', "damaged"),
    ],
)
def test_other_files_are_no_subtitles(text: str, reason: str) -> None:
    with pytest.raises(UnreadableSubtitlesError, match=reason):
        parse(text)


def test_a_webvtt_file_may_be_empty() -> None:
    assert parse("WEBVTT\n") == ([], 0)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """One of the files with pieces of it dropped, doubled and overwritten."""
    data = bytearray(draw(st.sampled_from([text for text, _ in ODDITIES.values()])).encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        piece = bytes(data[start : start + draw(st.integers(0, 12))])
        other = draw(
            st.sampled_from([b"", piece * 2, piece * 400, b"9" * 5000, b"<", b"{\\k", b"\xff\x00"])
            | st.binary(max_size=6)
        )
        data[start : start + len(piece)] = other
    return bytes(data)


@given(mangled())
def test_damaged_files_are_read_or_refused(data: bytes) -> None:
    try:
        raw, bad = parse(decode(data), 25.0)
    except UnreadableSubtitlesError:
        return
    assert bad >= 0
    for end_s in (None, 10.0):
        cues, _ = tidy([replace(cue) for cue in raw], Extent(0.0, end_s))
        for cue in cues:
            assert cue.text == " ".join(cue.text.split()) != ""
            assert [word.text for word in cue.words] in ([], cue.text.split())
            assert end_s is None or cue.start_s < end_s + 1.0


# ---- word times ----


def said(cue: Cue) -> list[tuple[float, float, str]]:
    return [(round(word.start_s, 3), round(word.end_s, 3), word.text) for word in cue.words]


def test_karaoke_gives_word_times() -> None:
    (cue,) = read(ass("{\\k50}Ka{\\k50}ra {\\kf60}oke{\\k0}{\\K40}!"))
    assert cue.text == "Kara oke!"
    assert said(cue) == [(1.0, 2.0, "Kara"), (2.0, 3.0, "oke!")]


def test_webvtt_times_are_word_times() -> None:
    (cue,) = read(
        "WEBVTT\n\n00:01.000 --> 00:04.000\none <00:02.000>two three<00:03.000><c> x</c>\n"
    )
    assert said(cue) == [(1.0, 2.0, "one"), (2.0, 2.375, "two"), (2.375, 3.0, "three"), (3, 4, "x")]


def test_each_voice_has_its_word_times() -> None:
    one, other = read(
        "WEBVTT\n\n00:01.000 --> 00:04.000\n<v A>x <00:02.000>y <v B><00:03.000>z w\n"
    )
    assert said(one) == [(1.0, 1.667, "A:"), (1.667, 2.0, "x"), (2.0, 4.0, "y")]
    assert (other.text, other.words[-1].end_s) == ("B: z w", 4.0)


def test_times_that_run_backwards_or_away_stay_in_the_cue() -> None:
    (cue,) = read("WEBVTT\n\n00:01.000 --> 00:02.000\na <00:09.000>b <00:01.500>c\n")
    assert [word.text for word in cue.words] == ["a", "b", "c"]
    at = [time for word in cue.words for time in (word.start_s, word.end_s)]
    assert at == sorted(at)
    assert 1.0 <= at[0] <= at[-1] <= 2.0


@given(
    st.lists(st.text(alphabet="ab\u00e9\u6f22 ", min_size=1, max_size=8), min_size=1, max_size=8),
    st.lists(st.integers(0, 300), min_size=8, max_size=8),
)
def test_words_line_up_with_the_text(syllables: list[str], lengths: list[int]) -> None:
    pairs = zip(syllables, lengths, strict=False)
    text, marks = plain("".join(f"{{\\k{n}}}{each}" for each, n in pairs), "ass", 5.0)
    words = timed_words(text, marks, 5.0, 9.0)
    assert [word.text for word in words] in ([], text.split())
    at = [time for word in words for time in (word.start_s, word.end_s)]
    assert at == sorted(at)
    assert all(5.0 <= time_s <= 9.0 for time_s in at)


# ---- captions that roll ----

YOUTUBE = """WEBVTT
Kind: captions

00:00:00.000 --> 00:00:02.000 align:start position:0%
\x20
hello<00:00:00.500><c> world</c>

00:00:02.000 --> 00:00:02.010 align:start position:0%
hello world
\x20

00:00:02.010 --> 00:00:04.000 align:start position:0%
hello world
this<00:00:03.000><c> is</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
this is
\x20

00:00:04.010 --> 00:00:06.000 align:start position:0%
this is
rolling
"""


def test_each_word_of_rolling_captions_comes_once() -> None:
    cues = read(YOUTUBE)
    assert times(cues) == [(0, 2, "hello world"), (2.01, 4, "this is"), (4.01, 6, "rolling")]
    assert said(cues[1]) == [(2.01, 3.0, "this"), (3.0, 4.0, "is")]


def test_captions_that_grow_are_unrolled() -> None:
    cues = read(srt("I", "I think", "I think so", "I think so\nbut", "but no"))
    assert [cue.text for cue in cues] == ["I", "think", "so", "but", "no"]


def test_a_refrain_is_no_rolling_caption() -> None:
    song = ["la la\noh", "oh\nyes", "one", "two", "three", "four", "five"]
    assert [cue.text for cue in read(srt(*song))] == [line.replace("\n", " ") for line in song]


def test_repeated_lines_after_a_pause_stay() -> None:
    text = srt("a", "a\nb", "b\nc") + "9\n00:00:09,000 --> 00:00:10,000\nc\n"
    assert [cue.text for cue in read(text)] == ["a", "b", "c", "c"]


def test_two_lines_that_recur_do_not_make_captions_roll() -> None:
    song = ["one", "oh", "oh\nyes", "two", "three", "la", "la\nno", "four", "five", "six"]
    assert [cue.text for cue in read(srt(*song))] == [line.replace("\n", " ") for line in song]


def test_only_flashes_of_one_text_that_touch_are_one_cue() -> None:
    def at(*spans: tuple[float, float]) -> Times:
        raw = [RawCue(start_s, end_s, "No!", []) for start_s, end_s in spans]
        return times(tidy(raw, Extent(0.0, None))[0])

    assert at((1, 1.2), (1.2, 1.4), (1.44, 1.6)) == [(1, 1.6, "No!")]
    assert len(at((1, 1.2), (1.5, 1.7))) == 2
    assert len(at((1, 2), (2, 3))) == 2


def test_a_cue_without_an_end_is_shown_as_long_as_reading_takes() -> None:
    cues = tidy([RawCue(1.0, None, "x" * 30, []), RawCue(2.5, None, "y", [])], Extent(0, None))[0]
    assert times(cues) == [(1.0, 2.5, "x" * 30), (2.5, 3.5, "y")]
    (alone,), _ = tidy([RawCue(1.0, None, "x" * 30, [])], Extent(0, None))
    assert alone.end_s == 3.0


# ---- the length of the video ----


def test_the_length_that_a_file_states_may_be_a_little_short() -> None:
    cues, notes = tidy([RawCue(9.0, 10.9, "a", []), RawCue(10.5, 12.5, "b", [])], Extent(0, 10.0))
    assert times(cues) == [(9.0, 10.9, "a"), (10.5, 11.5, "b")]
    assert notes == []


def test_what_does_not_fit_is_left_out_and_counted() -> None:
    text = (
        srt("a") + "2\n00:00:09,000 --> 99:00:00,000\nlong\n\n3\n48:00:00,000 --> 48:00:01,000\nx\n"
    )
    cues, notes = tidy(parse(text)[0], Extent(0.0, 10.0))
    assert times(cues) == [(1.0, 1.9, "a"), (9.0, 10.0, "long")]
    assert notes == ["1 cue after the end of the video left out"]


def test_subtitles_of_another_film_are_said_to_be(own: Path) -> None:
    own.with_suffix(".srt").write_text("00:10:00,000 --> 00:10:02,000\nLate\n")
    result = found(own)
    assert result.cues == ()
    assert result.notes == (
        "film.srt was not used: none of its 1 cues lies in the 10 s of the video: they are for"
        " another film",
    )


def test_two_hundred_thousand_cues_are_read() -> None:
    text = "".join(
        f"{n + 1}\n{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d},000 --> "
        f"{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d},900\nline {n}\n\n"
        for n in range(200_000)
    )
    cues = read(text)
    assert len(cues) == 200_000
    assert cues[-1] == Cue(199_999.0, 199_999.9, "line 199999")


# ---- encodings ----

TEXTS = {
    "ru": "Привет, как дела? Это было давно. Мы ждали тебя целый день, капитан.",
    "fr": "Où étiez-vous hier, mon cœur ? Ça m’inquiète : la forêt brûle.",
    "de": "Wo wärst du, wenn es größer wäre? »Über die Straße«, möchte ich.",
    "es": "¿Qué pasó con el señor? ¡Mañana será otro día!",
    "pl": "Cześć, jak się masz? Źle śpię, proszę księdza. Będę później.",
    "cs": "Příliš žluťoučký kůň. Šel ťukat, dobrý den.",
    "el": "Καλημέρα, τι κάνεις; Δεν ξέρω πού είναι ο πατέρας μου.",
    "tr": "Nasılsın? Çok güzel bir gün değil mi, şimdi gidiyoruz.",
    "he": "שלום, מה שלומך היום? אני לא יודע איפה הוא.",
    "zh": "你好，今天怎么样？我们去看电影吧。他没有告诉我这件事。",
    "ja": "こんにちは、元気ですか？映画を見に行きましょう。",
    "ko": "안녕하세요, 오늘 어떠세요? 영화 보러 갑시다.",
}
ENCODINGS = [
    *[("ru", name) for name in ("cp1251", "koi8-r", "iso8859-5", "cp866")],
    *[("de", "cp1252"), ("de", "iso8859-1"), ("fr", "cp1252"), ("fr", "iso8859-15")],
    *[("es", "cp1252"), ("pl", "cp1250"), ("pl", "iso8859-2"), ("cs", "cp1250")],
    *[("cs", "iso8859-2"), ("el", "cp1253"), ("el", "iso8859-7"), ("tr", "cp1254")],
    *[("tr", "iso8859-9"), ("he", "cp1255"), ("zh", "gb18030"), ("zh", "gbk"), ("zh", "utf-8")],
    *[
        ("ja", "shift_jis"),
        ("ja", "euc-jp"),
        ("ko", "euc-kr"),
        ("ko", "cp949"),
        ("fr", "utf-8-sig"),
    ],
    *[
        ("ru", "utf-16"),
        ("ja", "utf-16"),
        ("fr", "utf-16-le"),
        ("fr", "utf-16-be"),
        ("de", "utf-32"),
    ],
]


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_the_encoding_is_found(language: str, encoding: str) -> None:
    # French as it is typed where the encoding has no such quote.
    text = srt(*TEXTS[language].replace("’", "'" if "8859" in encoding else "’").split(". "))
    data = text.encode(encoding)
    assert decode(data) == data.decode(encoding).removeprefix("\ufeff")


def test_a_few_bad_bytes_do_not_change_the_encoding() -> None:
    data = srt(*["naïve café"] * 20, "it\x92s").encode().replace("\x92".encode(), b"\x92")
    assert decode(data) == srt(*["naïve café"] * 20, "it’s")


def test_binary_garbage_is_no_text() -> None:
    data = np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes()
    with pytest.raises(UnreadableSubtitlesError, match="not text"):
        decode(data)


# ---- which source ----


def test_a_video_without_subtitles_has_none(own: Path) -> None:
    assert found(own) == Transcript(())


@pytest.mark.parametrize(
    ("name", "language"),
    [
        *[("film.srt", ""), ("film.vtt", ""), ("film.SRT", ""), ("film.mkv.srt", "")],
        *[("film.en.srt", "en"), ("film.eng.forced.srt", "en"), ("film.pt-BR.srt", "pt")],
        *[("film.German.srt", "de"), ("film.hi.srt", "hi"), ("film.en.hi.srt", "en")],
        *[("subs/film.srt", ""), ("Subs/film.fr.srt", "fr"), ("subtitles/2_English.srt", "en")],
        ("Subs/film/3_Deutsch.srt", "de"),
    ],
)
def test_files_beside_a_video_are_found(own: Path, name: str, language: str) -> None:
    path = own.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("WEBVTT\n\n" + SRT.replace(",", ".") if name.endswith("vtt") else SRT)
    result = found(own)
    assert times(result.cues) == HELLO
    assert (result.language, result.origin) == (language, path.name)


@pytest.mark.parametrize(
    "name", ["film2.srt", "film.part2.srt", "other.srt", "film.txt", "subs/x.srt"]
)
def test_files_of_other_videos_are_left_alone(own: Path, name: str) -> None:
    path = own.parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(SRT)
    assert found(own) == Transcript(())


def test_a_language_file_in_subs_is_nobodys_where_there_are_two_videos(own: Path) -> None:
    (own.parent / "subs").mkdir()
    (own.parent / "subs" / "English.srt").write_text(SRT)
    shutil.copy(own, own.with_name("other.mkv"))
    assert found(own) == Transcript(())


def test_one_language_is_taken_and_the_others_are_named(own: Path) -> None:
    for language in ("de", "en", "fr"):
        own.with_suffix(f".{language}.srt").write_text(srt(f"in {language}"))
    assert found(own).cues[0].text == "in de"
    result = found(own, language="en")
    assert (result.cues[0].text, result.language) == ("in en", "en")
    assert result.notes == (
        "film.en.srt was taken; others (subtitles.language): film.de.srt, film.fr.srt",
    )
    missing = found(own, language="it")
    assert missing.cues == ()
    assert missing.notes == ("there are no subtitles in it; there are some in de, en, fr",)


def test_forced_subtitles_come_last(own: Path, tmp_path: Path) -> None:
    own.with_suffix(".en.forced.srt").write_text(srt("forced"))
    own.with_suffix(".en.srt").write_text(srt("all"))
    assert found(own).cues[0].text == "all"


def test_streams_have_the_clock_of_the_video(own: Path, tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\n<i>Hallo</i>\ndu\n\n")
    (tmp_path / "b.vtt").write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Hi <00:01.500>you\n\n"
    )
    (tmp_path / "c.ass").write_text(ass("{\\k100}Sal{\\k100}ut"))
    files = [
        (tmp_path / name, told)
        for name, told in (("a.srt", "ger"), ("b.vtt", "eng"), ("c.ass", "fre"))
    ]
    video = mux(own, tmp_path / "muxed.mkv", *files)
    german, english, french = (found(video, language=code) for code in ("de", "en", "fr"))
    assert times(german.cues) == [(1.0, 2.0, "Hallo du")]
    assert german.origin == "subtitle stream 0 (de, subrip)"
    assert times(english.cues) == [(1.0, 2.0, "Ann: Hi you")]
    assert said(english.cues[0])[-1] == (1.5, 2.0, "you")
    assert times(french.cues) == [(1.0, 3.0, "Salut")]
    assert found(video) == german
    assert len(german.notes) == 1


def test_files_win_over_streams_unless_they_are_damaged(own: Path, tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(srt("inside"))
    video = mux(own, tmp_path / "muxed.mkv", (tmp_path / "a.srt", "eng"))
    beside = tmp_path / "muxed.srt"
    beside.write_text(srt("beside"))
    assert found(video).cues[0].text == "beside"
    assert found(video, source="inside").cues[0].text == "inside"
    assert found(video, source="none") == Transcript(())
    beside.write_bytes(bytes(range(256)) * 40)
    result = found(video)
    assert result.cues[0].text == "inside"
    assert result.notes == ("muxed.srt was not used: not text",)
    assert found(video, source="beside").cues == ()


def test_a_second_stream_is_read_where_the_first_is_for_another_film(
    own: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.srt").write_text("1\n00:20:00,000 --> 00:20:01,000\nlate\n\n")
    (tmp_path / "b.srt").write_text(srt("mine"))
    files = [(tmp_path / "a.srt", "eng"), (tmp_path / "b.srt", "eng")]
    result = found(mux(own, tmp_path / "muxed.mkv", *files))
    assert result.cues[0].text == "mine"
    assert "another film" in result.notes[0]


def test_a_file_beside_counts_from_the_start_of_the_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "late.mkv", range(7000, 12_000, 200))
    video.with_suffix(".srt").write_text(SRT)
    assert times(found(video, 5.0).cues) == [(8.0, 9.5, "Hello there."), (10.0, 11.0, "Bye.")]
    video.with_suffix(".srt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\na <00:01.500>b\n")
    assert said(found(video, 5.0).cues[0]) == [(8.0, 8.5, "a"), (8.5, 9.0, "b")]


def test_a_file_that_is_named_is_the_only_source(own: Path, tmp_path: Path) -> None:
    own.with_suffix(".srt").write_text(srt("beside"))
    given_file = tmp_path / "any.name.txt"
    given_file.write_text(srt("given"))
    assert found(own, file=str(given_file)).cues[0].text == "given"
    with pytest.raises(OptionError, match="no such file"):
        found(own, file=str(tmp_path / "missing.srt"))
    with pytest.raises(OptionError, match="a folder"):
        found(own, file=str(tmp_path))
    given_file.write_text("nothing")
    with pytest.raises(VideoError, match="no subtitles in it; expected"):
        found(own, file=str(given_file))


def test_the_fingerprint_is_of_the_content(own: Path) -> None:
    beside = own.with_suffix(".srt")
    prints = []
    for text in (
        SRT,
        SRT.replace("\n", "\r\n"),
        SRT.replace("Bye", "By"),
        SRT.replace(",500", ",501"),
    ):
        beside.write_text(text)
        prints.append(found(own).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    beside.write_text(SRT)
    english = beside.rename(own.with_suffix(".en.srt"))
    assert english.exists()
    assert found(own).fingerprint not in prints


def test_a_file_that_is_too_large_is_left_alone(own: Path) -> None:
    beside = own.with_suffix(".srt")
    beside.write_text(SRT)
    with beside.open("r+b") as file:
        file.truncate(65 * 2**20)
    assert found(own).notes == ("film.srt was not used: larger than 64 MiB",)


def test_a_folder_of_pictures_may_have_subtitles_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (tmp_path / "frames.srt").write_text(SRT)
    assert times(found(folder).cues) == HELLO


def test_a_damaged_container_loses_only_what_is_damaged(own: Path, tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(srt(*[f"line {n}" for n in range(8)]))
    video = mux(own, tmp_path / "muxed.mkv", (tmp_path / "a.srt", "eng"))
    data = bytearray(video.read_bytes())
    whole = found(video).cues
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    video.write_bytes(data)
    kept = found(video).cues
    assert 0 < len(kept) <= len(whole) == 8
    assert set(kept) <= set(whole)


# ---- other containers ----


def ffmpeg(*arguments: object) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg to make the file with")
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def test_mov_text(own: Path, tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(srt("One <i>two</i>\nthree {x} \\ end", "b"))
    out = tmp_path / "muxed.mp4"
    ffmpeg("-i", own, "-i", tmp_path / "a.srt", "-c", "copy", "-c:s", "mov_text", out)
    assert times(found(out).cues) == [(1.0, 1.9, "One two three {x} \\ end"), (2.0, 2.9, "b")]


def test_closed_captions(own: Path, tmp_path: Path) -> None:
    words = "9420 9420 94ae 94ae 9470 9470 c8e5 ecec ef80 942f 942f"
    scc = f"Scenarist_SCC V1.0\n\n00:00:01:00\t{words}\n\n00:00:03:00\t942c 942c\n\n"
    (tmp_path / "a.scc").write_text(scc)
    out = tmp_path / "muxed.mov"
    ffmpeg("-i", own, "-i", tmp_path / "a.scc", "-map", 0, "-map", 1, "-c", "copy", out)
    (cue,) = found(out).cues
    assert (cue.start_s, cue.text) == (1.0, "Hello")


# ---- pictures ----


class Rows(TextReader):
    """Reads the lines of a picture as how wide each is."""

    fingerprint = "rows"

    def __init__(self) -> None:
        self.images: list[UInt8] = []

    def read(self, image: UInt8) -> Sequence[Line]:
        self.images.append(image)
        lit = np.flatnonzero(image.max((1, 2)) > 128)
        bands = np.split(lit, np.flatnonzero(np.diff(lit) > 4) + 1)
        widths = [np.ptp(np.flatnonzero(image[band].max((0, 2)) > 128)) for band in bands]
        return [Line(f"{width} px", Box(0, 0, 1, 1), 1.0) for width in widths]


def test_pictures_are_skipped_with_a_note_or_read(shared_data: Path, tmp_path: Path) -> None:
    video = tmp_path / "popeye.mkv"
    video.symlink_to(shared_data / "videos" / "popeye_1.mkv")
    skipped = found(video, 62.0)
    assert skipped.cues == ()
    assert skipped.notes == (
        "subtitle stream 0 (en, hdmv_pgs_subtitle) was not used: it is pictures, and nothing here"
        " reads pictures",
    )
    reader = Rows()
    cues = find(video, SubtitleOptions(), 62.0, reader=reader).cues
    truth = pysubs2.load(str(shared_data / "videos" / "popeye_1.srt"))
    starts = {round(event.start / 1000, 1): event for event in truth}
    # The file lacks the picture of one of the fourteen lines.
    assert len(cues) == 13
    for cue in cues:
        event = min(truth, key=lambda event: abs(event.start / 1000 - cue.start_s))
        # Times of pictures are those of frames.
        assert abs(event.start / 1000 - cue.start_s) < 1 / 24
        if cue is not cues[-1]:
            assert abs(event.end / 1000 - cue.end_s) < 1 / 24
        assert cue.text.count("px") == event.plaintext.count("\n") + 1
    assert len(starts) == 14
    assert {image.dtype for image in reader.images} == {np.dtype(np.uint8)}


# ---- the real files ----


def spoken(path: Path) -> Times:
    """The cues of a clean file by other code."""
    events = pysubs2.load(str(path), encoding="utf-8-sig")
    return [
        (event.start / 1000, event.end / 1000, " ".join(event.plaintext.split()))
        for event in events
    ]


def real(folder: Path) -> list[Path]:
    return [
        *sorted((folder / "videos").glob("popeye_?.srt")),
        *sorted((folder / "footage" / "words").glob("*.srt")),
    ]


def test_the_real_files_are_read_exactly(shared_data: Path) -> None:
    paths = real(shared_data)
    assert len(paths) >= 9
    for path in paths:
        video = next(
            path.with_suffix(kind) for kind in (".mkv", ".mp4") if path.with_suffix(kind).exists()
        )
        result = find(video, SubtitleOptions(), None)
        assert times(result.cues) == spoken(path), path.name
        assert result.origin == path.name
        assert result.notes == ()


# ---- files that are written ----

text_of_cue = (
    st.text(
        st.characters(exclude_categories=["C", "Z"], exclude_characters="\u2028") | st.just(" "),
        min_size=1,
    )
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**7), st.integers(1100, 9000), text_of_cue),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_again(made: list[tuple[int, int, str]]) -> None:
    at, cues = 0, []
    for gap_ms, length_ms, text in made:
        at += gap_ms + 1000
        cues.append(Cue(at / 1000, (at + length_ms) / 1000, text))
        at += length_ms
    for form in ("srt", "vtt"):
        assert times(read(render(cues, form))) == times(cues)


@pytest.mark.parametrize("form", ["srt", "vtt"])
@pytest.mark.parametrize(
    "text",
    [
        "a <b> & c",
        "{x} \\ y",
        "&amp; &lt;",
        "1",
        "<i>",
        "-->",
        "a --> b",
        "<v Ann>",
        *("\\\\N \\\\H \\\\h", "{\\\\an8} {y:i} C:\\\\New"),
        "<3 R&B",
    ],
)
def test_marks_in_a_text_are_text(form: str, text: str) -> None:
    cues = [Cue(1.0, 2.0, text), Cue(400_000.0, 400_001.0, "late")]
    assert times(read(render(cues, form))) == times(cues)


def test_words_are_written_with_their_times(tmp_path: Path) -> None:
    words = (Word(1.0, 1.5, "one"), Word(1.5, 2.25, "two"), Word(2.25, 3.0, "<3"))
    cue = Cue(1.0, 3.0, "one two <3", words)
    assert read(render([cue], "vtt"))[0].words == words
    assert render([cue], "json") == (
        '[\n {\n  "start_s": 1.0,\n  "end_s": 3.0,\n  "text": "one two <3",\n  "words": [\n'
        '   {\n    "start_s": 1.0,\n    "end_s": 1.5,\n    "text": "one"\n   },\n'
        '   {\n    "start_s": 1.5,\n    "end_s": 2.25,\n    "text": "two"\n   },\n'
        '   {\n    "start_s": 2.25,\n    "end_s": 3.0,\n    "text": "<3"\n   }\n  ]\n }\n]\n'
    )
    assert render([cue], "txt") == "one two <3\n"


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_written_by_its_suffix(form: str, tmp_path: Path) -> None:
    cues = [Cue(1.0, 2.0, "né")]
    write(cues, tmp_path / f"a.{form.upper()}")
    assert (tmp_path / f"a.{form.upper()}").read_text("utf-8") == render(cues, form)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"expected \.srt, \.vtt, \.txt, \.json"):
        write([], tmp_path / "a.docx")
    with pytest.raises(OptionError, match="expected one of srt"):
        render([], "docx")


def test_nothing_is_written_over_the_subtitles_of_a_video(own: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (tmp_path / "subs").mkdir()
    named = tmp_path / "words.srt"
    read_too = [own.with_suffix(".srt"), tmp_path / "film.en.vtt", tmp_path / "subs" / "en.srt"]
    for path in (named, *read_too):
        path.write_text(srt(HELLO))
    link = tmp_path / "link.srt"
    link.symlink_to(read_too[0])
    video = seal.open(store).index(own, options={"subtitles.file": str(named)}, jobs=1)
    before = {path: path.read_bytes() for path in (named, *read_too)}
    for path in (named, *read_too, link):
        for command in (
            ["transcribe", str(own)],
            ["chapters", str(own)],
            ["export", str(own), "a ball"],
            ["export", "--all", "a ball"],
        ):
            refused = CliRunner().invoke(main, [*command, "-o", str(path), "--store", str(store)])
            assert refused.exit_code == 1, (command, path)
            assert "would be written over" in refused.stderr
        with pytest.raises(OptionError, match="would be written over"):
            video.export("a ball", path)
    assert {path: path.read_bytes() for path in before} == before
    for name in ("film.transcript.srt", "other.srt", "film.txt"):
        command = ["transcribe", str(own), "-o", str(tmp_path / name), "--store", str(store)]
        # A file of one's own is written anew.
        for _ in range(2):
            assert CliRunner().invoke(main, command).exit_code == 0, name
    assert found(own).origin == "film.srt"
