"""A storyboard shows every selected token once, and nothing of what users type runs or leaks."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seal.clock import clock
from seal.errors import OptionError
from seal.kinds import SCENE, SEEN
from seal.printing import printable
from seal.show import Reel, Storyboard, html, png, write
from seal.show.png import WIDTH
from seal.types import Choice, Moment, Span, Tokens

VOID = {"meta", "img", "link", "br", "input"}


def picture(size: tuple[int, int] = (160, 90)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (90, 140, 60)).save(file, "JPEG")
    return file.getvalue()


def make_board(n: int = 30, k: int = 6, start_s: float = 0.0, **changes: Any) -> Storyboard:
    """n tokens of all kinds, half a second apart, of which every n // k-th is selected."""
    rng = np.random.default_rng(0)
    kinds = np.array([SEEN[i % 3].name for i in range(n)])
    begin = start_s + np.arange(n) * 0.5
    lengths = np.where(kinds == "action", 3, 0)
    rows = np.array(
        [
            [begin[i] + 0.2 * j, 0.1 + 0.1 * j, 0.2, 0.3 + 0.1 * j, 0.6]
            for i in np.flatnonzero(lengths)
            for j in range(3)
        ]
    ).reshape(-1, 5)
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (n, 1))
    boxes[kinds == "object"] = [0.25, 0.5, 0.75, 1]
    boxes[kinds == "action"] = [0.1, 0.2, 0.5, 0.6]
    embeddings = rng.normal(size=(n, 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    tokens = Tokens.of(
        kinds,
        np.round(np.stack([begin, begin + 0.4], 1) * 1000),
        Fraction(1, 1000),
        embeddings[:, None],
        ids=[f"{kind}-{i}" for i, kind in enumerate(kinds)],
        video_id="v",
        boxes=boxes,
        tracks=np.split(rows, np.cumsum(lengths)[:-1]),
    )
    chosen = np.arange(k) * (n // k if k else 1)
    times = begin
    reel = {
        "video": "v",
        "name": "film.mp4",
        "path": "film.mp4",
        "start_s": start_s,
        "duration_s": n * 0.5,
    }
    reel |= {name: changes.pop(name) for name in reel.keys() & changes.keys()}
    values: dict[str, Any] = {
        "query": "a red ball",
        "reels": [Reel(**reel)],
        "tokens": tokens,
        "selection": Choice(
            chosen[::-1].astype(np.int64), np.linspace(0.9, 0.1, k).astype(np.float32), 0.5, 0.625
        ),
        "is_answer": np.ones(k, bool),
        "thumbnails": [picture()] * k,
        "moments": [Moment(Span(start_s + 1, start_s + 3), 0.75)],
        "curve": (times, np.sin(times)),
        "threshold": None,
        "facts": {"profile": "mini", "encoder": "mini"},
        "verdict": "likely",
    }
    return Storyboard(**values | changes)


class Page(HTMLParser):
    """A page's elements and text; an error where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"twice the same attribute in {tag}: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def values(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]

    @property
    def text(self) -> str:
        return " ".join(t for parts in self.texts.values() for t in parts)


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Storyboard], Page]:
    def render(board: Storyboard) -> Page:
        write(board, tmp_path / "board.html")
        return Page((tmp_path / "board.html").read_text("utf-8"))

    return render


def test_each_selected_token_has_one_card_and_one_mark(page: Callable[..., Page]) -> None:
    board = make_board()
    got = page(board)
    chosen = board.tokens.ids[board.selection.rows].tolist()
    assert sorted(got.values("data-token")) == sorted(chosen)
    ids = got.values("id")
    assert len(set(ids)) == len(ids)
    targets = [href[1:] for href in got.values("href") if href.startswith("#")]
    assert {f"{what}-{i}" for what in ("card", "mark") for i in range(1, 7)} == set(targets)
    assert set(targets) <= set(ids)


def test_cards_come_in_order_of_time_and_name_the_order_of_selection(
    page: Callable[..., Page],
) -> None:
    got = page(make_board())
    cards = [i for i in got.values("id") if i.startswith("card-")]
    assert cards == [f"card-{i}" for i in (6, 5, 4, 3, 2, 1)]


def test_the_page_needs_nothing_from_outside(page: Callable[..., Page], tmp_path: Path) -> None:
    got = page(make_board())
    text = (tmp_path / "board.html").read_text("utf-8")
    assert "//" not in re.sub(r"(?m)^\s*//.*$|data:image/jpeg;base64,[\w+/=]+", "", text)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in got.elements}
    assert all(src.startswith("data:image/") for src in got.values("src"))
    assert "url(" not in text
    assert "@import" not in text


NASTY = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</title></style><!-- &lt;b&gt; ${style} $script $$ {0} %s",
    "'\" onmouseover=alert(1) x='",
    "zażółć 猫 \U0001f408 \u202e right to left",
    "title\x1b]0;owned\x07 red\x1b[31m new\nline half\udcff",
]


@pytest.mark.parametrize("text", NASTY)
def test_what_users_type_is_shown_and_never_runs(page: Callable[..., Page], text: str) -> None:
    plain = page(make_board())
    got = page(make_board(query=text, name=text, path=text, facts={text: text, "a": "b", "c": "d"}))
    assert "".join(got.texts["h1"]) == printable(text)
    assert "".join(got.texts["bdi"]) == printable(text)
    assert printable(text) in got.texts["dd"]

    def shape(p: Page) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attrs)) for tag, attrs in p.elements if tag not in ("dt", "dd", "div")]

    assert shape(got) == shape(plain)


def test_data_in_the_page_is_json_of_the_curve(page: Callable[..., Page]) -> None:
    board = make_board(start_s=1.5)
    data = json.loads(page(board).texts["script"][0])
    assert (data["start_s"], data["duration_s"]) == (1.5, 15.0)
    np.testing.assert_allclose(data["times_s"], board.curve[0], atol=1e-3)
    np.testing.assert_allclose(data["relevance"], board.curve[1], atol=1e-4)


def test_a_video_that_is_there_can_be_played_at_its_time(
    page: Callable[..., Page], tmp_path: Path
) -> None:
    video = tmp_path / "a #1 \"b\" 'c' & d%20.mp4"
    video.touch()
    got = page(make_board(start_s=100.0, path=str(video)))
    links = [href for href in got.values("href") if not href.startswith("#")]
    names = {href.partition("#")[0] for href in links}
    assert names == {"a%20%231%20%22b%22%20%27c%27%20%26%20d%2520.mp4"}
    # One moment at 101 s, and tokens every 2.5 s from 100 s on: players call the start 0.
    assert [href.partition("#t=")[2] for href in links] == [
        "1",
        "0",
        "2.5",
        "5",
        "7.5",
        "10",
        "12.5",
    ]


def test_without_the_video_there_are_no_play_links(page: Callable[..., Page]) -> None:
    got = page(make_board(path="javascript:alert(1)"))
    assert all(href.startswith("#") for href in got.values("href"))


def test_boxes_and_paths_lie_over_the_pictures(page: Callable[..., Page]) -> None:
    board = make_board(n=3, k=3)
    paths = [a["d"] for tag, a in page(board).elements if tag == "path" and a["class"] == "over"]
    # 160 x 90 pixels; the object's box is 0.25 0.5 0.75 1, the track's centres go right.
    assert paths[0] == "M40.0 45.0H120.0V90.0H40.0z"
    assert (paths[1] or "").endswith("M32.0 36.0L48.0 36.0L64.0 36.0")
    assert len(paths) == 2


def test_a_hundred_thousand_tokens_make_a_small_page(tmp_path: Path) -> None:
    write(make_board(n=100_000, k=16), tmp_path / "many.html")
    assert (tmp_path / "many.html").stat().st_size < 200_000


@pytest.mark.parametrize("suffix", [".html", ".png"])
@pytest.mark.parametrize(
    "changes",
    [
        {"k": 0, "moments": [], "verdict": "unlikely"},
        {"k": 1, "n": 1},
        {"k": 3, "duration_s": 0.0},
        {"k": 3, "duration_s": 3e6},
        {"k": 2, "start_s": -5.0},
        {"curve": (np.zeros(0), np.zeros(0))},
        {"curve": (np.ones(1), np.ones(1))},
        {"query": "", "facts": {}},
        {"query": "x" * 10_000},
        {"query": "ball " * 2_000},
        {"thumbnails": [picture((90, 1600))] * 6},
        {"thumbnails": [picture((1, 1))] * 6},
        {"moments": [Moment(Span(14.9, 15), 1.0)] * 30},
    ],
)
def test_extremes_are_drawn(
    tmp_path: Path, page: Callable[..., Page], suffix: str, changes: dict[str, Any]
) -> None:
    board = make_board(**changes)
    if suffix == ".html":
        assert len(page(board).values("data-token")) == len(board.selection)
    else:
        write(board, tmp_path / "board.png")
        with Image.open(tmp_path / "board.png") as image:
            assert image.width == WIDTH
            assert image.height > 500


def test_no_match_is_said(page: Callable[..., Page]) -> None:
    none = page(make_board(k=0, moments=[], verdict="unlikely")).text
    assert "A match in this video is unlikely." in none
    assert "comes closest" not in none
    assert "No moments found" in none
    assert "No tokens selected" in none
    assert "comes closest" in page(make_board(verdict="unlikely")).text
    assert "A match in this video is unsure." in page(make_board(verdict="unsure")).text
    assert "A match in this video" not in page(make_board()).text


def test_the_settings_name_the_bound_and_the_gap(page: Callable[..., Page]) -> None:
    got = page(make_board())
    settings = dict(zip(got.texts["dt"], got.texts["dd"], strict=True))
    assert settings["Objective value"] == "0.5"
    assert settings["Upper bound"] == "0.625"
    assert settings["Gap"] == "20.0%"
    assert settings["Profile"] == "mini"


def test_the_picture_shows_frames_boxes_and_lanes(tmp_path: Path) -> None:
    write(make_board(), tmp_path / "board.png")
    with Image.open(tmp_path / "board.png") as image:
        assert image.format == "PNG"
        assert image.width == WIDTH
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # Two rows of cards make it about as high as wide.
    assert 1000 < len(pixels) < 2500

    def share(color: tuple[int, int, int]) -> float:
        return float((abs(pixels - color).max(2) < 12).mean())

    assert share((90, 140, 60)) > 0.02  # pictures outside the veils
    assert share((252, 252, 250)) > 0.3  # paper
    for color in [(0, 114, 178), (213, 94, 0), (0, 138, 100)]:
        assert share(color) > 1e-4  # each kind in its lane
    for color in [(255, 154, 61), (47, 214, 166)]:
        assert share(color) > 1e-4  # boxes on the pictures of objects and actions


@given(st.floats(-1e7, 1e7))
def test_a_clock_reads_back_to_the_nearest_tenth(seconds: float) -> None:
    text = clock(seconds)
    match = re.fullmatch(r"(-?)(?:(\d+):(?=\d\d:))?(\d{1,2}):([0-5]\d)\.(\d)", text)
    assert match, text
    sign, hours, minutes, whole, tenth = match.groups()
    assert int(minutes) < 60
    value = int(hours or 0) * 3600 + int(minutes) * 60 + int(whole) + int(tenth) / 10
    assert abs((-value if sign else value) - seconds) <= 0.05 + 1e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.0"),
        (12.34, "0:12.3"),
        (59.96, "1:00.0"),
        (3599.99, "1:00:00.0"),
        (-0.04, "0:00.0"),
    ],
)
def test_a_clock_reads(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_faint_ticks_cover_every_token() -> None:
    board = make_board(n=3000)
    for kind in SEEN:
        spans = np.array([span[:2] for span in board.density(kind)])
        middles = board.tokens.middle_s[board.tokens.kinds == kind.name] / board.axis.duration_s
        covered = (spans[:, 0] <= middles[:, None]) & (middles[:, None] <= spans[:, 1])
        assert covered.any(1).all()


def test_a_long_curve_keeps_its_peak() -> None:
    times = np.linspace(0, 15, 50_000)
    relevance = np.zeros(50_000)
    relevance[31_415] = 1.0
    x, y = make_board(curve=(times, relevance)).curve_points
    assert len(x) <= 600
    assert x[np.argmax(y)] == times[31_415]
    assert (np.diff(x) > 0).all()


def test_labels_of_moments_do_not_overlap() -> None:
    moments = [Moment(Span(t, t + 1), 1.0) for t in (5.0, 5.1, 0.0, 5.2, 14.0)]
    assert make_board(moments=moments).moment_rows() == [0, 1, 0, 2, 0]


def test_other_suffixes_are_refused_with_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.html, \.png.*board\.gif"):
        write(make_board(), tmp_path / "board.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thumbnails": []}, "one thumbnail"),
        ({"duration_s": float("nan")}, "duration"),
        ({"curve": (np.array([2.0, 1.0]), np.zeros(2))}, "ascending"),
        ({"selection": Choice(np.array([30]), np.ones(1, np.float32), 1.0, 1.0),
          "is_answer": np.ones(1, bool), "thumbnails": [b""]}, r"\[0, 30\)"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make_board(**changes)


def test_a_thumbnail_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="scene-0 is not a picture"):
        write(make_board(n=3, k=1, thumbnails=[b"none"]), tmp_path / "board.html")


def lane(spans_s: list[tuple[float, float]], duration_s: float = 600.0) -> list[tuple]:
    """The faint ticks of scenes at these times, in seconds of an axis of 600 bins."""
    board = make_board(n=3 * len(spans_s), k=0, duration_s=duration_s)
    pts = board.tokens.pts.copy()
    pts[board.tokens.kinds == "scene"] = np.round(np.array(spans_s) * 1000)
    object.__setattr__(board.tokens, "pts", pts)
    return [(round(600 * a, 6), round(600 * b, 6), level) for a, b, level in board.density(SCENE)]


def test_a_tick_ends_where_its_token_ends() -> None:
    # The instant of the end is the next token's.
    assert lane([(10, 11)]) == [(10, 11, 4)]
    assert lane([(10, 12.5)]) == [(10, 13, 4)]
    assert [b for second in range(1, 590) for _, b, _ in lane([(second, second + 1)])] == list(
        range(2, 591)
    )


def test_a_token_of_an_instant_has_a_tick() -> None:
    assert lane([(10, 10)]) == [(10, 11, 4)]
    assert lane([(600, 600)]) == [(599, 600, 4)]


def test_ticks_have_four_strengths() -> None:
    assert lane([(0, 40), (0, 30), (0, 20), (0, 10)]) == [
        (0, 10, 4),
        (10, 20, 3),
        (20, 30, 2),
        (30, 40, 1),
    ]


@pytest.mark.parametrize(
    ("start_s", "duration_s", "labels"),
    [
        (0.0, 10.0, [f"0:{s:02}" for s in range(11)]),
        (0.0, 10.1, [f"0:{s:02}" for s in range(0, 11, 2)]),
        # Times of 0.3 s and three tenths are the same time.
        (0.3, 0.6, [f"0:00.{t}" for t in range(3, 10)]),
        (0.0, 10 * 86400.0, [f"{24 * d}:00:00" if d else "0:00" for d in range(11)]),
        (0.0, 25 * 86400.0, [f"{72 * d}:00:00" if d else "0:00" for d in range(9)]),
    ],
)
def test_the_axis_has_at_most_ten_round_steps(
    start_s: float, duration_s: float, labels: list[str]
) -> None:
    ticks = make_board(start_s=start_s, duration_s=duration_s).axis.ticks()
    assert [label for _, label in ticks] == labels


def test_a_path_has_at_most_48_points() -> None:
    board = make_board(n=3, k=3)
    tokens = board.tokens
    object.__setattr__(tokens, "track_rows", np.tile(tokens.track_rows[:1], (500, 1)))
    object.__setattr__(tokens, "track_offsets", np.array([0, 0, 0, 500]))
    assert [len(entry.path) for entry in board.entries] == [0, 0, 48]


def test_a_flat_curve_is_drawn_at_half_height() -> None:
    board = make_board(curve=(np.arange(3.0), np.full(3, 0.7)))
    assert [y for _, y in board.curve_path()] == [0.5] * 3


def test_a_kind_without_tokens_has_no_lane_unless_the_paper_has_it() -> None:
    board = make_board()
    assert [kind.name for kind in board.lanes] == ["scene", "object", "action"]
    kinds = np.where(np.arange(len(board.tokens)) == 0, "speech", board.tokens.kinds)
    spoken = replace(board, tokens=replace(board.tokens, kinds=kinds))
    assert [kind.name for kind in spoken.lanes] == ["scene", "object", "action", "speech"]


def test_a_moment_that_words_found_quotes_them() -> None:
    said = Moment(Span(5.0, 6.0), 1.0, found_by="words", text="<b>Where</b> is it?")
    board = make_board(moments=[said])
    assert '<q dir="auto">&lt;b&gt;Where&lt;/b&gt; is it?</q>' in html.render(board, Path())
    silent = make_board(moments=[replace(said, text="")])
    assert np.asarray(png.render(board)).shape == np.asarray(png.render(silent)).shape
    assert (np.asarray(png.render(board)) != np.asarray(png.render(silent))).any()


def test_answers_come_before_context_and_the_threshold_is_drawn(
    page: Callable[..., Page],
) -> None:
    is_answer = np.array([True, False, True, False, False, True])
    got = page(make_board(is_answer=is_answer, threshold=2.5))
    cards = [i for i in got.values("id") if i.startswith("card-")]
    # The first selected token is the last in time.
    assert cards == [f"card-{i}" for i in (6, 3, 1, 5, 4, 2)]
    assert [text.strip() for text in got.texts["h3"]] == ["Answers", "Context"]
    assert got.values("class").count("mark context") == 3
    (label,) = (of for of in got.values("aria-label") if of.startswith("Relevance over time"))
    assert label.endswith("tokens of 2.50 and more are answers")
    # The axis of the curve ends at the threshold, which nothing reaches.
    assert make_board(threshold=2.5).curve_range[1] == 2.5


def test_a_picture_shows_context_and_a_threshold() -> None:
    plain = np.asarray(png.render(make_board()))
    context = np.asarray(png.render(make_board(is_answer=np.zeros(6, bool))))
    bounded = np.asarray(png.render(make_board(threshold=0.5)))
    assert (plain != context).any()
    assert (plain != bounded).any()
