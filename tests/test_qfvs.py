"""The QFVS benchmark: its metric against brute force, its reader on whole and broken folders."""

import json
import sys
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seal import backends
from seal.attention import Candidates
from seal.cli import main
from seal.config import Options
from seal.errors import DataError, OptionError
from seal.evaluate import qfvs
from seal.evaluate.bootstrap import bootstrap, ratio
from seal.evaluate.cases import Case
from seal.evaluate.methods import Method, methods

CONCEPTS = ["Baby", "Car", "Sky", "Tree"]


def folder(root: Path, name: str = "P01") -> Path:
    """A made-up data set of one video with six shots and two queries."""
    tags = root / "Dense_per_shot_tags"
    summaries = root / "Query-Focused_Summaries"
    for path in (
        tags / name,
        summaries / "Oracle_Summaries" / name,
        summaries / "User_Summaries" / name,
    ):
        path.mkdir(parents=True, exist_ok=True)
    (tags / "Dictionary.txt").write_text("".join(f"'{concept}'\n" for concept in CONCEPTS))
    shots = "Baby,Car\nSky\n\nTree, Sky\r\nCar\nBaby,Sky,Tree\n"
    (tags / name / f"{name}.txt").write_bytes(shots.encode())
    for query in ("Baby_Car", "Sky_Tree"):
        oracle = summaries / "Oracle_Summaries" / name / f"{query}_oracle.txt"
        oracle.write_text("6\n1\n1\n")
        for user, text in enumerate(("1\n2\n", "1\n1\n6\n", "5\n3\n4\n"), start=1):
            path = summaries / "User_Summaries" / name / f"{query}_user{user}.txt"
            path.write_text(text)
    return root


def test_the_reader_counts_from_one_and_each_shot_once(tmp_path: Path) -> None:
    (video,) = qfvs.read(folder(tmp_path))
    assert video.name == "P01"
    assert video.tags.tolist() == [
        [1, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 1, 0, 0],
        [1, 0, 1, 1],
    ]
    query = video.queries[0]
    assert query.name == "Baby_Car"
    assert query.oracle.tolist() == [0, 5]
    assert [user.tolist() for user in query.users] == [[0, 1], [0, 5], [2, 3, 4]]
    candidates = video.candidates(query)
    assert candidates.relevance.tolist() == [1, 0, 0, 0, 0.5, 0.5]
    assert candidates.times_s.tolist() == [2.5, 7.5, 12.5, 17.5, 22.5, 27.5]
    norms = np.linalg.norm(candidates.embeddings, axis=1)
    assert norms == pytest.approx([1, 1, 0, 1, 1, 1])


def test_the_reader_takes_any_videos(tmp_path: Path) -> None:
    folder(tmp_path, "P04")
    folder(tmp_path, "P02")
    assert [video.name for video in qfvs.read(tmp_path)] == ["P02", "P04"]


TAGS = "Dense_per_shot_tags/P01/P01.txt"
ORACLE = "Query-Focused_Summaries/Oracle_Summaries/P01/Baby_Car_oracle.txt"
USER = "Query-Focused_Summaries/User_Summaries/P01/Sky_Tree_user2.txt"


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (TAGS, b"Baby\nKar\n", "line 2: 'Kar' is not in Dictionary.txt"),
        (TAGS, b"", "is empty"),
        (TAGS, b"\xff\xfe\x00", "is not text"),
        (TAGS, None, "cannot be read"),
        ("Dense_per_shot_tags/Dictionary.txt", None, "cannot be read"),
        (ORACLE, b"1\n7\n", "line 2: expected a shot from 1 to 6, got '7'"),
        (ORACLE, b"0\n", "got '0'"),
        (ORACLE, b"1.5\n", "got '1.5'"),
        (ORACLE, "¹\n".encode(), "got '¹'"),
        (ORACLE, b"\n", "lists no shots"),
        (USER, b"1\ntwo\n", "line 2: expected a shot from 1 to 6, got 'two'"),
        (USER, None, "cannot be read"),
        (ORACLE.replace("Baby_Car", "Baby_Kar"), b"1\n", "not two concepts"),
        (ORACLE.replace("Baby_Car", "Baby"), b"1\n", "not two concepts"),
    ],
)
def test_broken_files_are_named(
    tmp_path: Path, file: str, content: bytes | None, says: str
) -> None:
    folder(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError) as caught:
        qfvs.read(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path / file) in str(caught.value)


