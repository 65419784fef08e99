"""Text tokens: one for text that stays, with its words, its place and its time.

With a real reader on small generated films; what depends on what the reader says and not on
pictures is tested with a reader that says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.config import Options, TextOptions
from seal.decompose import Draft, lettering, lines, writing
from seal.decompose.lettering import Look
from seal.decompose.shots import Shots
from seal.decompose.writing import Writing
from seal.ingest import index
from seal.kinds import TEXT
from seal.store import Store
from seal.types import Box, UInt8, pairwise_iou
from seal.video import Frame, open_video
from seal.words import Line, TextReader, alike
from seal.words.cue import load_reader
from seal.words.layout import paragraphs, reading_order
from slides import Written, credit, moving, plain, ticker, write_slides

SIZE = (640, 360)
TICK = Fraction(1, 1000)


@pytest.fixture(scope="module")
def reader() -> TextReader:
    pytest.importorskip("rapidocr", reason="needs the [read] extra")
    loaded = load_reader(Options.load("mini", ["read.backend=rapidocr"]).read)
    assert loaded is not None
    return loaded


class Read:
    """The text tokens of a film, with times in seconds."""

    def __init__(self, drafts: Iterable[Draft], tick: Fraction, pictures: int) -> None:
        found = sorted(drafts, key=lambda draft: (draft.pts, draft.box))
        self.drafts = found
        self.texts = [draft.text for draft in found]
        self.spans = [tuple(float(pts * tick) for pts in draft.pts) for draft in found]
        self.pictures = pictures


def run(path: Path, reader: TextReader, **named: Any) -> Read:
    options = TextOptions(**named)
    with open_video(path, Options().video, threads=1) as video:
        made, shots, drafts = Writing(options, reader), Shots(), []
        for frame in video.frames():
            drafts += made.push(frame, shots.push(frame))
        return Read(drafts + made.end(), video.info.time_base, made.pictures_read)


def letters(text: str) -> str:
    return alike.plain(text)


def near(span: tuple[float, ...], start_s: float, end_s: float, within_s: float = 0.45) -> bool:
    return abs(span[0] - start_s) <= within_s and abs(span[1] - end_s) <= within_s


# ---- with the real reader ----


def test_a_slide_is_a_token_of_its_time_and_place(tmp_path: Path, reader: TextReader) -> None:
    first = Written("Silver mountain", 60, 60, 40, 1.0, 3.2)
    second = Written("Copper river", 200, 220, 40, 3.2, 5.0)
    read = run(write_slides(tmp_path / "a.mp4", [first, second], 6.0, SIZE), reader)
    assert [letters(text) for text in read.texts] == [letters(first.text), letters(second.text)]
    for line, span, draft in zip((first, second), read.spans, read.drafts, strict=True):
        assert near(span, line.start_s, line.end_s, 0.21)
        assert pairwise_iou([draft.box], [Box(*line.box(SIZE))])[0, 0] > 0.5
        assert draft.kind is TEXT
        assert draft.score > 0.8
        (shown,) = draft.shown
        assert draft.pts[0] <= shown < draft.pts[1]
    # One at the start, one for each change, at most.
    assert read.pictures <= 5


def test_lines_of_a_paragraph_are_one_text(tmp_path: Path, reader: TextReader) -> None:
    rows = ["The river runs", "below the castle", "into the ocean"]
    shown = [Written(text, 60, 60 + 40 * i, 30, 0.6, 3.0) for i, text in enumerate(rows)]
    far = Written("Elsewhere", 400, 290, 30, 0.6, 3.0)
    read = run(write_slides(tmp_path / "a.mp4", [*shown, far], 3.6, SIZE), reader)
    assert sorted(map(letters, read.texts)) == sorted([letters(" ".join(rows)), "elsewhere"])


def test_a_picture_that_stays_is_read_once(tmp_path: Path, reader: TextReader) -> None:
    line = Written("Nothing happens", 60, 60, 40, 0.0, 9.0)
    read = run(write_slides(tmp_path / "a.mp4", [line], 8.0, SIZE), reader, interval_s=0.5)
    assert [letters(text) for text in read.texts] == ["nothlnghappens"]
    assert near(read.spans[0], 0.0, 8.0, 0.2)
    assert read.pictures <= 2


def test_a_caption_on_a_moving_picture(tmp_path: Path, reader: TextReader) -> None:
    shown = [
        Written("Where are you going", 120, 300, 34, 0.6, 2.8, (255, 255, 255)),
        Written("Home to the island", 120, 300, 34, 2.8, 5.0, (255, 255, 255)),
    ]
    path = write_slides(tmp_path / "a.mp4", shown, 5.6, SIZE, background=moving(SIZE, 3, 40))
    read = run(path, reader)
    assert [letters(text) for text in read.texts] == [letters(line.text) for line in shown]
    assert all(near(s, x.start_s, x.end_s) for s, x in zip(read.spans, shown, strict=True))


def test_a_logo_stays_one_token_over_cuts(tmp_path: Path, reader: TextReader) -> None:
    logo = Written("SEAL TV", 500, 20, 28, 0.0, 9.0)
    grounds = [plain(SIZE, (90, 20, 20)), moving(SIZE, 1, 30), plain(SIZE, (10, 80, 90))]
    path = write_slides(
        tmp_path / "a.mp4", [logo], 7.5, SIZE, background=lambda t: grounds[int(t / 2.5)](t)
    )
    read = run(path, reader)
    assert [letters(text) for text in read.texts] == [letters("SEALTV")]
    assert near(read.spans[0], 0.0, 7.5, 0.2)


def test_text_that_comes_back_is_two_tokens(tmp_path: Path, reader: TextReader) -> None:
    shown = [
        Written("Chapter seven", 100, 150, 40, 0.6, 2.2),
        Written("Chapter seven", 100, 150, 40, 4.4, 6.0),
    ]
    read = run(write_slides(tmp_path / "a.mp4", shown, 6.6, SIZE), reader)
    assert len(read.texts) == 2
    assert all(near(s, x.start_s, x.end_s) for s, x in zip(read.spans, shown, strict=True))


def test_a_number_that_changes_is_another_text(tmp_path: Path, reader: TextReader) -> None:
    shown = [Written(f"Page number {n}", 100, 150, 40, 1.5 * n, 1.5 * n + 1.5) for n in range(3)]
    read = run(write_slides(tmp_path / "a.mp4", shown, 4.5, SIZE), reader)
    assert [text[-1] for text in read.texts] == ["0", "1", "2"]
    assert all(near(s, x.start_s, x.end_s) for s, x in zip(read.spans, shown, strict=True))


def test_a_list_that_grows_is_one_token_for_each_step(tmp_path: Path, reader: TextReader) -> None:
    shown = [
        Written(text, 80, 60 + 70 * i, 34, 0.4 + 1.4 * i, 5.0)
        for i, text in enumerate(["First the kettle", "Then the lemon", "Last a napkin"])
    ]
    read = run(write_slides(tmp_path / "a.mp4", shown, 5.4, SIZE), reader)
    assert [letters(text) for text in read.texts] == [letters(line.text) for line in shown]
    assert all(near(s, x.start_s, x.end_s) for s, x in zip(read.spans, shown, strict=True))


def test_slides_that_fade_into_each_other_are_not_mixed(tmp_path: Path, reader: TextReader) -> None:
    shown = [
        Written("Walnut basket candle", 80, 150, 40, -1.0, 3.0, fade_s=1.0),
        Written("Orange ladder needle", 80, 150, 40, 3.0, 9.0, fade_s=1.0),
    ]
    read = run(write_slides(tmp_path / "a.mp4", shown, 6.0, SIZE), reader)
    assert [letters(text) for text in read.texts] == [letters(line.text) for line in shown]
    assert near(read.spans[0], 0.0, 3.0, 0.6)
    assert near(read.spans[1], 3.0, 6.0, 0.6)


def test_credits_are_followed(tmp_path: Path, reader: TextReader) -> None:
    shown = [
        credit(text, 200, 28, 0.5 + 0.9 * i, 90, SIZE[1])
        for i, text in enumerate(["Anna Wagon", "Peter Saddle", "Maria Quartz"])
    ]
    path = write_slides(tmp_path / "a.mp4", shown, 7.4, SIZE, background=plain(SIZE, (0, 0, 0)))
    read = run(path, reader)
    assert [letters(text) for text in read.texts] == [letters(line.text) for line in shown]
    for span, line in zip(read.spans, shown, strict=True):
        assert near(span, line.start_s, line.end_s, 1.0)


def test_a_ticker_is_one_text(tmp_path: Path, reader: TextReader) -> None:
    line = ticker(
        "Copper prices rise as the harbour opens again after the storm", 300, 32, 0.4, 170, SIZE[0]
    )
    path = write_slides(tmp_path / "a.mp4", [line], line.end_s + 0.4, SIZE)
    read = run(path, reader)
    assert len(read.texts) == 1
    assert alike.similarity(read.texts[0], line.text) > 0.85
    assert near(read.spans[0], line.start_s, line.end_s, 1.0)


def test_a_film_without_text_has_no_tokens(tmp_path: Path, reader: TextReader) -> None:
    path = write_slides(tmp_path / "a.mp4", [], 3.0, SIZE, background=moving(SIZE, 2, 60))
    read = run(path, reader)
    assert read.texts == []
    # One at the start, one for each interval.
    assert read.pictures <= 6


@pytest.mark.parametrize("folder", [False, True], ids=["film", "images"])
def test_a_video_is_indexed_with_its_text(tmp_path: Path, reader: TextReader, folder: bool) -> None:
    line = Written("Silver mountain", 60, 60, 40, 0.0, 9.0)
    path = write_slides(tmp_path / "a.mp4", [line], 2.0, SIZE)
    if folder:
        pictures = tmp_path / "pictures"
        pictures.mkdir()
        with av.open(str(path)) as container:
            for number, picture in enumerate(container.decode(video=0)):
                if number < 3:
                    picture.to_image().save(pictures / f"{number}.png")
        path = pictures
    store = Store(tmp_path / "store", create=True)
    record = index(path, store, Options.load("mini", ["read.backend=rapidocr"]))
    tokens = store.tokens(record.id)
    words = tokens.take(tokens.kinds == TEXT.name)
    assert [letters(text) for text in words.text] == [letters(line.text)]
    assert np.linalg.norm(words.embeddings) == pytest.approx(1, abs=1e-5)
    assert words.start_s[0] == 0
    assert words.end_s[0] == pytest.approx(3.0 if folder else 2.0, abs=0.2)
    (jpeg,) = store.pictures(record.id, words)
    assert jpeg.startswith(b"\xff\xd8")


# ---- with a reader that says what it is told ----


class Told(TextReader):
    """Says the line that the picture's brightest letters stand for."""

    fingerprint = "told"

    def __init__(self, *said: Sequence[Line]) -> None:
        self.said = list(said)
        self.count = 0

    def read(self, image: UInt8) -> Sequence[Line]:
        self.count += 1
        return self.said[min(self.count, len(self.said)) - 1]


