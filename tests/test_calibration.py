"""What tells a match from the best of nothing: its formulas, and that it does so on a film."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmed import write_film
from seal.asked import draw, show
from seal.attention import relevance
from seal.config import MiniEncode
from seal.encode.calibration import SHARPNESS, UNIT, Calibration
from seal.encode.mini import FILES, WEIGHTS, MiniEncoder
from seal.ingest import index as index_video
from seal.scope import Scope
from seal.store import Store
from seal.types import Tokens
from test_types import make_tokens

ABSENT = [
    "a woman playing the violin",
    "an elephant drinking at a river",
    "a dog running on grass",
    "two people kissing",
    "a bride and groom at a wedding",
]


def units(count: int, dimension: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension)) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


PICTURES, TEXTS = units(500, 8, 1), units(60, 8, 2)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Of eight dimensions, measured on 500 pictures and 60 texts."""
    return Calibration(
        texts=TEXTS.mean(0),
        pictures=PICTURES.mean(0),
        covariance=np.cov(PICTURES.T).astype(np.float32),
        general=units(1200, 8, 4),
        slope=12.0,
        bias=-1.8,
        peak=-3.0,
        named=0.6,
        absent=2.0,
    )


def reference(x: np.ndarray, query: np.ndarray, c: Calibration) -> float:
    """R of the module's text, sum by sum."""
    own = [float(q - b) for q, b in zip(query, c.texts, strict=True)]
    above = sum(o * float(v - m) for o, v, m in zip(own, x, c.pictures, strict=True))
    spread = sum(
        own[i] * float(c.covariance[i, j]) * own[j] for i in range(len(x)) for j in range(len(x))
    )
    return above / (UNIT * math.sqrt(spread))


@pytest.mark.parametrize("row", range(5))
def test_relevance_is_the_formula(calibration: Calibration, row: int) -> None:
    direction, offset = calibration.line(TEXTS[row])
    for x in PICTURES[:20]:
        assert float(direction @ x) + offset == pytest.approx(
            reference(x, TEXTS[row], calibration), abs=1e-5
        )


@pytest.mark.parametrize("row", range(5))
def test_pictures_in_general_lie_at_zero_a_tenth_apart(calibration: Calibration, row: int) -> None:
    """For every text alike, which is what raw cosines lack."""
    direction, offset = calibration.line(TEXTS[row])
    scores = PICTURES @ direction + offset
    assert abs(float(scores.mean())) < 1e-5
    assert float(scores.std(ddof=1)) == pytest.approx(1 / UNIT, rel=1e-4)


def test_what_a_picture_shares_with_all_texts_does_not_count(calibration: Calibration) -> None:
    """Moving a picture at right angles to what is special about the query changes nothing."""
    own = TEXTS[0] - calibration.texts
    common = TEXTS.mean(0) - (TEXTS.mean(0) @ own) / (own @ own) * own
    direction, _ = calibration.line(TEXTS[0])
    assert abs(float(direction @ common)) < 1e-5
    assert float(np.linalg.norm(common)) > 0.1


def test_of_several_embeddings_the_best_counts_and_without_calibration_cosines(
    calibration: Calibration,
) -> None:
    tokens = make_tokens(6)
    facets = units(18, 8, 3).reshape(6, 3, 8)
    object.__setattr__(tokens, "facets", facets)
    object.__setattr__(tokens, "embeddings", facets[:, 0])
    plain = relevance(tokens, TEXTS[0])
    np.testing.assert_allclose(plain, [max(f @ TEXTS[0] for f in row) for row in facets], atol=1e-6)
    direction, offset = calibration.line(TEXTS[0])
    wanted = [max(f @ direction for f in row) + offset for row in facets]
    got = relevance(tokens, TEXTS[0], calibration)
    np.testing.assert_allclose(got, np.clip(wanted, -1, 1), atol=1e-5)
    assert relevance(tokens.take([]), TEXTS[0], calibration).shape == (0,)


def test_one_token_is_not_corrected_for_the_crowd(calibration: Calibration) -> None:
    for best in (-0.3, 0.0, 0.15, 0.6):
        odds = 12.0 * best - 1.8
        wanted = 1 / (1 + math.exp(-odds))
        assert calibration.probability(np.float32([best]), -1.8) == pytest.approx(wanted, rel=1e-5)


def test_the_bar_of_a_crowd_is_where_its_probability_is_reached(calibration: Calibration) -> None:
    scores = np.float32([0.3, -1])
    odds = 12.0 * (0.3 - math.log(2) / SHARPNESS) - 1.8
    probability = calibration.probability(scores, -1.8)
    assert probability == pytest.approx(1 / (1 + math.exp(-odds)), rel=1e-5)
    assert calibration.threshold(probability, -1.8, 2) == pytest.approx(0.3, abs=1e-5)


def test_tokens_that_are_nearly_as_good_add_to_the_best(calibration: Calibration) -> None:
    scores = [0.3, 0.28, 0.1, -0.5]
    soft = math.log(sum(math.exp(SHARPNESS * score) for score in scores) / 4) / SHARPNESS
    odds = 12.0 * soft - 1.8
    wanted = 1 / (1 + math.exp(-odds))
    assert calibration.probability(np.float32(scores), -1.8) == pytest.approx(wanted, rel=1e-5)


def test_what_comes_into_a_long_video_counts_though_it_is_not_the_best(
    calibration: Calibration,
) -> None:
    film = np.float32([0.3] + [0.0] * 999)
    shown, other = (
        calibration.probability(np.append(film, np.float32(score)), -1.8) for score in (0.28, 0.1)
    )
    assert shown > other * 1.05


