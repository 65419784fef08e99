"""The ways to choose evidence that benchmarks compare, ablations, and what a run says of itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from filmed import filmed
from seal.answer.evidence import gather
from seal.attention.baselines import moviechat
from seal.attention.candidates import Candidates
from seal.cli import main
from seal.errors import DataError, OptionError
from seal.evaluate import asking
from seal.evaluate.ways import ALIASES, Uniform, Variant, read_alphas, read_kinds, variants, ways
from seal.scope import Scope
from seal.store import Store
from test_answer_endpoint import Server, says, server  # noqa: F401

QUESTION = "Where is the red ball?"
NAMES = ["seal", "uniform", "topk", "aks", "bolt", "moviechat"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("ways")
    return filmed(folder, 6.0, "scenes.interval_s=0.25")


def opened(store: Store, *settings: str) -> Scope:
    return Scope.of(store, store.videos()[0].id, "ask", settings)


def kinds_of(scope: Scope, rows: np.ndarray) -> set[str]:
    return set(scope.tokens.kinds[rows].tolist())


def test_unknown_ways_are_refused_and_other_names_are_known() -> None:
    with pytest.raises(OptionError, match=r"unknown method 'clip'; valid: seal, uniform, .*bolt"):
        ways(["seal", "clip"])
    assert ways(["bolt"])["bolt"] == ways([ALIASES["bolt"]])["inverse-transform"]
    assert ways(["topk"])["topk"] == ways(["top-k"])["top-k"]
    assert ways(["seal", "uniform"]) == {"seal": gather, "uniform": Uniform()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [0, 1, 5, 500])
def test_every_way_keeps_to_the_budget_and_to_what_is_allowed(
    store: Store, name: str, budget: int
) -> None:
    video = opened(store)
    choose, tokens = ways([name])[name], video.tokens
    never = tokens.end_s > 4.0
    rows = choose(video, QUESTION, budget, exclude=never).rows
    assert not never[rows].any()
    assert len(set(rows.tolist())) == len(rows) <= budget
    assert (np.diff(video.start_s[rows]) >= 0).all()
    if name != "seal":
        frames = np.flatnonzero(tokens.where(lambda kind: kind.uniform) & ~never)
        assert set(rows) <= set(frames.tolist())
        assert len(rows) == min(budget, len(frames))
        shown = frames[:3]
        again = choose(video, QUESTION, budget, shown=shown, new=2).rows
        assert len(again) == min(budget, 2)
        assert not set(again) & set(shown)


def test_a_baseline_sees_the_frames_and_the_whole_question(store: Store) -> None:
    video = opened(store, "attention.cost_scene=2")
    frames = np.flatnonzero(video.tokens.where(lambda kind: kind.uniform))
    scores = video.relevance(QUESTION)[frames]
    # At two a frame, seven pay for three.
    rows = ways(["topk"])["topk"](video, QUESTION, 7).rows
    assert sorted(rows) == sorted(frames[np.argsort(-scores, kind="stable")[:3]])
    seen = Candidates(scores, video.tokens.embeddings[frames], video.tokens.middle_s[frames])
    rows = ways(["moviechat"])["moviechat"](video, QUESTION, 8).rows
    assert sorted(rows) == sorted(frames[moviechat(seen, 4)])


def test_kinds_of_token_can_be_asked_alone(store: Store) -> None:
    video = opened(store)
    for names in (("scene",), ("object",), ("scene", "object")):
        rows = Variant(names)(video, QUESTION, 6).rows
        assert len(rows) == 6
        assert kinds_of(video, rows) <= set(names)
    early = video.tokens.end_s <= 3.0
    rows = Variant(("scene",))(video, QUESTION, 6, exclude=~early).rows
    assert early[rows].all()
    assert kinds_of(video, rows) == {"scene"}
    assert (Variant()(video, QUESTION, 6).rows == gather(video, QUESTION, 6).rows).all()


def test_alpha_is_that_of_the_objective(store: Store) -> None:
    video, budget = opened(store), 6
    chosen = [tuple(Variant(alpha=alpha)(video, QUESTION, budget).rows) for alpha in (0, 0.5, 1)]
    for alpha, rows in zip((0, 0.5, 1), chosen, strict=True):
        other = opened(store, f"attention.alpha={alpha}")
        assert rows == tuple(gather(other, QUESTION, budget).rows)
    assert chosen[0] != chosen[2], "alpha decides something here"
    assert video.options.attention.alpha == opened(store).options.attention.alpha
    with pytest.raises(OptionError, match=r"--alpha has no effect on the objective seal: .*paper"):
        Variant(alpha=0.5)(opened(store, "attention.objective=seal"), QUESTION, budget)


def test_ablations_are_read() -> None:
    assert read_kinds("scene|scene, object|all") == [("scene",), ("scene", "object"), ()]
    assert read_alphas("0:1:0.1") == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert read_alphas("0.2,0.9") == [0.2, 0.9]
    assert read_alphas("0.5") == [0.5]
    assert list(variants("scene|all", "0.1:0.2:0.1")) == [
        "seal kinds=scene alpha=0.1",
        "seal kinds=scene alpha=0.2",
        "seal alpha=0.1",
        "seal alpha=0.2",
    ]
    assert variants(None, None) == {}
    with pytest.raises(OptionError, match="unknown token kind 'frames'; valid: scene, object"):
        read_kinds("scene|frames")
    for wrong in ("0:1", "1:0:0.1", "0:1:0", "0:2:0.5", "a", "", "0:1:-1", "nan", "0:1:1e-9"):
        with pytest.raises(OptionError, match=r"such as 0:1:0\.1, got"):
            read_alphas(wrong)


def test_a_run_refuses_a_video_that_was_asked_about_with_other_options(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    how = asking.ran(opened(store, "attention.budget=4"))
    asking.AnswerRun(path, {"answerer": "m"}).begin("film", how)
    run = asking.AnswerRun(path, {"answerer": "m"})
    run.begin("film", asking.ran(opened(store, "attention.budget=4")))
    assert path.read_text().count("\n") == 2, "nothing is said twice"
    with pytest.raises(DataError, match=r"about film with other options \(attention: .*budget"):
        run.begin("film", asking.ran(opened(store, "attention.budget=5")))
    with pytest.raises(DataError, match=r"holds a run with other settings .answerer: m, not n"):
        asking.AnswerRun(path, {"answerer": "n"})
    path.write_text('{"manifest": {}}\n{"id": 3}\n')
    with pytest.raises(DataError, match="is not the file of a run"):
        asking.AnswerRun(path, {})


@pytest.fixture
def command(store: Store, server: Server, tmp_path: Path) -> list[str]:  # noqa: F811
    """LVBench's command with two questions about the film."""
    qa: list[dict[str, Any]] = [
        {"uid": 1, "question_type": ["key information retrieval"], "answer": "A"},
        {"uid": 2, "question_type": ["entity recognition", "reasoning"], "answer": "B"},
    ]
    for entry in qa:
        entry["question"] = "Where is the red ball?\n(A) left\n(B) right"
    (tmp_path / "video_info.meta.jsonl").write_text(json.dumps({"key": "film", "qa": qa}))
    server.replies = [says("(A)")]
    command = ["eval", "lvbench", "--data", str(tmp_path), "--answerer", "openai:m"]
    command += ["--set", f"answer.base_url={server.url}", "--set", "attention.budget=3"]
    command += ["--run", str(tmp_path / "run.jsonl"), "--store", str(store.path)]
    return command


