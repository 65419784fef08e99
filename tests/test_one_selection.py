"""The profile `paper`: all commands choose what a plain greedy on the published formula chooses.

The greedy stands here and shares no code with SEAL. The profile `paper` names models whose weights
the tests do not have; the videos are stored with its name and the options of `mini`'s encoder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import seal
from filmed import filmed
from seal.attention import Candidates, pick
from seal.cli import main
from seal.config import (
    PROFILES,
    HeadOptions,
    MiniEncode,
    Options,
    SelectOptions,
    SnagOptions,
    as_dict,
)
from seal.encode import Encoder, check_texts, load
from seal.errors import OptionError
from seal.ground import localise as localising
from seal.ground.model import Head
from seal.ground.train import Localisation
from seal.store import Store
from seal.types import Tokens
from store_worker import KEYS, make_record
from test_answer_endpoint import Server, says, server

__all__ = ["server"]

ALPHA, S_MIN = 0.9, 0.5
BUDGET = 16
D = 256
"""The dimension of `mini`."""
RULES = ("attention", "answer", "head")
"""The stages of the profile `paper` that are no models."""


def greedy(relevance: np.ndarray, embeddings: np.ndarray, budget: int) -> list[int]:
    """alpha * sum R(t, q) + (1 - alpha) * sum_{i != j} 1 / S(t_i, t_j), S clipped to [s_min, 1],
    as written (section 3.2); the token that adds most joins, until the budget is spent. Gains that
    single precision cannot tell apart are equal, and of equals the most relevant token joins."""
    points = embeddings.astype(np.float64)
    different = 1 / np.clip(points @ points.T, S_MIN, 1)

    def value(rows: list[int]) -> float:
        pairs = different[np.ix_(rows, rows)]
        both_ways = pairs.sum() - np.trace(pairs)
        return float(ALPHA * relevance[rows].sum() + (1 - ALPHA) * both_ways)

    chosen: list[int] = []
    while len(chosen) < budget:
        gains = {
            row: value([*chosen, row]) - value(chosen)
            for row in range(len(points))
            if row not in chosen
        }
        best = max(gains.values())
        equal = [row for row, gain in gains.items() if best - gain <= 1e-6 * (1 + best)]
        chosen.append(max(equal, key=lambda row: float(relevance[row])))
    return chosen


def questions(count: int) -> list[str]:
    """Random ones, full of words that other profiles read: of cause, time and place."""
    rng = np.random.default_rng(0)
    starts = ["Why does", "When does", "What is there before", "What happens after", "Where is"]
    things = ["the dog", "a red ball", "the man in a hat", "an old car", "the street", "a boat"]
    ends = ["", " at the end", " for the first time", " while it rains", " at the beginning"]
    parts = (starts, things, [" stop", " turn left", " fall", " come back"], ends)
    return ["".join(_spaced(rng.choice(part) for part in parts)) + "?" for _ in range(count)]


def _spaced(words: Iterator[Any]) -> list[str]:
    first, *others = words
    return [f"{first} ", *map(str, others)]


class Words(Encoder):
    """Texts by their words, and no calibration: R is the cosine, as in the paper."""

    fingerprint = "words-of-a-test"
    dimension = D
    facets = 1

    def encode_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        check_texts(texts)
        drawn = [np.random.default_rng(crc32(text.encode())).normal(size=D) for text in texts]
        return _unit(np.array(drawn) + 1)


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def made_up(folder: Path, **changes: Any) -> Store:
    """A store with a video "film" of 90 random tokens, of which some are much alike."""
    rng = np.random.default_rng(1)
    kinds = np.repeat(["scene", "object", "action"], [30, 40, 20])
    centres = rng.normal(size=(12, D)) + 0.7
    noise = rng.uniform(0.2, 2, (90, 1)) * rng.normal(size=(90, D))
    embeddings = _unit(centres[rng.integers(0, 12, 90)] + noise)
    start = rng.choice(np.arange(0, 120_000, 40), 90, replace=False)
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(picture, "JPEG")
    tokens = Tokens.of(
        kinds,
        np.stack([start, start + 2000], 1),
        Fraction(1, 1000),
        embeddings[:, None],
        ids=[f"{kind}-{i}" for i, kind in enumerate(kinds)],
        tracks=[np.tile([at / 1000, 0, 0, 1, 1], (int(i >= 70), 1)) for i, at in enumerate(start)],
    )
    record = make_record(profile="paper", duration_s=122.0, options={}, **changes)
    store = Store(folder / "store", create=True)
    store.begin(record, KEYS)
    pictures = {int(at): picture.getvalue() for at in start}
    store.add(record.id, 0, KEYS, tokens, pictures)
    store.finish(record, KEYS)
    return store


def mini_head(folder: Path, budget: int, **changes: Any) -> Path:
    """A head with random weights, saved as training saves it."""
    fingerprint = load(MiniEncode()).fingerprint
    small = HeadOptions(
        budget=budget, dimension=D, width=16, heads=2, layers=1, levels=2, window=4, fused=4
    )
    folder.mkdir(parents=True, exist_ok=True)
    sizes = replace(small, **{"encoder": fingerprint, **changes})
    head = Head.of(sizes)
    Localisation(head).save(folder, head.state_dict())
    return folder


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The embeddings of the positions that heads look at, query by query."""
    seen: list[np.ndarray] = []
    real = localising.collate

    def collate(examples: Any) -> Any:
        seen.extend(each.video.embeddings for each in examples)
        return real(examples)

    monkeypatch.setattr(localising, "collate", collate)
    return seen


