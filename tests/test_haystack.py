"""The haystack benchmark: splices are exact, needles are counted right, the command's contract."""

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from filmed import write_film
from seal import Options
from seal.attention import Candidates
from seal.cli import main
from seal.errors import BackendError, DataError, OptionError
from seal.evaluate.haystack import (
    FILM,
    NEEDLE_S,
    _in_a_row,
    _recalled,
    cases,
    described_clips,
    evaluate,
    lasting,
    material,
    read_needles,
    splice,
)
from seal.evaluate.plot import draw
from seal.ingest import index as index_video
from seal.scope import Scope
from seal.store import Store
from seal.types import Moment, Span, Tokens
from test_types import make_tokens

RATE_HZ = 25


def timed(times: list[tuple[int, int]], base: Fraction = Fraction(1, 30)) -> Tokens:
    """Tokens with these presentation timestamps."""
    n = len(times)
    tokens = make_tokens(n)
    return Tokens(
        **{
            **{name: getattr(tokens, name) for name in tokens.__dataclass_fields__},
            "pts": np.array(times, np.int64).reshape(-1, 2),
            "time_base": np.tile(np.array(base.as_integer_ratio(), np.int64), (n, 1)),
        }
    )


def test_a_clip_moves_what_comes_after_it_and_cuts_nothing() -> None:
    # Token 1 spans 1 to 3 s, so that the film cannot be cut at 2 s, where token 2 starts.
    film = timed([(0, 1), (30, 90), (60, 61), (90, 91), (120, 121)])
    clip = timed([(1001, 2002), (3003, 4004)], Fraction(1, 30000))
    stack = splice(film, [(clip, Span(0.0, 0.5))], [2.4])
    assert stack.spans == [Span(3.0, 3.5)]
    assert stack.owner.tolist() == [-1, -1, -1, 0, 0, -1, -1]
    ntsc = Fraction(1001, 30000)
    assert [stack.tokens.time(i)[0] for i in range(7)] == [
        *(0, 1, 2, 3 + ntsc, 3 + 3 * ntsc, Fraction(7, 2), Fraction(9, 2))
    ]
    assert stack.tokens.time(3)[1] == 3 + 2 * ntsc
    assert (stack.tokens.embeddings[3:5] == clip.embeddings).all()
    # The tracks of tokens move with them: those of film token 4 are rows 6 to 9.
    moved = stack.tokens.track(6)
    assert moved[:, 0] == pytest.approx(film.track(4)[:, 0] + 0.5)
    assert (moved[:, 1:] == film.track(4)[:, 1:]).all()


def test_clips_that_do_not_start_at_zero_start_at_the_cut() -> None:
    film, clip = timed([(0, 1), (60, 61)]), timed([(210, 211), (240, 241)])
    stack = splice(film, [(clip, Span(7.0, 8.5))], [1.9])
    assert stack.tokens.start_s.tolist() == [0, 2, 3, 3.5]
    assert stack.owner.tolist() == [-1, 0, 0, -1]


def test_clips_in_a_row_follow_each_other_wherever_they_start() -> None:
    one, other = timed([(210, 211), (240, 241)]), timed([(0, 15), (45, 60)])
    row = _in_a_row([(one, Span(7.0, 8.5)), (other, Span(0.0, 2.0))])
    assert row.spans == [Span(0.0, 1.5), Span(1.5, 3.5)]
    assert row.owner.tolist() == [0, 0, 1, 1]
    assert row.tokens.start_s.tolist() == [0, 1, 1.5, 3]


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4))
def test_splices_keep_every_token_and_all_distances(seed: int, n: int, clips: int) -> None:
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.integers(0, 300, n))
    lengths = rng.integers(1, 90, n)
    film = timed(np.stack([starts, starts + lengths], 1).tolist())
    clip = timed([(0, 1), (7, 20)], Fraction(1, 24))
    spans = [Span(0, float(length)) for length in rng.integers(1, 5, clips)]
    stack = splice(film, [(clip, span) for span in spans], rng.uniform(0, 10, clips).tolist())
    assert len(stack.tokens) == n + 2 * clips
    for i, span in enumerate(stack.spans):
        assert span.duration_s == pytest.approx(spans[i].duration_s)
        own = stack.tokens.take(stack.owner == i)
        assert own.start_s == pytest.approx(span.start_s + clip.start_s)
        others = stack.tokens.take(stack.owner != i)
        apart = (others.end_s <= span.start_s + 1e-9) | (others.start_s >= span.end_s - 1e-9)
        assert apart.all()
    # Taking the clips out again gives the film.
    rest = stack.tokens.take(stack.owner < 0)
    before = [
        sum(span.duration_s for span in stack.spans if span.end_s <= start + 1e-9)
        for start in rest.start_s
    ]
    order = np.argsort(film.start_s, kind="stable")
    assert np.sort(rest.start_s - before) == pytest.approx(film.start_s[order])