def test_the_command_compares_the_ways_that_it_is_told(
    store: Store,
    server: Server,  # noqa: F811
    command: list[str],
) -> None:
    run = CliRunner().invoke(main, [*command, "--methods", ",".join(NAMES), "--json"])
    result = json.loads(run.stdout)
    assert list(result["evidence"]) == list(result["methods"]) == NAMES
    assert len(server.requests) == 2 * len(NAMES)
    assert result["methods"]["seal"]["KIR"]["mean"] == 1
    assert result["methods"]["bolt"]["Rea"]["mean"] == 0
    assert result["methods"]["moviechat"]["overall"]["mean"] == 0.5
    manifest, record = result["manifest"], store.videos()[0]
    assert manifest["answerer"] == "openai:m"
    assert {"seal", "python", "numpy"} <= manifest["versions"].keys()
    assert manifest["methods"]["aks"] == {
        "selector": "aks",
        "of": "frames",
        "threshold": 0.8,
        "max_depth": 5,
    }
    assert manifest["methods"]["moviechat"]["window"] == 16
    (how,) = manifest["videos"]
    assert how["videos"] == ["film"]
    assert how["indexed"] == json.loads(json.dumps(record.options))
    assert how["indexed"]["scenes"]["interval_s"] == 0.25, "as the video's own record says"
    assert (how["profile"], how["encoder"]) == ("mini", record.encoder)
    ran = opened(store, "attention.budget=3").options.attention
    assert how["attention"]["budget"] == 3
    assert how["attention"]["objective"] == ran.objective, "as the task has it, not the default"
    again = CliRunner().invoke(main, [*command, "--methods", "topk,seal"])
    assert len(server.requests) == 2 * len(NAMES), "nothing is asked twice"
    lines = again.stdout.splitlines()
    start = lines.index(next(line for line in lines if line.startswith("all kinds of evidence")))
    assert lines[start + 2].split() == ["evidence", "KIR", "ER", "Rea", "overall"]
    assert [line.split()[0] for line in lines[start + 3 :]] == ["topk", "seal"]