def as_set(embeddings: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in embeddings}


def test_select_ask_and_find_choose_what_the_plain_greedy_chooses(
    tmp_path: Path, looked_at: list[np.ndarray]
) -> None:
    """50 questions, R the cosine of the whole question; select also in the same order."""
    encoder = Words()
    instance = {"encoder": encoder.fingerprint, "encoder_options": {"backend": "instance"}}
    made_up(tmp_path, **instance)
    video = seal.open(tmp_path / "store", encoder=encoder)["film"]
    tokens, head = video.tokens, mini_head(tmp_path / "head", BUDGET, encoder="")
    differs = 0
    for number, question in enumerate(questions(50)):
        cosine = tokens.embeddings.astype(np.float64) @ encoder.encode_texts([question])[0]
        wanted = tokens.ids[greedy(cosine, tokens.embeddings, BUDGET)].tolist()
        assert video.select(question).tokens.ids.tolist() == wanted
        assert set(video.ask(question).evidence.ids) == set(wanted)
        video.find(question, head=str(head))
        rows = np.isin(tokens.ids, wanted)
        assert as_set(looked_at[number]) == as_set(tokens.embeddings[rows])
        other = video.ask(question, options={"answer.query": "phrase", "answer.intent": "on"})
        differs += set(other.evidence.ids) != set(wanted)
    assert differs > 25, "the questions have words that the options are about"


def relevance_by_formula(encoder: Encoder, question: str, embeddings: np.ndarray) -> np.ndarray:
    """R of `mini`, as the text of `seal.encode.calibration` writes it."""
    c, q = encoder.calibration, encoder.encode_texts([question])[0].astype(np.float64)
    assert c is not None
    axis = q - c.texts
    spread = 10 * np.sqrt(axis @ c.covariance.astype(np.float64) @ axis)
    return np.asarray((embeddings.astype(np.float64) - c.pictures) @ axis / spread)


def stored(folder: Path) -> tuple[Store, tuple[str, ...]]:
    """Tokens made here, of the profile `paper`."""
    encoder = load(MiniEncode())
    mini = {"encoder": encoder.fingerprint, "encoder_options": as_dict(MiniEncode())}
    return made_up(folder, **mini), ()


def indexed(folder: Path) -> tuple[Store, tuple[str, ...]]:
    """A film that is indexed by `mini` and asked with the rules of the profile `paper`."""
    plain = ("detect.backend=none", "segment.backend=classical", "track.backend=motion")
    store = filmed(folder, 12.0, *plain)
    paper = PROFILES["paper"].items()
    return store, tuple(f"{key}={v}" for key, v in paper if key.partition(".")[0] in RULES)