def test_folders_without_videos_or_queries_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Dictionary\.txt cannot be read"):
        qfvs.read(tmp_path)
    (tmp_path / "Dense_per_shot_tags").mkdir()
    (tmp_path / "Dense_per_shot_tags" / "Dictionary.txt").write_text("'Baby'\n")
    with pytest.raises(DataError, match="no folder of a video"):
        qfvs.read(tmp_path)
    folder(tmp_path)
    for path in (tmp_path / ORACLE).parent.iterdir():
        path.unlink()
    with pytest.raises(DataError, match="has no summaries"):
        qfvs.read(tmp_path)


def test_f1_by_hand() -> None:
    tags = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]], np.float32)

    def f1(machine: list[int], human: list[int]) -> float:
        return qfvs.matching_f1(tags, np.array(machine, int), np.array(human, int))

    assert f1([0, 2], [0, 2]) == 1
    # IoU of 1 with 0 is 1/2, with 3 is 1/3: the better pair is w = 1/2, P = 1/2, R = 1/4.
    assert f1([1], [0, 3]) == pytest.approx(2 * (1 / 2) * (1 / 4) / (1 / 2 + 1 / 4))
    # 0 with 0 and 1 with 3 weigh 1 + 1/3, the other way round 2/3 + 1/2.
    assert f1([0, 1], [0, 3]) == pytest.approx((1 + 1 / 3) / 2)
    # Greedily 3 is paired with 0 (2/3) and nothing is left for 1; 3 with 2, 1 with 0 weigh more.
    assert f1([3, 1], [0, 2]) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert f1([1], [2]) == 0
    assert f1([4], [4]) == 0
    assert f1([], [0]) == f1([0], []) == 0


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
def test_f1_is_the_best_of_all_matchings(seed: int, m: int, h: int) -> None:
    rng = np.random.default_rng(seed)
    tags = (rng.random((12, 6)) < 0.4).astype(np.float32)
    machine, human = rng.permutation(12)[:m], rng.permutation(12)[:h]

    def iou(a: int, b: int) -> float:
        one, other = set(np.flatnonzero(tags[a])), set(np.flatnonzero(tags[b]))
        return len(one & other) / len(one | other) if one | other else 0.0

    short, long = sorted((machine, human), key=len)
    weight = max(
        sum(iou(a, b) for a, b in zip(short, chosen, strict=True))
        for chosen in permutations(long, len(short))
    )
    precision, recall = weight / m, weight / h
    want = 2 * precision * recall / (precision + recall) if weight else 0.0
    assert qfvs.matching_f1(tags, machine, human) == pytest.approx(want, abs=1e-6)
    assert qfvs.matching_f1(tags, human, machine) == pytest.approx(want, abs=1e-6)


def test_the_bootstrap_is_reproducible_and_covers() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(30)
    estimate = bootstrap(scores)
    assert estimate == bootstrap(scores.tolist())
    assert estimate.mean == pytest.approx(scores.mean())
    assert estimate.low < estimate.mean < estimate.high
    # The normal approximation of the same interval.
    half = 1.96 * scores.std() / np.sqrt(30)
    assert estimate.high - estimate.low == pytest.approx(2 * half, rel=0.05)
    assert bootstrap([0.5] * 4) == (0.5, 0.5, 0.5)
    # 95 % intervals of samples of one distribution hold its mean about so often.
    covered = [
        low <= 0.5 <= high for _, low, high in (bootstrap(rng.random(40)) for _ in range(200))
    ]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_the_ratio_of_means_is_paired() -> None:
    rng = np.random.default_rng(0)
    reference = rng.random(40)
    # The units vary and the ratio does not: drawn apart, its interval would be wide.
    half = ratio(reference / 2, reference)
    assert half == pytest.approx((0.5, 0.5, 0.5))
    mean, low, high = ratio(reference + rng.normal(0, 0.1, 40), reference)
    assert 0.85 < low < mean < high < 1.15
    assert mean - low > 0.01


def test_methods_are_the_baselines_and_the_objectives() -> None:
    options = Options().attention
    every = [*backends.names("baseline"), *backends.names("objective")]
    assert list(methods(options))[: len(every)] == every
    assert list(methods(options, ["mmr", "paper"])) == ["mmr", "paper"]
    with pytest.raises(OptionError, match="unknown method 'mnr'; valid: uniform, random"):
        methods(options, ["mnr"])