def test_the_command_makes_one_table_of_an_ablation(
    server: Server,  # noqa: F811
    command: list[str],
) -> None:
    ablation = ["--kinds", "scene|scene,object|all", "--alpha", "0.1,0.9"]
    run = CliRunner().invoke(main, [*command, *ablation, "--json"])
    names = [
        f"seal{kinds} alpha={alpha}"
        for kinds in (" kinds=scene", " kinds=scene,object", "")
        for alpha in ("0.1", "0.9")
    ]
    result = json.loads(run.stdout)
    assert list(result["methods"]) == names
    assert result["manifest"]["methods"][names[0]] == {
        "selector": "attention",
        "of": "scene",
        "attention.alpha": 0.1,
    }
    for row in result["methods"].values():
        assert list(row) == ["KIR", "ER", "Rea", "overall"]
    text = CliRunner().invoke(main, [*command, *ablation, "--methods", "uniform,seal"]).stdout
    rows = text.partition("all kinds of evidence")[2].splitlines()[3:]
    assert [row.split("  ")[0] for row in rows] == ["uniform", *names]
    assert len(server.requests) == 2 * 7


def test_wrong_options_are_refused(command: list[str], tmp_path: Path) -> None:
    def told(*more: str) -> tuple[int, str]:
        run = CliRunner().invoke(main, [*command, *more])
        return run.exit_code, run.stderr

    assert told("--methods", "seal,clip")[0] == 1
    code, text = told("--methods", "uniform", "--kinds", "scene")
    assert (code, "--kinds and --alpha are about seal" in text) == (1, True)
    code, text = told("--alpha", "0.5", "--set", "attention.objective=coverage")
    assert (code, "no effect on the objective coverage" in text) == (1, True)
    scored = ["eval", "lvbench", "--data", str(tmp_path), "--outputs", "x", "--alpha", "0.5"]
    run = CliRunner().invoke(main, scored)
    assert (run.exit_code, "--alpha is about a model" in run.stderr) == (2, True)