BOX = Box(0.1, 0.4, 0.7, 0.55)


def noisy(seed: int, box: Box = BOX, level: int = 200) -> UInt8:
    """A picture with something like letters in a box."""
    image = np.full((256, 456, 3), 40, np.uint8)
    x0, x1, y0, y1 = (round(v) for v in (456 * box.x0, 456 * box.x1, 256 * box.y0, 256 * box.y1))
    marks = np.random.default_rng(seed).random(((y1 - y0) // 3 + 1, (x1 - x0) // 3 + 1)) < 0.4
    marks = np.kron(marks, np.ones((3, 3), bool))[: y1 - y0, : x1 - x0]
    image[y0:y1, x0:x1][marks] = level
    return image


def play(made: Writing, pictures: Sequence[UInt8]) -> Read:
    """Five a second."""
    drafts, shots = [], Shots()
    for i, image in enumerate(pictures):
        frame = Frame(image, 200 * i, 200 * i + 40, TICK, i == 0)
        drafts += made.push(frame, shots.push(frame))
    return Read(drafts + made.end(), TICK, made.pictures_read)


def moved(image: UInt8, i: int) -> UInt8:
    """With something that changes elsewhere, so that pictures are not at rest."""
    image = image.copy()
    image[200:, 7 * i % 400 : 7 * i % 400 + 50] = 150
    return image


def test_a_reading_that_jitters_is_one_token_of_the_surest() -> None:
    said = [
        [Line("R0OM 101", BOX, 0.7)],
        [Line("ROOM 101", BOX, 0.95)],
        [Line("ROOM lOl", BOX, 0.6)],
        [Line("RO0M 101", BOX, 0.8)],
    ]
    made = Writing(TextOptions(), Told(*said))
    read = play(made, [moved(noisy(1), i) for i in range(50)])
    assert made.pictures_read >= 4
    assert read.texts == ["ROOM 101"]
    assert read.spans == [(0.0, 9.84)]


def test_a_line_that_one_reading_misses_goes_on() -> None:
    line = [Line("Some words", BOX, 0.9)]
    made = Writing(TextOptions(), Told(line, [], line, [], line))
    read = play(made, [moved(noisy(1), i) for i in range(60)])
    assert made.pictures_read >= 5
    assert read.spans == [(0.0, 11.84)]


def test_a_text_that_most_readings_miss_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    line = [Line("Some words", BOX, 0.9)]
    pictures = [moved(noisy(1), i) for i in range(60)]
    assert play(Writing(TextOptions(), Told(line, [])), pictures).texts == []
    monkeypatch.setattr(writing, "_READ_AGAIN", 0.0)
    assert play(Writing(TextOptions(), Told(line, [])), pictures).texts == ["Some words"]


def test_what_is_read_once_must_be_read_surely(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [noisy(1)] * 5 + [noisy(1, level=40)] * 5

    def read(score: float) -> list[str]:
        return play(Writing(TextOptions(), Told([Line("Hm", BOX, score)], [])), pictures).texts

    assert read(0.65) == []
    assert read(0.9) == ["Hm"]
    monkeypatch.setattr(writing, "_SURE", 0.0)
    assert read(0.65) == ["Hm"]


def test_lines_below_the_least_score_and_without_letters_are_dropped() -> None:
    lines_ = [Line("unsure", BOX, 0.4), Line("* - •", Box(0.1, 0.1, 0.3, 0.2), 0.99)]
    assert play(Writing(TextOptions(), Told(lines_)), [noisy(1)] * 5).texts == []
    read = play(
        Writing(TextOptions(min_score=0.3), Told(lines_[:1] * 1)),
        [moved(noisy(1), i) for i in range(20)],
    )
    assert read.texts == ["unsure"]


def test_how_many_pictures_are_read_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that changes all the time is read twice in an interval, not five times a second."""
    said = [[Line(f"Number {n}{n}{n}", BOX, 0.9)] for n in range(500)]
    pictures = [noisy(i // 2) for i in range(300)]
    made = Writing(TextOptions(), Told(*said))
    play(made, pictures)
    most = 2 * 60 / TextOptions().interval_s + writing._SAVED + 1
    assert 60 / TextOptions().interval_s / 2 < made.pictures_read <= most
    monkeypatch.setattr(writing, "_SAVED", 1e9)
    unbounded = Writing(TextOptions(), Told(*said))
    play(unbounded, pictures)
    assert unbounded.pictures_read > most


def test_a_picture_at_rest_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [noisy(1)] * 3 + [noisy(2), noisy(3)] + [noisy(4)] * 5
    times: list[float] = []
    read = Writing._read

    def timed(self: Writing, frame: Frame, look: Look) -> list[Draft]:
        times.append(look.time_s)
        return read(self, frame, look)

    monkeypatch.setattr(Writing, "_read", timed)
    play(Writing(TextOptions(), Told([])), pictures)
    assert times == [0.0, 1.2]
    times.clear()
    monkeypatch.setattr(writing, "_SETTLES_S", 0.0)
    play(Writing(TextOptions(), Told([])), pictures)
    assert times[1] < 1.2


def test_memory_is_bounded() -> None:
    """What is kept of frames is what `_REMEMBERED` intervals have."""
    made = Writing(TextOptions(), Told([]))
    play(made, [moved(noisy(1), i) for i in range(300)])
    assert len(made._looks) <= 5 * writing._REMEMBERED * TextOptions().interval_s + 1


def test_decoded_pictures_are_asked_for_only_to_be_read() -> None:
    asked: list[int] = []

    def enlarge(px: int) -> UInt8:
        asked.append(px)
        return np.zeros((px, px, 3), np.uint8)

    made = Writing(TextOptions(short_side_px=500), Told([]))
    for i in range(20):
        made.push(Frame(noisy(1), 200 * i, 200 * i + 200, TICK, False, (), enlarge), False)
    assert asked == [500] * made.pictures_read
    assert made.pictures_read == 1


def test_parts_are_made_from_their_frames_alone() -> None:
    pictures = [moved(noisy(i // 20), i) for i in range(60)]
    said = [[Line("Word", BOX, 0.9)]]
    first = play(Writing(TextOptions(), Told(*said)), pictures)
    again = play(Writing(TextOptions(), Told(*said)), pictures)
    assert (first.texts, first.spans) == (again.texts, again.spans)


# ---- what is compared ----


def look(image: UInt8, at: int = 0) -> Look:
    return Look.of(Frame(image, at, at + 1, Fraction(1, 5), False))


def test_a_patch_tells_how_much_of_a_text_is_there() -> None:
    patch = lettering.Patch(look(noisy(1)), BOX)
    assert patch.compare(look(noisy(1))).opacity == pytest.approx(1, abs=1e-4)
    assert patch.compare(look(noisy(1, level=120))).opacity == pytest.approx(0.5, abs=0.05)
    assert abs(patch.compare(look(noisy(1, level=40))).opacity) < 0.05
    assert abs(patch.compare(look(noisy(2))).opacity) < 0.3
    shifted = np.roll(noisy(1), (9, -14), (0, 1))
    x, y, fit = patch.find(look(shifted), patch.x0, patch.y0, (16, 10))
    assert (x - patch.x0, y - patch.y0) == (-14, 9)
    assert fit > 0.95


def test_a_patch_at_the_edge_is_compared_with_nothing_outside() -> None:
    box = Box(0.0, 0.4, 0.6, 0.55)
    patch = lettering.Patch(look(noisy(1, box)), box)
    half = np.roll(noisy(1, box), -patch.width // 2, 1)
    half[:, 456 // 2 :] = 40
    assert patch.compare(look(half), -patch.width // 2).opacity == pytest.approx(0.5, abs=0.1)


def test_one_letter_that_changes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = noisy(1), noisy(1)
    x = round(456 * 0.4)
    after[100:142, x : x + 24] = noisy(5)[100:142, x : x + 24]
    comparison = lettering.Patch(look(before), BOX).compare(look(after))
    assert comparison.opacity > 0.85
    assert comparison.weakest < lines._THERE
    # In cells as wide as the line nothing would be seen.
    monkeypatch.setattr(lettering, "_CELL_PX", 10_000)
    assert lettering.Patch(look(before), BOX).compare(look(after)).weakest > lines._THERE


def test_noise_is_no_change_and_letters_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ground = np.full((256, 456, 3), 90, np.uint8)
    one, other = (
        (ground + rng.normal(0, 2, (256, 456, 1))).clip(0, 255).astype(np.uint8) for _ in range(2)
    )
    small = Box(0.4, 0.4, 0.5, 0.45)
    assert look(one).is_like(look(other))
    assert not look(noisy(1, small)).is_like(look(noisy(1, small, level=40)))
    monkeypatch.setattr(lettering, "_STILL", 0.5)
    assert not look(one).is_like(look(other))


def test_letters_appear_when_they_are_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    empty, word = look(noisy(1, level=40)).stroke_shares(), look(noisy(1))
    assert lettering.appeared(word.stroke_shares(word), empty)
    # What moves may be anything.
    on_its_way = look(np.roll(noisy(1), 7, 1))
    assert (word.stroke_shares(on_its_way) < word.stroke_shares(word)).any()
    steady = float(word.stroke_shares(on_its_way).sum() / word.stroke_shares(word).sum())
    assert steady < 0.6
    monkeypatch.setattr(lettering, "_STEADY", 1e9)
    assert word.stroke_shares(on_its_way).sum() == word.stroke_shares(word).sum()


def test_larger_analysed_pictures_are_compared_at_the_same_size() -> None:
    import cv2

    large = cv2.resize(noisy(1), (912, 512), interpolation=cv2.INTER_NEAREST)
    assert look(large).grey.shape == look(noisy(1)).grey.shape
    assert look(np.zeros((8, 12, 3), np.uint8)).grey.shape == (8, 12)


# ---- texts ----


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("HELLO W0RLD", "Hello world", True),
        ("Chapter seven", "Chapter sevem", True),
        ("Page 3", "Page 4", False),
        ("Frame 10 of 2000 frames", "Frame 11 of 2000 frames", False),
        ("cat", "car", False),
        ("The river runs", "Below the castle", False),
        ("", "", True),
    ],
)
def test_texts_that_can_be_one(a: str, b: str, same: bool) -> None:
    assert alike.is_same(a, b) is same
    assert alike.is_same(b, a) is same


def slow_distance(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(
        slow_distance(a[1:], b) + 1,
        slow_distance(a, b[1:]) + 1,
        slow_distance(a[1:], b[1:]) + (a[0] != b[0]),
    )


@given(st.text("abc", max_size=5), st.text("abc", max_size=5))
def test_the_distance_is_that_of_its_definition(a: str, b: str) -> None:
    assert alike.distance(a, b) == slow_distance(a, b)


@given(st.text("abcdefgh ", min_size=30, max_size=60), st.integers(8, 20))
def test_windows_of_a_running_text_are_put_together(text: str, width: int) -> None:
    """Unless a piece of the text comes twice, they give the text."""
    window = 2 * width
    if any(text.count(text[i : i + 6]) > 1 for i in range(len(text) - 5)):
        return
    grown = text[:window]
    for start in range(width, len(text) - width, width):
        joined = alike.run_on(grown, text[start : start + window])
        if joined is None:  # The last window adds hardly anything.
            assert len(text[: start + window]) - len(grown) <= 2
        else:
            grown = joined
            assert grown == text[: start + window]


def test_texts_that_share_a_word_do_not_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = "Desert forest wagon fabric napkin", "Napkin engine hammer ribbon violin"
    assert alike.run_on(before, after) is None
    assert alike.run_on("Frame = 24", "Frame = 25") is None
    monkeypatch.setattr(alike, "_SHARE", 0.0)
    assert alike.run_on(before, after) is not None


def test_divided_words_are_joined() -> None:
    assert (
        alike.joined(["The moun-", "tain is high", "A - b-", "C"])
        == "The mountain is high A - b- C"
    )


# ---- pages ----


def test_reading_order_is_row_by_row() -> None:
    def line(text: str, x: float, y: float) -> Line:
        return Line(text, Box(x, y, x + 0.1, y + 0.05), 1.0)

    placed = [line("d", 0.1, 0.3), line("b", 0.5, 0.11), line("a", 0.1, 0.1), line("c", 0.8, 0.09)]
    assert [each.text for each in reading_order(placed)] == ["a", "b", "c", "d"]
    groups = paragraphs(
        [
            line("one", 0.1, 0.1),
            line("three", 0.7, 0.1),
            line("two", 0.1, 0.16),
            line("far", 0.1, 0.6),
        ],
        16 / 9,
    )
    assert [[each.text for each in group] for group in groups] == [
        ["one", "two"],
        ["three"],
        ["far"],
    ]