def test_what_is_fitted_has_not_seen_the_video_that_it_is_tested_on(tmp_path: Path) -> None:
    for name in ("P01", "P02", "P03"):
        folder(tmp_path, name)
    videos = qfvs.read(tmp_path)
    seen: list[set[str]] = []

    def fit(cases: Sequence[Case]) -> dict[str, Method]:
        seen.append({case.group for case in cases})
        assert [case.question for case in cases] == ["Baby Car", "Sky Tree"] * 2
        last = len(seen)

        def fitted(candidates: Candidates, size: int) -> np.ndarray:
            # The first video gets the oracle, the others something else.
            return np.array([0, 5] if last == 1 else [2, 3])

        return {"fitted": fitted}

    result = qfvs.evaluate(videos, methods(Options().attention, ["seal", "top-k"]), fit=fit)
    assert seen == [{"P02", "P03"}, {"P01", "P03"}, {"P01", "P02"}]
    assert list(result["methods"]) == ["seal", "top-k", "fitted"]
    row, oracle = result["methods"]["fitted"], result["oracle"]
    assert row["videos"]["P01"] == oracle["videos"]["P01"]
    assert row["videos"]["P02"] == row["videos"]["P03"] != oracle["videos"]["P02"]
    assert row["scores"][:2] == oracle["scores"][:2]
    gap = result["methods"]["seal"]["f1"]["mean"] - row["f1"]["mean"]
    assert result["ahead"]["fitted"]["f1"]["mean"] == pytest.approx(gap)
    with pytest.raises(DataError, match="nothing is left to learn from without P01"):
        qfvs.evaluate(videos[:1], {}, fit=fit)


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    folder(tmp_path / "qfvs")
    arguments = ["eval", "qfvs", "--method", "top-k", "--method", "normalised"]
    for data in (tmp_path, tmp_path / "qfvs"):
        run = CliRunner().invoke(main, [*arguments, "--data", str(data), "--json"])
        assert run.exit_code == 0, run.stderr
        result = json.loads(run.stdout)
        assert result.keys() == {
            *("benchmark", "settings", "videos", "queries", "oracle", "people", "methods"),
            *("default", "ahead"),
        }
        assert result["benchmark"] == "qfvs"
        assert result["videos"] == {"P01": 6}
        assert result["queries"] == ["P01/Baby_Car", "P01/Sky_Tree"]
        assert result["methods"].keys() == {"top-k", "normalised"}
        figures = result["methods"]["top-k"]
        assert figures["f1"].keys() == {"mean", "low", "high"}
        assert figures["f1"]["mean"] == pytest.approx(np.mean(figures["scores"]))
        assert len(figures["scores"]) == 2
        assert figures["videos"].keys() == {"P01"}
        assert figures["seconds"] >= 0
    table = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path)])
    assert [line.split("  ")[0] for line in table.stdout.splitlines()[3:]] == [
        *("the oracle", "people with each other", "top-k", "normalised")
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "--data nowhere is not a folder"),
        (["--method", "top"], "unknown method 'top'"),
        (["--set", "attention.cost_action=2"], "attention.cost_KIND has no effect here"),
        (["--set", "video.rate_hz=3"], "video.rate_hz=3 has no effect here"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(main, ["eval", "qfvs", "--data", ".", *arguments])
    assert run.exit_code == 1
    assert run.stderr.startswith("seal: ")
    assert says in run.stderr


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    run = CliRunner().invoke(main, ["eval", "qfvs", "--data", str(folder(tmp_path))])
    assert run.exit_code == 1
    assert 'pip install "seal-video[eval]"' in run.stderr


def test_anchors_on_the_published_data(shared_data: Path) -> None:
    """Known beforehand from another implementation of the same definitions."""
    if not (shared_data / "qfvs").is_dir():
        pytest.skip(f"no QFVS in {shared_data}")
    videos = [video for video in qfvs.read(shared_data / "qfvs") if video.name in ("P01", "P02")]
    assert {video.name: len(video.tags) for video in videos} == {"P01": 2783, "P02": 3692}
    assert [len(video.queries) for video in videos] == [45, 45]
    result = qfvs.evaluate(videos, methods(Options().attention, ["uniform"]))
    assert result["oracle"]["f1"]["mean"] == pytest.approx(0.7485, abs=1e-4)
    assert result["people"]["f1"]["mean"] == pytest.approx(0.565, abs=5e-4)
    # Uniform with a shot at either end; ours takes the middles of equal parts (0.476).
    assert result["methods"]["uniform"]["f1"]["mean"] == pytest.approx(0.480, abs=0.005)
