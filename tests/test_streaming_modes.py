"""Benchmarks in streaming mode: the choice window by window, beside the one made all at once."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import seal.watch
from filmed import write_film
from seal.answer.evidence import gather
from seal.attention import relevance
from seal.attention.streaming import windows_of
from seal.cli import main
from seal.cli.evaluate.asking import streamed_ways
from seal.config import DecodeOptions, HeadOptions, MiniEncode, Options, SelectOptions, WatchOptions
from seal.encode import load
from seal.errors import OptionError
from seal.evaluate.ways import Streamed
from seal.ground.checkpoint import load as load_head
from seal.ground.examples import Timeline, chosen
from seal.ground.localise import localise
from seal.scope import Scope
from seal.types import Tokens
from test_answer_endpoint import Server, server
from test_one_selection import (
    BUDGET,
    as_set,
    ask_lvbench,
    ask_nlq,
    greedy,
    looked_at,
    mini_head,
    questions,
    relevance_by_formula,
    stored,
)

__all__ = ["looked_at", "server"]

WINDOW_S = 20.0


def window_by_window(relevance: np.ndarray, tokens: Tokens) -> list[int]:
    """T_sub(t) = select(T_t u T_sub(t-1)), with the plain greedy (section 3.2)."""
    kept: list[int] = []
    begin_s = tokens.start_s.min()
    for number in range(20):
        inside = (tokens.start_s - begin_s) // WINDOW_S == number
        offered = np.array([*kept, *np.flatnonzero(inside).tolist()], int)
        budget = min(BUDGET, len(offered))
        kept = offered[greedy(relevance[offered], tokens.embeddings[offered], budget)].tolist()
    return kept


def test_streamed_evidence_and_positions_are_those_of_the_plain_steps(tmp_path: Path) -> None:
    store, _ = stored(tmp_path)
    scope, encoder = Scope.of(store, "film", "ask"), load(MiniEncode())
    tokens, line = scope.tokens, Timeline.of(scope.tokens)
    head = HeadOptions(budget=BUDGET, select="paper", stream_s=WINDOW_S)
    differs = 0
    for question in questions(10):
        scores = relevance_by_formula(encoder, question, tokens.embeddings)
        wanted = window_by_window(scores, tokens)
        assert set(Streamed(WINDOW_S)(scope, question, BUDGET).rows) == set(wanted)
        rows = chosen(line, scope.relevance(question)[None], head)
        assert set(rows.tolist()) == set(wanted)
        at_once = set(gather(scope, question, BUDGET).rows)
        assert set(Streamed(1e6)(scope, question, BUDGET).rows) == at_once
        differs += at_once != set(wanted)
    assert differs


def test_windows_hold_every_row_once_and_in_order() -> None:
    start_s = np.array([130.0, 10.0, 69.0, 70.0, 10.0])
    windows = windows_of(start_s, 60.0)
    assert [rows.tolist() for rows in windows] == [[1, 4, 2], [3], [0]]
    assert windows_of(np.empty(0), 60.0) == []


def test_streamed_evidence_keeps_to_what_is_shown_and_forbidden(tmp_path: Path) -> None:
    store, _ = stored(tmp_path)
    scope = Scope.of(store, "film", "ask", ["attention.cost_action=3"])
    way, never = Streamed(WINDOW_S), scope.tokens.start_s > 60
    first = way(scope, "a red ball", 8, exclude=never).rows
    assert not never[first].any()
    actions = (scope.tokens.kinds[first] == "action").sum()
    assert 0 < len(first) + 2 * actions <= 8
    more = way(scope, "a red ball", 8, shown=first, new=3).rows
    assert 0 < len(more) <= 3
    assert not set(more) & set(first)


def test_seal_eval_lvbench_in_streaming_mode(tmp_path: Path, server: Server) -> None:
    store, rules = stored(tmp_path)
    flags = ["--mode", "streaming", "--window", str(WINDOW_S), "--methods", "seal"]
    result = ask_lvbench(tmp_path, store, rules, questions(3), server, *flags)
    assert list(result["methods"]) == ["seal", "seal (streaming)"]
    assert result["manifest"]["methods"]["seal (streaming)"]["window_s"] == WINDOW_S
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    scope, sizes = Scope.of(store, "film", "ask"), set()
    for line in lines:
        if line.get("method") == "seal (streaming)":
            rows = Streamed(WINDOW_S)(scope, questions(3)[int(line["id"])], BUDGET).rows
            assert line["evidence"] == scope.tokens.ids[rows].tolist()
        sizes.add(len(line.get("evidence", range(BUDGET))))
    assert sizes == {BUDGET}


def test_seal_eval_nlq_in_streaming_mode(tmp_path: Path, looked_at: list[np.ndarray]) -> None:
    store, rules = stored(tmp_path)
    head, flags = mini_head(tmp_path / "head", BUDGET), ["--mode", "streaming", "--window", "20"]
    result = ask_nlq(tmp_path, store, rules, questions(3), head, *flags)
    assert list(result["methods"]) == ["head", "head (streaming)", "find"]
    assert result["settings"]["heads"] == [str(head)]
    assert "first_ahead" in result["methods"]["head (streaming)"]
    ran = result["settings"]["options"]["head (streaming)"]["paper"]
    assert ran["head"]["stream_s"] == WINDOW_S
    tokens, encoder = store.tokens("film"), load(MiniEncode())
    # First all questions at once, then window by window.
    for question, seen in zip(questions(3), looked_at[3:], strict=True):
        scores = relevance_by_formula(encoder, question, tokens.embeddings)
        assert as_set(seen) == as_set(tokens.embeddings[window_by_window(scores, tokens)])
    other = mini_head(tmp_path / "other", BUDGET)
    result = ask_nlq(tmp_path, store, rules, questions(1), head, "--head", str(other), *flags)
    names = [str(head), f"{head} (streaming)", str(other), f"{other} (streaming)", "find"]
    assert list(result["methods"]) == list(result["settings"]["options"]) == names


def test_a_window_without_streaming_is_refused(tmp_path: Path) -> None:
    nlq = ["eval", "nlq"]
    published = ["--data", str(tmp_path), "--head", "h", "--features", "egovlp:f"]
    for flags, message in (
        (["--window", "9"], "--window has no effect without --mode streaming"),
        (["--mode", "streaming"], "--head"),
        ([*published, "--mode", "streaming"], "--mode streaming is about the tokens"),
        ([*published, "--set", "head.select=paper"], "head.select=paper has no effect"),
        (["--mode", "streaming", "--window", "0.5"], "window_s must be at least 1"),
    ):
        run = CliRunner().invoke(main, [*nlq, *flags])
        assert run.exit_code != 0
        assert message in run.stderr
    with pytest.raises(click.UsageError, match="--window has no effect"):
        streamed_ways("global", 9.0)
    for name in ("lvbench", "moviechat"):
        command = ["eval", name, "--annotations", "a", "--outputs", "b", "--mode", "streaming"]
        command += ["--judge", "openai:m"] if name == "moviechat" else []
        assert CliRunner().invoke(main, command).exit_code == 2


def test_streams_of_a_head_need_windows() -> None:
    with pytest.raises(OptionError, match="stream_s must be at least 1"):
        HeadOptions(stream_s=0)


def test_a_head_finds_moments_while_a_file_is_watched(tmp_path: Path) -> None:
    """After each window the moments are those that the head finds among the tokens of its line."""
    write_film(tmp_path / "film.mp4", seed=0, duration_s=12.0)
    head = mini_head(tmp_path / "head", BUDGET)
    flags = ["--window", "4", "--budget", "12", "--head", str(head)]
    command = ["watch", str(tmp_path / "film.mp4"), "--query", "a red ball", *flags]
    said = CliRunner().invoke(main, [*command, "--json"], catch_exceptions=False)
    windows = [json.loads(line)["queries"][0] for line in said.stdout.splitlines()]
    assert len(windows) == 3
    watched = seal.watch.watch(
        str(tmp_path / "film.mp4"),
        Options.load("mini", task="watch"),
        WatchOptions(4.0, 12),
        ["a red ball"],
    )
    encoder, network = load(MiniEncode()), load_head(str(head))
    for window, line in zip(watched, windows, strict=True):
        (standing,) = window.choices
        assert [row["id"] for row in line["selection"]] == standing.tokens.ids.tolist()
        asked = encoder.encode_texts(["a red ball"])
        scores = relevance(standing.tokens, asked[0], encoder.calibration, "a red ball")
        # All chosen tokens are its positions, scenes among them or not.
        rule = SelectOptions("paper")
        wanted = localise(
            network, standing.tokens, asked, [scores], DecodeOptions(), BUDGET, select=rule
        )[0]
        found = [(moment["start_s"], moment["end_s"]) for moment in line["moments"]]
        times_s = [(each.span.start_s, each.span.end_s) for each in wanted]
        np.testing.assert_allclose(found, times_s, atol=1e-3)
        assert found
    text = CliRunner().invoke(main, command, catch_exceptions=False).stdout
    assert text.count(", moment ") == 3


def test_a_head_that_a_stream_cannot_serve_is_refused(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", seed=0, duration_s=2.0)
    head = mini_head(tmp_path / "head", BUDGET, positions="frames")
    run = CliRunner().invoke(main, ["watch", str(tmp_path / "film.mp4"), "--head", str(head)])
    assert run.exit_code == 1
    assert "looks at frames, which a stream does not keep" in run.stderr