def test_what_a_detector_knows_and_did_not_name_is_hardly_there(calibration: Calibration) -> None:
    before = calibration.prior(TEXTS[0])
    for known in (0.4, 1.0):
        assert calibration.prior(TEXTS[0], known) == pytest.approx(before - 2.0 * known)


@pytest.mark.parametrize("row", range(5))
def test_an_unmistakable_look_must_be_met(calibration: Calibration, row: int) -> None:
    """The mean of the two best of 1,200 pictures in general."""
    nearest = sorted(reference(x, TEXTS[row], calibration) for x in calibration.general)[-2:]
    assert calibration.top(TEXTS[row]) == pytest.approx(sum(nearest) / 2, abs=1e-5)
    wanted = -1.8 - 3.0 * sum(nearest) / 2
    assert calibration.prior(TEXTS[row]) == pytest.approx(wanted, abs=1e-4)


def test_a_name_adds_what_the_calibration_says(calibration: Calibration) -> None:
    names = {"text": ["dog", ""], "scores": [0.9, 0.9]}
    tokens = Tokens.of(["object", "object"], [(0, 1)] * 2, Fraction(1), PICTURES[:2, None], **names)
    plain = relevance(tokens, TEXTS[0], calibration)
    named = relevance(tokens, TEXTS[0], calibration, "a dog")
    np.testing.assert_allclose(named - plain, [0.6 * 0.9**2, 0], atol=1e-3)


def test_without_tokens_nothing_matches(calibration: Calibration) -> None:
    assert calibration.probability(np.empty(0, np.float32), -1.8) == 0


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.floats(-1, 1, width=32))
def test_the_best_token_decides_and_a_crowd_weakens_it(scores: list[float], more: float) -> None:
    c = Calibration(
        texts=np.zeros(1, np.float32),
        pictures=np.zeros(1, np.float32),
        covariance=np.ones((1, 1), np.float32),
        general=np.zeros((1, 1), np.float32),
        slope=12.0,
        bias=-1.8,
        peak=-3.0,
        named=0.6,
        absent=2.0,
    )
    before = c.probability(np.float32(scores), -1.8)
    assert 0 < before < 1
    assert c.probability(np.float32(scores[::-1]), -1.8) == pytest.approx(before)
    after = c.probability(np.float32([*scores, more]), -1.8)
    if more <= max(scores) - 0.3:
        assert after < before
    best = c.probability(np.float32([*scores, 1.0]), -1.8)
    assert best >= after


def test_the_shipped_statistics_are_small_and_of_the_shipped_weights() -> None:
    assert "calibration.npz" in FILES
    assert (WEIGHTS / "calibration.npz").stat().st_size < 1_300_000
    encoder = MiniEncoder(MiniEncode())
    c = encoder.calibration
    assert c is not None
    d = encoder.dimension
    assert (c.texts.shape, c.pictures.shape, c.covariance.shape) == ((d,), (d,), (d, d))
    assert c.general.shape == (2000, d)
    assert np.linalg.eigvalsh(c.covariance.astype(np.float64)).min() > -1e-5
    assert c.slope > 0 > c.peak
    with np.load(WEIGHTS / "calibration.npz") as stored:
        assert str(stored["encoder"]) == encoder.fingerprint, "run training/mini/calibrate.py"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Scope, list[str]]]:
    """Two films, and what each shows."""
    folder = tmp_path_factory.mktemp("films")
    store, found = Store(folder / "store", create=True), []
    for seed in (0, 2):
        path = folder / f"{seed}.mp4"
        events = write_film(path, seed=seed, duration_s=24.0, size=(320, 180))
        index_video(str(path), store, jobs=1)
        labels = sorted({event.label for event in events if event.label})
        found.append((Scope.of(store, str(path), "show"), labels))
    return found


def test_on_films_of_our_own_most_answers_are_right(
    films: list[tuple[Scope, list[str]]],
) -> None:
    """Drawn films are no photos, and nothing was fitted to them."""
    right = []
    for video, labels in films:
        for query, shown in [(q, True) for q in labels] + [(q, False) for q in ABSENT]:
            match = video.match(video.content.question(query))
            assert match is not None
            right.append((match.verdict != "unlikely") == shown)
    assert len(right) >= 18
    # By chance half of them; three quarters with a probability below 0.02.
    assert np.mean(right) >= 0.75


def test_an_encoder_that_nobody_calibrated_does_not_guess(
    films: list[tuple[Scope, list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    video, _ = films[0]
    monkeypatch.setattr(video.content.encoder, "calibration", None)
    # Questions that the other tests asked are remembered with their calibrated relevance.
    video = Scope.of(video.content.store, video.record.id, "show")
    monkeypatch.setattr(video.content.encoder, "calibration", None)
    assert video.match(video.content.question("two people kissing")) is None
    query = video.content.encoder.encode_texts(["a yellow boat"])[0]
    cosines = video.tokens.facets[:, 0] @ query
    # A name adds to a cosine as well.
    plain = np.setdiff1d(np.arange(len(cosines)), video.tokens.named)
    assert len(plain) > 10
    relevance_ = video.relevance("a yellow boat")
    np.testing.assert_allclose(relevance_[plain], cosines[plain], atol=1e-6)
    found = video.find("two people kissing")
    assert found.match is None
    show(draw(video, found), tmp_path / "board.html")
    assert "A match in this video" not in (tmp_path / "board.html").read_text()