@pytest.mark.parametrize(("make", "count"), [(stored, 50), (indexed, 10)])
def test_benchmarks_choose_what_the_plain_greedy_chooses(
    make: Callable[[Path], tuple[Store, tuple[str, ...]]],
    count: int,
    tmp_path: Path,
    server: Server,
    looked_at: list[np.ndarray],
) -> None:
    store, rules = make(tmp_path)
    (record,) = store.videos()
    tokens, encoder = store.tokens(record.id), load(MiniEncode())
    assert not len(tokens.named)
    asked = questions(count)
    wanted = {}
    for i, question in enumerate(asked):
        scores = relevance_by_formula(encoder, question, tokens.embeddings)
        wanted[str(i)] = greedy(scores, tokens.embeddings, BUDGET)
    ask_lvbench(tmp_path, store, [each for each in rules if "head" not in each], asked, server)
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    evidence = {line["id"]: line["evidence"] for line in lines if line.get("method") == "seal"}
    assert evidence.keys() == wanted.keys()
    for name, rows in wanted.items():
        assert set(evidence[name]) == set(tokens.ids[rows].tolist()), asked[int(name)]
    ran = next(line["ran"] for line in lines if "video" in line)
    assert ran["attention"]["objective"] == "paper"
    assert ran["attention"]["solver"] == "greedy"
    assert (ran["answer"]["query"], ran["answer"]["intent"]) == ("question", "off")
    head = mini_head(tmp_path / "head", BUDGET)
    result = ask_nlq(tmp_path, store, rules, asked, head)
    ran = result["settings"]["options"]["head"][record.profile]
    assert ran["head"]["select"] == "paper"
    assert ran["find"]["head"] == str(head)
    assert len(looked_at) == count
    for rows, seen in zip(wanted.values(), looked_at, strict=True):
        assert as_set(seen) == as_set(tokens.embeddings[rows])


def test_nlq_compares_kinds_and_alphas(tmp_path: Path, looked_at: list[np.ndarray]) -> None:
    store, _ = stored(tmp_path)
    (record,) = store.videos()
    tokens, head = store.tokens(record.id), mini_head(tmp_path / "head", BUDGET)
    asked = questions(2)
    kinds = ("--kinds", "scene|scene,object|all")
    result = ask_nlq(tmp_path, store, ["head.select=paper"], asked, head, *kinds, "--alpha", "0,1")
    names = [f"{of}alpha={a}" for of in ("kinds=scene ", "kinds=scene,object ", "") for a in (0, 1)]
    finds = ["find kinds=scene", "find kinds=scene,object", "find"]
    assert list(result["methods"]) == [*(f"head {name}" for name in names), *finds]
    alphas = [
        each[record.profile]["head"]["alpha"] for each in result["settings"]["options"].values()
    ]
    assert alphas[:6] == [0, 1] * 3
    of = {
        name: as_set(tokens.embeddings[np.isin(tokens.kinds, ["scene", *more])])
        for name, more in (("scene", []), ("both", ["object"]))
    }
    seen = [as_set(each) for each in looked_at]
    assert len(seen) == 6 * len(asked)
    assert all(each <= of["scene"] for each in seen[:4])
    assert all(each <= of["both"] and not each <= of["scene"] for each in seen[4:8])
    assert any(not each <= of["both"] for each in seen[8:])
    assert seen[8] != seen[10], "alpha decides"
    for flags, message in (
        (("--alpha", "0,1"), "--alpha is about --head with --set head.select=paper"),
        (("--kinds", "sceen"), "sceen"),
    ):
        command = ["eval", "nlq", "--annotations", str(tmp_path / "nlq.json"), "--head", str(head)]
        wrong = CliRunner().invoke(main, [*command, "--store", str(store.path), *flags])
        assert wrong.exit_code != 0
        assert message in wrong.stderr


def ask_lvbench(
    folder: Path,
    store: Store,
    rules: Sequence[str],
    asked: list[str],
    server: Server,
    *flags: str,
) -> dict[str, Any]:
    """What `seal eval lvbench` prints; its run is `run.jsonl`."""
    qa = [
        {
            "uid": i,
            "question": f"{question}\n(A) x\n(B) y",
            "answer": "B",
            "question_type": ["reasoning"],
        }
        for i, question in enumerate(asked)
    ]
    (folder / "a.jsonl").write_text(json.dumps({"key": "film", "qa": qa}) + "\n")
    server.replies = [says("(B)")]
    settings = [*rules, f"answer.base_url={server.url}", f"attention.budget={BUDGET}"]
    command = ["eval", "lvbench", "--annotations", str(folder / "a.jsonl"), "--json"]
    command += ["--answerer", "openai:m", "--store", str(store.path)]
    command += ["--run", str(folder / "run.jsonl"), *(f"--set={each}" for each in settings)]
    return result_of([*command, *flags])


