"""The QMSum benchmark: metrics by hand, reading whole and broken files, known figures."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from seal.attention import Candidates
from seal.cli import main
from seal.config import Options
from seal.errors import BackendError, DataError, OptionError
from seal.evaluate import qmsum
from seal.evaluate.cases import Comparison, SpanCase
from seal.evaluate.methods import methods
from seal.evaluate.texts import RELEVANCE, embedder, static_vectors

TURNS = ["we start now", "the budget is large", "", "is it", "yes the budget", "we stop"]


def question(text: str, *spans: tuple[str, str]) -> dict:
    return {"query": text, "answer": "", "relevant_text_span": [list(span) for span in spans]}


def meeting(*questions: dict, turns: list[str] = TURNS) -> dict:
    """A meeting as published."""
    return {
        "topic_list": [],
        "general_query_list": [],
        "specific_query_list": list(questions),
        "meeting_transcripts": [
            {"speaker": "AB"[i % 2], "content": words} for i, words in enumerate(turns)
        ],
    }


def folder(root: Path, **splits: list) -> Path:
    for name, meetings in splits.items():
        lines = [one if isinstance(one, str) else json.dumps(one) for one in meetings]
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return root


BUDGET = question("What of the budget?", ("1", "1"), ("4", "5"))


def case(spans: list[list[int]], n: int = 6, **sizes: int) -> SpanCase:
    mask = np.zeros((len(spans), n), bool)
    for row, turns in zip(mask, spans, strict=True):
        row[turns] = True
    zeros = np.zeros(n, np.float32)
    candidates = Candidates(zeros, np.eye(n, dtype=np.float32), np.arange(n) + 0.5)
    return SpanCase("?", "a", "g", candidates, sizes, mask)


def test_the_metrics_by_hand() -> None:
    one = case([[1], [4, 5]])

    def scores(*rows: int) -> tuple[float, ...]:
        return tuple(one.scores(np.array(rows, np.int64)).values())

    assert list(one.scores(np.array([0]))) == ["precision", "recall", "hit"]
    assert scores() == (0, 0, 0)
    assert scores(1, 4, 5) == (1, 1, 1)
    assert scores(5, 4) == (1, 2 / 3, 1 / 2)
    assert scores(0, 1) == (1 / 2, 1 / 3, 1 / 2)
    assert scores(2, 3, 0) == (0, 0, 0)
    # A turn of two spans is one turn, and both of them are hit by it.
    assert case([[1, 2], [2, 3]]).scores(np.array([2])) == {
        "precision": 1,
        "recall": pytest.approx(1 / 3),
        "hit": 1,
    }


def test_a_comparison_is_paired_and_draws_units_together() -> None:
    first = case([[0]], tight=1, loose=2)
    cases = [first, case([[1]], tight=1, loose=2)]

    def head(candidates: Candidates, size: int) -> np.ndarray:
        return np.arange(size)

    def tail(candidates: Candidates, size: int) -> np.ndarray:
        return np.arange(size)[::-1] + 1

    comparison = Comparison()
    for each in cases:
        comparison.ask({"seal": head, "other": tail}, each)
    found = comparison.figures("seal")
    assert found["methods"]["seal"]["hit@tight"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert found["methods"]["seal"]["hit@loose"]["mean"] == 1
    assert found["methods"]["seal"]["precision@loose"]["mean"] == 0.5
    assert found["methods"]["other"]["hit@tight"]["mean"] == 0.5
    assert found["methods"]["other"]["hit@loose"]["mean"] == 0.5
    assert found["methods"]["other"]["seconds"] >= 0
    assert found["ahead"].keys() == {"other"}
    assert found["ahead"]["other"]["hit@tight"]["mean"] == 0
    assert found["ahead"]["other"]["hit@loose"]["mean"] == 0.5
    assert comparison.figures("paper")["ahead"] == {}
    # Two units would be drawn each for itself.
    apart = Comparison()
    for each, unit in zip(cases, "ab", strict=True):
        apart.add(unit, {"seal": {"hit@tight": each.scores(np.array([0]))["hit"]}})
    assert apart.figures("seal")["methods"]["seal"]["hit@tight"]["low"] == 0


def test_turns_are_tokens_at_two_and_a_half_words_a_second(tmp_path: Path) -> None:
    (one,) = qmsum.read(folder(tmp_path, val=[meeting(BUDGET)])).usable
    assert one.name == "val/1"
    tokens = one.tokens(np.eye(6, dtype=np.float32))
    assert set(tokens.kinds) == {"speech"}
    assert tokens.text.tolist()[:3] == ["A: we start now", "B: the budget is large", "A: "]
    assert tokens.start_s.tolist() == pytest.approx([0, 1.2, 2.8, 2.8, 3.6, 4.8])
    assert tokens.end_s.tolist() == pytest.approx([1.2, 2.8, 2.8, 3.6, 4.8, 5.6])
    assert (tokens.embeddings == np.eye(6)).all()


@pytest.mark.parametrize("relevance", RELEVANCE)
def test_cases_hold_all_that_fitting_needs(tmp_path: Path, relevance: str) -> None:
    if relevance not in ("mini", "words") and find_spec("wordllama") is None:
        pytest.skip("wordllama is not installed")
    second = question("Who starts?", ("0", "0"))
    found = qmsum.read(folder(tmp_path, val=[meeting(BUDGET, second)], train=[meeting(second)]))
    assert found.splits == ("train", "val")
    cases = list(qmsum.cases(found.usable, relevance, (1, 34)))
    assert [one.unit for one in cases] == ["train/1/1", "val/1/1", "val/1/2"]
    assert [one.group for one in cases] == ["train/1", "val/1", "val/1"]
    one, other = cases[1:]
    assert one.question == "What of the budget?"
    assert one.spans.tolist() == [[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]]
    # 1 % of six turns is less than one; 34 % is 2.04.
    assert one.sizes == {"1%": 1, "34%": 2}
    assert one.candidates.embeddings is other.candidates.embeddings
    assert np.abs(one.candidates.relevance).max() <= 1 + 1e-6
    assert set(np.argsort(-one.candidates.relevance)[:2]) == {1, 4}
    norms = np.linalg.norm(one.candidates.embeddings, axis=1)
    assert norms == pytest.approx(np.ones(6), abs=1e-5)


def test_a_text_that_means_nothing_has_no_embedding() -> None:
    vectors = embedder("mini")(["a dog", " ", ""])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0], abs=1e-6)
    assert (embedder("mini")(["a dog"])[0] == vectors[0]).all()
    if find_spec("wordllama") is not None:
        vectors = embedder("static")(["a dog", "", "A dog."])
        assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1], abs=1e-6)
        assert vectors[0] @ vectors[2] > 0.8
    with pytest.raises(OptionError, match="unknown relevance 'bm26'; valid: static, mini, bm25"):
        embedder("bm26")


def test_missing_word_vectors_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    static_vectors.cache_clear()
    monkeypatch.setattr("seal.evaluate.texts.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'wordllama.*pip install "seal-video\[eval\]"'):
        embedder("static")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("{", "meeting 1: an entry that cannot be read"),
        ("[]", "not laid out as published"),
        ({"specific_query_list": []}, "an entry without 'meeting_transcripts'"),
        (meeting(BUDGET, turns=[]), "a meeting without turns"),
        (meeting(), "a meeting without specific questions"),
        (meeting(BUDGET) | {"meeting_transcripts": {}}, "a list that is none"),
        (meeting(BUDGET) | {"meeting_transcripts": [{"speaker": "A"}]}, "without 'content'"),
        (meeting(BUDGET, turns=[None]), "a text that is none (None)"),
        (meeting(question(" ", ("0", "0"))), "question 1: a question without words"),
        (meeting(question("?")), "question 1: a question that no turn answers"),
        (meeting(question("?", ("0", "6"))), "a span of turns that the meeting does not have"),
        (meeting(question("?", ("2", "1"))), "a span of turns that the meeting does not have"),
        (meeting(question("?", ("0", "1.5"))), "not laid out as published"),
        (meeting({"query": "?"}), "an entry without 'relevant_text_span'"),
        (meeting(3), "not laid out as published"),
    ],
)
def test_what_is_malformed_is_left_out_counted_and_named(
    tmp_path: Path, broken: dict | str, says: str
) -> None:
    folder(tmp_path, val=[broken, meeting(BUDGET, question("?"))])
    found = qmsum.read(tmp_path)
    assert [one.name for one in found.usable] == ["val/2"]
    assert len(found.usable[0].questions) == 1
    assert len(found.skipped) == 2
    assert says in found.skipped[0].message
    assert found.skipped[0].message.startswith(f"{tmp_path / 'val.jsonl'}: meeting 1")
    assert found.skipped[1].message.startswith(f"{tmp_path / 'val.jsonl'}: meeting 2, question 2")


def test_files_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no meetings"):
        qmsum.read(tmp_path)
    folder(tmp_path, val=[meeting(BUDGET)], train=[])
    (tmp_path / "test.jsonl").write_bytes(b"\xff\xfe")
    found = qmsum.read(tmp_path)
    assert [one.item for one in found.skipped] == [str(tmp_path / "test.jsonl")]
    with pytest.raises(DataError, match=r"no meeting in .* can be used: .*test\.jsonl"):
        qmsum.read(tmp_path, ["test"])
    with pytest.raises(DataError, match="train is empty"):
        qmsum.read(tmp_path, ["train"])
    with pytest.raises(OptionError, match=r"no split 'dev' in .*; valid: test, train, val"):
        qmsum.read(tmp_path, ["val", "dev"])


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    data = tmp_path / "qmsum"
    data.mkdir()
    folder(data, val=[meeting(BUDGET), "{"], train=[meeting(BUDGET)])
    arguments = ["eval", "qmsum", "--relevance", "mini", "--method", "top-k", "--method", "seal"]
    for place in (tmp_path, data):
        run = CliRunner().invoke(
            main, [*arguments, "--splits", "val", "--data", str(place), "--json"]
        )
        assert run.exit_code == 0, run.stderr
        result = json.loads(run.stdout)
        assert result["benchmark"] == "qmsum"
        assert (result["splits"], result["meetings"], result["questions"]) == (["val"], 1, 1)
        assert result["left_out"]["count"] == 1
        assert result["methods"].keys() == {"top-k", "seal"}
        metrics = {f"{m}@{b}%" for m in ("precision", "recall", "hit") for b in (1, 2, 5, 10)}
        assert result["methods"]["seal"].keys() == {*metrics, "seconds"}
        assert result["methods"]["seal"]["hit@1%"].keys() == {"mean", "low", "high"}
        assert result["ahead"].keys() == {"top-k"}
        assert result["ahead"]["top-k"].keys() == metrics
    plot = tmp_path / "plot.png"
    arguments += ["--plot", str(plot)]
    table = CliRunner().invoke(main, [*arguments, "--budget", "34", "--data", str(tmp_path)])
    assert plot.read_bytes().startswith(b"\x89PNG")
    lines = table.stdout.splitlines()
    assert lines[0].startswith("2 questions about 2 meetings of train, val; relevance: mini")
    assert [line.split()[0] for line in lines if line] == [
        *("2", "34%", "method", "top-k", "seal", "by", "top-k")
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--splits", "dev"], "valid: val"),
        (["--relevance", "bert"], "unknown relevance 'bert'"),
        (["--method", "top"], "unknown method 'top'"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: list[str], says: str) -> None:
    folder(tmp_path, val=[meeting(BUDGET)])
    run = CliRunner().invoke(main, ["eval", "qmsum", "--data", str(tmp_path), *arguments])
    assert run.exit_code == 1
    assert says in run.stderr


@pytest.mark.parametrize(
    ("relevance", "name", "precision", "hit"),
    [
        ("static", "top-k", 0.235, 0.717),
        ("static", "mmr", 0.234, 0.766),
        ("static", "aks", 0.148, 0.675),
        ("bm25", "top-k", 0.253, 0.789),
        ("words", "top-k", 0.307, 0.838),
        ("words-static", "top-k", 0.301, 0.812),
    ],
)
def test_anchors_on_the_published_data(
    shared_data: Path, relevance: str, name: str, precision: float, hit: float
) -> None:
    """Those of vectors are from another implementation, those of words from `seal eval qmsum`."""
    if not (shared_data / "qmsum" / "val.jsonl").is_file():
        pytest.skip(f"no QMSum in {shared_data}")
    if find_spec("wordllama") is None:
        pytest.skip("wordllama is not installed")
    meetings = qmsum.read(shared_data / "qmsum", ["val"])
    assert not meetings.skipped
    (method,) = methods(Options().attention, [name]).values()
    scores = [
        case.scores(method(case.candidates, case.sizes["2%"]))
        for case in qmsum.cases(meetings.usable, relevance, [2])
    ]
    assert len(scores) == 237
    assert np.mean([one["precision"] for one in scores]) == pytest.approx(precision, abs=6e-4)
    assert np.mean([one["hit"] for one in scores]) == pytest.approx(hit, abs=6e-4)