def test_a_film_lasts_as_long_as_it_is_wanted_to() -> None:
    rng = np.random.default_rng(0)
    film = timed([(start, start + 15) for start in range(30, 330, 30)])
    vectors = rng.normal(size=(10, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    film = replace(film, embeddings=vectors, facets=vectors[:, None])
    short, span = lasting((film, Span(1.0, 11.0)), 4.0)
    assert span == Span(1.0, 5.0)
    assert short.start_s.tolist() == [1, 2, 3, 4]
    assert (short.embeddings == vectors[:4]).all()
    long, span = lasting((film, Span(1.0, 11.0)), 3600.0)
    assert span == Span(1.0, 3601.0)
    assert long.start_s == pytest.approx(np.arange(1, 3601))
    assert (long.embeddings[:10] == vectors).all()
    assert np.linalg.norm(long.embeddings, axis=1) == pytest.approx(np.ones(3600), abs=1e-5)
    # Every copy differs from the film and from every other copy, but not by much.
    alike = (long.embeddings[10:] * np.tile(vectors, (359, 1))).sum(1)
    assert 0.7 < alike.mean() < 0.95
    assert len(np.unique(long.embeddings[:, 0])) > 800
    # The ticks are still those of the film: splices multiply them.
    assert (long.time_base == film.time_base[0]).all()


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ, options={"crf": "12"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for i, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = i, Fraction(1, RATE_HZ)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_splicing_tokens_gives_the_times_of_indexing_the_spliced_file(tmp_path: Path) -> None:
    """Where cut and length lie on the sampling grid; of scenes and objects, which lie on it.

    Whether and how long a tracker follows something depends on what it saw before the cut.
    """
    write_film(tmp_path / "film.mp4", seed=0, duration_s=8.0, size=(320, 180))
    write_film(tmp_path / "clip.mp4", seed=1, duration_s=4.0, size=(320, 180))
    film, clip = pictures(tmp_path / "film.mp4"), pictures(tmp_path / "clip.mp4")
    cut = 4 * RATE_HZ
    write(tmp_path / "both.mp4", [*film[:cut], *clip, *film[cut:]])
    store = Store(tmp_path / "store", create=True)
    tokens = {}
    for name in ("film", "clip", "both"):
        index_video(tmp_path / f"{name}.mp4", store)
        every = Scope.of(store, str(tmp_path / f"{name}.mp4"), "show").tokens
        tokens[name] = every.take(every.kinds != "action")
    stack = splice(tokens["film"], [(tokens["clip"], Span(0.0, 4.0))], [4.0])
    assert stack.spans == [Span(4.0, 8.0)]
    for kind in ("scene", "object"):
        of_stack = stack.tokens.take(stack.tokens.kinds == kind)
        of_file = tokens["both"].take(tokens["both"].kinds == kind)
        frame_s = 1 / RATE_HZ
        for times, want in ((of_stack.start_s, of_file.start_s), (of_stack.end_s, of_file.end_s)):
            assert np.unique(times) == pytest.approx(np.unique(want), abs=frame_s)
    inside = (tokens["both"].start_s >= 4) & (tokens["both"].end_s <= 8)
    needle = stack.tokens.take(stack.owner == 0)
    assert set(needle.start_s.round(2)) == set(tokens["both"].start_s[inside].round(2))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film and two needles, one of them longer than what is used of it."""
    root = tmp_path_factory.mktemp("data")
    (root / "videos").mkdir()
    write_film(root / "videos" / "big_buck_bunny_360p.mp4", 0, 16.0, (320, 180))
    write_film(root / "videos" / "short.mp4", 1, 3.0, (320, 180))
    write_film(root / "videos" / "long.mp4", 2, 12.0, (320, 180))
    needles = [
        {"id": "short", "file": "videos/short.mp4", "queries": ["a red ball", "a ball"]},
        {"id": "long", "file": "videos/long.mp4", "queries": ["a blue car"]},
    ]
    (root / "videos" / "needles.json").write_text(json.dumps({"needles": needles}))
    return root


@pytest.mark.parametrize("together", [False, True])
def test_the_command_prints_one_object(data: Path, together: bool) -> None:
    store = data / "store"
    arguments = [
        *("eval", "haystack", "--data", str(data), "--store", str(store), "--jobs", "1"),
        *("--method", "uniform", "--method", "normalised", "--budget", "4", "--budget", "999"),
        *("--set", "attention.objective=normalised"),
        *(["--together"] if together else []),
    ]
    plot = data / "plot.png"
    run = CliRunner().invoke(main, [*arguments, "--json", "--plot", str(plot)])
    assert run.exit_code == 0, run.stderr
    result = json.loads(run.stdout)
    assert result.keys() == {
        *("benchmark", "settings", "film", "together", "needles", "tokens", "budgets"),
        *("default", "methods", "hays", "find"),
    }
    assert result["benchmark"] == "haystack"
    assert result["together"] is together
    assert result["needles"] == ["short", "long"]
    assert result["budgets"] == [4, 999]
    assert result["settings"]["needle_s"] == NEEDLE_S
    for row in result["methods"].values():
        assert row.keys() >= {"recall", "seconds", "recall@4", "recall@999"}
        assert row["recall"].keys() == {"4", "999"}
        assert row["recall@999"] == row["recall"]["999"]
        # Whoever selects everything finds everything.
        assert row["recall"]["999"] == {"mean": 1, "low": 1, "high": 1}
    assert result["methods"]["uniform"]["default_ahead"].keys() == {"4", "999"}
    assert result["hays"].keys() == {"film"}
    assert len(result["find"]) == 4
    assert plot.read_bytes().startswith(b"\x89PNG")
    # Only the first ten seconds of the long clip are there, and nothing is indexed twice.
    clip = Scope.of(Store(store), str(data / "videos" / "long.mp4"), "show")
    assert clip.record.duration_s == pytest.approx(NEEDLE_S, abs=0.1)
    indexed_at = clip.record.indexed_at, clip.record.seconds
    table = CliRunner().invoke(main, arguments)
    assert table.exit_code == 0, table.stderr
    again = Scope.of(Store(store), str(data / "videos" / "long.mp4"), "show").record
    assert (again.indexed_at, again.seconds) == indexed_at
    lines = table.stdout.splitlines()
    assert lines[0].startswith("2 needles")
    assert [line.split()[0] for line in lines[3:5]] == ["uniform", "normalised"]


def test_a_needle_is_found_by_its_own_tokens_and_no_others(data: Path) -> None:
    store = Store(data / "store2", create=True)
    shown: list[np.ndarray] = []

    def short_only(candidates: Candidates, size: int) -> np.ndarray:
        if not shown:
            shown.append(
                Scope.of(store, str(data / "videos" / "short.mp4"), "show").tokens.embeddings
            )
        same = (candidates.embeddings[:, None] == shown[0][None]).all(2).any(1)
        return np.flatnonzero(same)

    methods = {
        "normalised": lambda candidates, size: np.arange(len(candidates)),
        "nothing": lambda candidates, size: np.empty(0, np.int64),
        "short": short_only,
    }
    options = Options.load(settings=["attention.objective=normalised"])
    for together in (False, True):
        result = evaluate(data, store, methods, options, together=together, budgets=[5], jobs=1)[
            "methods"
        ]
        means = {name: row["recall"]["5"]["mean"] for name, row in result.items()}
        assert means == {"normalised": 1, "nothing": 0, "short": 0.5}
        assert "default_ahead" not in result["normalised"]
        ahead = {name: result[name]["default_ahead"]["5"]["mean"] for name in ("nothing", "short")}
        assert ahead == {"nothing": 1, "short": 0.5}


def test_hay_is_films_of_any_length_or_the_other_clips(data: Path) -> None:
    store = Store(data / "store", create=True)
    options = Options.load(task="show")
    film, needles, clips = material(data, store, options, data / FILM, 1)
    whole = film.tokens, Span(0.0, film.record.duration_s)
    encoder = film.content.encoder
    sizes = [len(tokens) for tokens, _ in clips]
    for hay, length_s in (("film", 16.0), ("8", 8.0), ("100", 100.0)):
        asked = list(cases(whole, needles, clips, encoder, hay, budgets=(4, 9)))
        assert [len(each) for each in asked] == [2, 1]
        for i, each in enumerate(asked):
            for case, text in zip(each, needles[i].texts, strict=True):
                assert (case.question, case.unit, case.group) == (text, needles[i].id, case.unit)
                assert case.sizes == {"4": 4, "9": 9}
                assert case.needle.sum() == sizes[i]
                own = case.tokens.take(case.needle)
                assert case.span.start_s <= own.start_s.min() < own.end_s.max()
                assert case.span.duration_s == pytest.approx(clips[i][1].duration_s, abs=1e-5)
                end_s = case.tokens.end_s.max()
                assert end_s == pytest.approx(length_s + case.span.duration_s, abs=2.5)
                hit, miss = np.flatnonzero(case.needle)[-1:], np.flatnonzero(~case.needle)
                assert case.scores(hit) == {"recall": 1}
                assert case.scores(miss) == {"recall": 0}
    (first, _), (second,) = cases(whole, needles, clips, encoder, "clips")
    assert first.tokens is second.tokens
    assert first.needle.tolist() == [True] * sizes[0] + [False] * sizes[1]
    assert (first.needle ^ second.needle).all()
    assert first.span.start_s == 0
    assert first.span.end_s == second.span.start_s
    for hay in ("0", "hay", "nan"):
        with pytest.raises(OptionError, match=f"hay is film, clips or .* seconds, got '{hay}'"):
            evaluate(data, store, {}, options, hays=[hay])


def test_kinds_of_hay_are_shown_apart_and_together(data: Path) -> None:
    arguments = ["eval", "haystack", "--data", str(data), "--store", str(data / "store")]
    arguments += ["--jobs", "1", "--method", "top-k", "--method", "seal", "--budget", "2"]
    arguments += ["--hay", "clips", "--hay", "5"]
    run = CliRunner().invoke(main, [*arguments, "--json"])
    assert run.exit_code == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["hays"].keys() == {"clips", "5"}
    for name in ("top-k", "seal"):
        apart = [hay[name]["recall@2"]["mean"] for hay in result["hays"].values()]
        assert result["methods"][name]["recall@2"]["mean"] == pytest.approx(np.mean(apart))
    table = CliRunner().invoke(main, arguments).stdout
    assert "in hay of clips\n" in table
    assert "in hay of 5 s\n" in table


def test_moments_are_recalled_by_rank_and_overlap() -> None:
    span = Span(10.0, 20.0)
    wide, inside, beside = Span(0.0, 100.0), Span(12.0, 20.0), Span(20.0, 30.0)

    def recall(*spans: Span) -> list[bool]:
        return _recalled([Moment(each, 1.0) for each in spans], span)

    # At IoU 0.3 among the first and the first five, then with any overlap.
    assert recall() == [False, False, False, False]
    assert recall(inside) == [True, True, True, True]
    assert recall(wide, inside) == [False, True, True, True]
    assert recall(beside, wide) == [False, False, False, True]
    assert recall(beside, beside, beside, beside, beside, inside) == [False] * 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is no list of needles"),
        ('{"needles": []}', "has no needles"),
        ('{"needles": [{"id": "a", "file": "a.mp4"}]}', "is no list of needles"),
        ('{"needles": [{"id": "a", "file": "a.mp4", "queries": []}]}', "no descriptions"),
        ('{"needles": [{"id": "a", "file": "a.mp4", "queries": [" "]}]}', "no descriptions"),
        ('{"needles": [{"id": "a", "file": "a.mp4", "queries": "car"}]}', "no descriptions"),
        ('{"needles": [{"id": "a", "file": 3, "queries": ["x"]}]}', "is no list of needles"),
        ('{"needles": [{"id": "a", "file": "a.mp4", "queries": ["x"]}]}', r"a\.mp4 is not there"),
    ],
)
def test_broken_lists_of_needles_are_named(tmp_path: Path, content: str | None, says: str) -> None:
    (tmp_path / "videos").mkdir()
    if content is not None:
        (tmp_path / "videos" / "needles.json").write_text(content)
    with pytest.raises(DataError, match=says):
        read_needles(tmp_path)


def test_a_plot_that_cannot_be_made_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = [{"mean": 0.5, "low": 0.4, "high": 0.6}]
    panels = {"recall": {"top-k": half, "paper": half}}
    for path in (tmp_path / "plot.docx", tmp_path / "missing" / "plot.png"):
        with pytest.raises(OptionError, match="cannot be written"):
            draw(panels, [8], "tokens", "paper", str(path))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendError, match=r'pip install "seal-video\[eval\]"'):
        draw(panels, [8], "tokens", "paper", str(tmp_path / "plot.png"))


def test_the_real_needles_are_listed(shared_data: Path) -> None:
    needles = read_needles(shared_data)
    assert len(needles) == 19
    assert {len(needle.texts) for needle in needles} == {2}
    if not (shared_data / "footage").is_dir():
        pytest.skip(f"no footage in {shared_data}")
    assert len(described_clips(shared_data)) == 66