def result_of(command: list[str]) -> dict[str, Any]:
    run = CliRunner().invoke(main, command, catch_exceptions=False)
    assert run.exit_code == 0, run.output
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def ask_nlq(
    folder: Path, store: Store, rules: Sequence[str], asked: list[str], head: Path, *flags: str
) -> dict[str, Any]:
    """What `seal eval nlq` prints."""
    entries = [
        {"query": question, "clip_start_sec": 1.0, "clip_end_sec": 3.0, "template": "t"}
        for question in asked
    ]
    annotation = {"annotation_uid": "a", "language_queries": entries}
    clip = {"clip_uid": "film", "annotations": [annotation]}
    videos = {"version": "1", "videos": [{"video_uid": "v", "clips": [clip]}]}
    (folder / "nlq.json").write_text(json.dumps(videos))
    command = ["eval", "nlq", "--annotations", str(folder / "nlq.json"), "--json"]
    command += ["--store", str(store.path), "--head", str(head)]
    head_rules = [each for each in rules if each.startswith("head.")]
    return result_of([*command, *(f"--set={each}" for each in head_rules), *flags])


def test_an_answerer_keeps_what_the_profile_says_of_questions() -> None:
    for answerer in ("openai", "hf"):
        answer = Options.load("paper", {"answer.backend": answerer}, "ask").answer
        assert (answer.query, answer.intent) == ("question", "off")
    changed = Options.load("paper", ["answer.backend=openai", "answer.intent=on"], "ask").answer
    assert (changed.query, changed.intent) == ("question", "on")


@pytest.mark.parametrize("task", ["find", "find all", "show", "ask"])
def test_how_a_head_chooses_is_refused_where_no_head_reads_it(task: str) -> None:
    head = "find.head=runs/head"
    chosen = Options.load("mini", [head, "head.select=paper", "head.alpha=0.5"], task)
    assert chosen.head.on(HeadOptions()).attention.alpha == 0.5
    with pytest.raises(OptionError, match="without a trained head"):
        Options.load("mini", ["head.select=paper"], task)
    with pytest.raises(OptionError, match=r"it is for head\.select=paper"):
        Options.load("mini", [head, "head.alpha=0.5"], task)
    with pytest.raises(OptionError, match=r"alpha must lie in \[0, 1\]"):
        Options.load("mini", [head, "head.select=paper", "head.alpha=2"], task)


def test_a_head_is_used_as_it_was_trained_unless_a_query_says_otherwise(
    tmp_path: Path, looked_at: list[np.ndarray]
) -> None:
    store, _ = stored(tmp_path)
    video = seal.open(store.path)["film"]
    taught = mini_head(tmp_path / "taught", BUDGET, select="paper")
    other = mini_head(tmp_path / "other", BUDGET)
    assert "select" not in json.loads((other / "config.json").read_text())

    def positions(head: Path, rule: str) -> set[bytes]:
        video.find("a red ball", head=str(head), options={"head.select": rule})
        return as_set(looked_at[-1])

    paper, nearby = positions(other, "paper"), positions(other, "nearby")
    assert paper != nearby
    assert positions(taught, "trained") == paper
    assert positions(other, "trained") == nearby
    assert positions(taught, "nearby") == nearby
    with pytest.raises(OptionError, match="alpha has no effect: it is for select=paper"):
        HeadOptions(alpha=0.5)
    with pytest.raises(OptionError, match="positions must be tokens"):
        HeadOptions(positions="frames", select="paper")
    for frames in (HeadOptions(positions="frames"), SnagOptions()):
        assert SelectOptions("paper", stream_s=9).on(frames) == frames


def test_hundreds_of_positions_are_those_of_the_formula() -> None:
    """The value of 300 tokens is ten thousand times a relevance, which still decides."""
    rng = np.random.default_rng(2)
    points = _unit(rng.normal(size=(700, 32)) + 0.8)
    relevance = rng.normal(0, 0.1, 700).astype(np.float32)
    options = HeadOptions(budget=300, select="paper").attention
    rows = pick(Candidates(relevance, points, np.arange(700.0)), options)
    exact = points.astype(np.float64)
    different = 1 / np.clip(exact @ exact.T, S_MIN, 1)
    gains = ALPHA * relevance.astype(np.float64)
    for row in rows.tolist():
        # Single precision tells gains of this size apart by less than this.
        assert gains[row] >= gains.max() - 1e-6 * (1 + gains.max())
        gains += 2 * (1 - ALPHA) * different[row]
        gains[row] = -np.inf
