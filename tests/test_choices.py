"""Video-MME, MLVU and LongVideoBench: their published formats, and their scoring to the letter."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from filmed import filmed
from seal.cli import main
from seal.datacheck import EntryError
from seal.errors import DataError
from seal.evaluate import longvideobench, mlvu, videomme
from seal.evaluate.choices import Benchmark, _balanced
from seal.evaluate.lettered import lettered, right
from seal.evaluate.longvideobench import LONGVIDEOBENCH
from seal.evaluate.lvbench import LVBENCH
from seal.evaluate.mlvu import MLVU
from seal.evaluate.questions import BenchmarkQuestion
from seal.evaluate.videomme import VIDEOMME
from seal.evaluate.videos import Videos
from seal.store import Store
from test_answer_endpoint import Server, says, server  # noqa: F401

TASKS = (
    "1_plotQA",
    "2_needle",
    "3_ego",
    "4_count",
    "5_order",
    "6_anomaly_reco",
    "7_topic_reasoning",
)


def mme(number: int, answer: str = "B", **changes: Any) -> dict[str, Any]:
    row = {
        "video_id": f"{number:03d}",
        "duration": "long",
        "domain": "Knowledge",
        "sub_category": "Law",
        "url": "",
        "videoID": f"v{number}",
        "question_id": f"{number:03d}-1",
        "task_type": "Object Reasoning",
        "question": "What is it?",
        "options": ["A. A dog.", "B. A cat: small.", "C. B.", "D. 4"],
        "answer": answer,
    }
    return row | changes


def long(number: int, right: int = 1, **changes: Any) -> dict[str, Any]:
    entry = {
        "id": f"x_{number}",
        "video_id": f"v{number}",
        "video_path": f"v{number}.mp4",
        "subtitle_path": f"v{number}_en.json",
        "question": "What is it?",
        "question_wo_referring_query": "What?",
        "candidates": ["a dog", "a cat", "a cow", "a rat", "an owl"],
        "correct_choice": right,
        "duration_group": 600,
        "duration": 3.0,
        "question_category": "E3E",
        "topic_category": "KH-Knowledge-History",
        "position": [10],
        "level": "L2-Relation",
        "starting_timestamp_for_subtitles": 0,
        "view_count": 1,
    }
    return entry | changes


def one(answer: str = "2", **changes: Any) -> dict[str, Any]:
    entry = {
        "video": "film.mp4",
        "duration": 3.0,
        "question": "How many?",
        "candidates": ["1", "2", "3", "4"],
        "answer": answer,
        "question_type": "count",
    }
    return entry | changes


def write_mme(folder: Path, rows: list[Any]) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "test-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def write_long(folder: Path, rows: list[Any]) -> Path:
    path = folder / "lvb_val.json"
    path.write_text(json.dumps(rows))
    return path


def write_mlvu(folder: Path, rows: list[Any], tasks: tuple[str, ...] = TASKS) -> Path:
    (folder / "json").mkdir(exist_ok=True)
    for task in tasks:
        (folder / "json" / f"{task}.json").write_text(json.dumps(rows))
    return folder


def test_video_mme_is_read_as_published(tmp_path: Path) -> None:
    write_mme(tmp_path / "videomme", [mme(1, domain="Multilingual", sub_category="Multilingual")])
    (question,) = VIDEOMME.data.read(tmp_path)
    assert question == BenchmarkQuestion(
        id="001-1",
        video="v1",
        text="What is it?",
        answer="B",
        options={"A": "A dog.", "B": "A cat: small.", "C": "B.", "D": "4"},
        types=("long", "Multilingual", "Object Reasoning"),
    )


def test_mlvu_is_read_as_published(tmp_path: Path) -> None:
    # Of two candidates of one text the official code takes the last.
    folder = write_mlvu(tmp_path, [one(), one(candidates=["2", "1", "2"], video="x.mp4")])
    questions = MLVU.data.read(folder)
    assert len(questions) == 2 * len(TASKS)
    first, second = [question for question in questions if question.types == ("anomaly_reco",)]
    assert (first.id, first.video) == ("anomaly_reco 0", "6_anomaly_reco/film")
    assert (first.answer, list(first.options)) == ("B", ["A", "B", "C", "D"])
    assert (second.answer, second.options["C"], second.duration_s) == ("C", "2", 3.0)
    assert MLVU.data.read(folder / "json" / "4_count.json")[0].id == "count 0"


def test_longvideobench_is_read_as_published(tmp_path: Path) -> None:
    write_long(tmp_path, [long(7, right=4)])
    (question,) = LONGVIDEOBENCH.data.read(tmp_path)
    assert (question.id, question.video, question.answer) == ("x_7", "v7", "E")
    assert question.types == ("600", "E3E")


BROKEN: list[tuple[Benchmark, Callable[[Path, list[Any]], Path], list[Any], str]] = [
    (VIDEOMME, write_mme, [mme(1), mme(2, answer="E")], "none of the options .'E'"),
    (VIDEOMME, write_mme, [mme(1), mme(2, options=None)], "no list .None"),
    (VIDEOMME, write_mme, [mme(1), mme(2, options=["one"])], "not 2 to 26"),
    (VIDEOMME, write_mme, [mme(1), mme(2, question_id="001-1")], "question 001-1 about v2"),
    (VIDEOMME, write_mme, [mme(1), mme(2, question=None)], "in the place of a text .None"),
    (VIDEOMME, write_mme, [mme(1), mme(2, task_type=None)], "in the place of a text .None"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, question=" ")], "question without text"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, duration="long")], "no number of seconds"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, right=5)], "no text .5"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, right=-1)], "no text .-1"),
    (LONGVIDEOBENCH, write_long, [long(1), {"id": "test split", "question": "x"}], "'candidates'"),
    (LONGVIDEOBENCH, write_long, [long(1), "text"], "not laid out as published"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, candidates="text")], "no list .'text'"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, candidates={"A": 1})], "not 2 to 26"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, candidates={"A": 1, "C": 2})], "not A, B, C"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, candidates=["a", None])], "option that is no"),
    (LONGVIDEOBENCH, write_long, [long(1), long(2, candidates=["a", True])], "option that is no"),
    (MLVU, write_mlvu, [one(), one(answer="two")], "none of the options .'two'"),
    (MLVU, write_mlvu, [one(), one(candidates=None)], "no list .None"),
    (MLVU, write_mlvu, [one(), one(candidates={"A": 1})], "not 2 to 26"),
    (MLVU, write_mlvu, [one(), None], "not laid out as published"),
]


@pytest.mark.parametrize(("benchmark", "write", "rows", "message"), BROKEN)
def test_entries_that_are_not_as_published_are_left_out_and_named(
    tmp_path: Path,
    benchmark: Benchmark,
    write: Callable[[Path, list[Any]], Path],
    rows: list[Any],
    message: str,
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, [*rows, mme(3) if benchmark is VIDEOMME else rows[0] | {"id": "x_3"}])
    questions = benchmark.data.read(folder)
    files = len(TASKS) if benchmark is MLVU else 1
    assert (len(questions), len(questions.skipped)) == (2 * files, files)
    assert re.search(message, questions.skipped[0].message)
    assert str(folder) in questions.skipped[0].item
    assert "entry 2" in questions.skipped[0].item or "about v2" in questions.skipped[0].item
    shutil.rmtree(folder)
    folder.mkdir()
    if "001-1" not in message:
        with pytest.raises(DataError, match=f"no question of .* can be used: .*{message}"):
            benchmark.data.read(write(folder, [rows[1]]))


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["x", "y"], "B"),
        (["A. x", "B. y"], " B "),
        (["(A) x", "(B) y"], "(B)"),
        (["a) x", "b) y"], "b"),
        (["A: x", "B: y"], "B."),
        (["[A] x", "[B] y"], "(b) y"),
        (["A、x", "B、y"], "（B）"),
        ({"A": "x", "B": "y"}, "B. Y"),
        ({"A": "A. x", "B": "B. y"}, "y"),
        (["x", "y"], "Y."),
    ],
)
def test_options_and_answers_are_read_in_every_form(options: Any, answer: str) -> None:
    found = lettered(options)
    assert found == {"A": "x", "B": "y"}
    assert right(answer, found) == "B"


def test_what_is_no_mark_stays_in_an_option() -> None:
    assert lettered(["A. Smith", "C. Jones"]) == {"A": "A. Smith", "B": "C. Jones"}
    assert lettered(["A. Smith", "Jones"])["A"] == "A. Smith"
    assert lettered([1, 2.5]) == {"A": "1", "B": "2.5"}
    options = {"A": "B", "B": "a", "C": "the same", "D": "The same."}
    assert right("B", options) == "B", "a letter is one before it is a text"
    assert right("a", options) == "B", "a text is one before it is another form of a letter"
    assert right("D. the same", options) == "D"
    for answer, message in (
        ("the same", "none of the options"),
        ("A. the same", "of two options"),
        ("E", "none of the options"),
        ("", "none of the options"),
        (2, "no text"),
        (["B"], "no text"),
    ):
        with pytest.raises(EntryError, match=message):
            right(answer, options)


@pytest.mark.parametrize("benchmark", [VIDEOMME, MLVU, LONGVIDEOBENCH, LVBENCH])
def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path, benchmark: Benchmark) -> None:
    with pytest.raises(DataError, match=rf"is not in {tmp_path}.*github.com"):
        benchmark.data.read(tmp_path)
    with pytest.raises(DataError, match="none"):
        benchmark.data.read(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"\xff\xfe{[")
    with pytest.raises(DataError, match="bad"):
        benchmark.data.read(tmp_path / "bad")
    (tmp_path / "bad").write_text("3")
    with pytest.raises(DataError, match="bad"):
        benchmark.data.read(tmp_path / "bad")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("The best answer is C", "C"),
        ("The best option is: C", "C"),
        # Two commas are missing in the official list of phrases.
        ("Best option: C", "B"),
        ("Best answer: D", "B"),
        ("A dog, so (C)", "A"),
        ("c", None),
        ("E", None),
        ("", None),
        ("this is a long answer without any letter that could be one", None),
    ],
)
def test_the_extraction_of_video_mme_at_its_corners(output: str, expected: str | None) -> None:
    assert videomme.extract_official(output) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Best option: C", "C"),
        ("Best answer: E", "E"),
        ("The correct option is D. Not A", "D"),
        ("F", None),
        ("Certainly (B)", "C"),
    ],
)
def test_the_extraction_of_longvideobench_at_its_corners(output: str, expected: str | None) -> None:
    assert longvideobench.extract_official(output) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("A", "A"),
        ("B) two", "B"),
        ("(C) three (D)", "C"),
        ("the answer is (D)", "D"),
        (") A", ""),
        ("A.", "A."),
        (" A", " A"),
        ("", ""),
    ],
)
def test_the_extraction_of_mlvu_at_its_corners(output: str, expected: str) -> None:
    assert mlvu.extract_official(output) == expected


PIECES = ["A", "B", "d", "E", " ", "(", ")", "Best option:", "The answer is", "The best answer is"]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_extraction_reads_as_the_steps_of_the_official_codes(output: str) -> None:
    """Character by character."""
    text = output.strip()
    for phrase in ["The best answer is", "The correct answer is", "The answer is", "The answer"]:
        text = "".join(text.split(phrase))
    found = [letter for letter in text if letter in "ABCD"]
    assert videomme.extract_official(output) == (found[0] if found else None)
    before, bracket, _ = output.partition(")")
    assert mlvu.extract_official(output) == (before[-1:] if bracket else output)


def accuracy(figures: dict[str, Any], method: str, count: str) -> dict[str, float]:
    return {kind: each["mean"] for kind, each in figures["methods"][method][count].items()}


def test_video_mme_counts_what_it_can_read(tmp_path: Path) -> None:
    rows = [mme(1), mme(2, duration="short"), mme(3, task_type="OCR Problems"), mme(4)]
    questions = VIDEOMME.data.read(write_mme(tmp_path, rows))
    outputs = {"001-1": "B", "002-1": "I do not know it", "003-1": "Best option: D", "009-1": "A"}
    figures = VIDEOMME.evaluate(questions, outputs)
    # The second is not counted, though it was answered; the third is read as "B" for "Best".
    assert figures["official"]["accuracy"] == {
        "long": 1,
        "Knowledge": 1,
        "OCR Problems": 1,
        "Object Reasoning": 1,
        "Law": 1,
        "overall": 1,
    }
    assert figures["official"]["extracted"] == {"001-1": "B", "003-1": "B", "009-1": "A"}
    assert accuracy(figures, "official", "strict")["overall"] == 0.5
    assert accuracy(figures, "seal", "accuracy")["overall"] == pytest.approx(1 / 3)
    assert accuracy(figures, "seal", "strict")["overall"] == 0.25
    kinds = ["short", "long", "Knowledge", "OCR Problems", "Object Reasoning", "Law", "overall"]
    assert list(figures["questions"]) == kinds
    assert figures["answered"]["overall"] == 3
    nothing = VIDEOMME.evaluate(questions, {"001-1": "no idea"})
    assert nothing["official"]["accuracy"] == {}
    assert accuracy(nothing, "official", "strict")["overall"] == 0


def test_mlvu_averages_over_tasks_too(tmp_path: Path) -> None:
    folder = write_mlvu(tmp_path, [one()] * 3, ("4_count",))
    write_mlvu(tmp_path, [one()], TASKS[:3] + TASKS[4:])
    questions = MLVU.data.read(folder)
    outputs = {question.id: "(A)" for question in questions} | {"count 0": "B", "ego 0": "B) 2"}
    figures = MLVU.evaluate(questions, outputs)
    tasks = figures["official"]["accuracy"]
    assert tasks["count"] == pytest.approx(1 / 3)
    assert (tasks["ego"], tasks["needle"]) == (1, 0)
    assert tasks["Avg"] == pytest.approx(2 / 9)
    assert tasks["M-Avg"] == pytest.approx((1 / 3 + 1) / 7)
    for method in figures["methods"].values():
        estimate = method["strict"]["M-Avg"]
        assert estimate["low"] <= estimate["mean"] <= estimate["high"]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), min_size=1, max_size=30))
@settings(deadline=None)
def test_balanced_weights_give_the_mean_over_types(asked: list[tuple[str, bool]]) -> None:
    questions = [
        BenchmarkQuestion(f"{i}", "v", "?", "A", types=(kind,)) for i, (kind, _) in enumerate(asked)
    ]
    total = sum(
        weight * right for weight, (_, right) in zip(_balanced(questions), asked, strict=True)
    )
    kinds = {kind for kind, _ in asked}
    shares = [[right for each, right in asked if each == kind] for kind in kinds]
    expected = sum(sum(share) / len(share) for share in shares) / len(kinds)
    assert total / len(asked) == pytest.approx(expected)


def test_longvideobench_guesses_where_it_reads_nothing(tmp_path: Path) -> None:
    rows = [long(number, candidates=["a dog", "a cat", "a cow"]) for number in range(60)]
    questions = LONGVIDEOBENCH.data.read(write_long(tmp_path, rows))
    outputs = {question.id: "no idea" for question in questions[:59]}
    figures = LONGVIDEOBENCH.evaluate(questions, outputs)
    drawn = figures["official"]["extracted"]
    assert set(drawn.values()) == {"A", "B", "C"}
    assert figures == LONGVIDEOBENCH.evaluate(questions, outputs), "always the same letters"
    assert accuracy(figures, "official", "accuracy")["600 s"] == pytest.approx(1 / 3, abs=0.2)
    assert figures["official"]["accuracy"].keys() == {"600", "E3E", "overall"}
    assert accuracy(figures, "official", "strict")["overall"] == 0, "a guess is no answer"
    assert accuracy(figures, "seal", "accuracy")["overall"] == 0


def test_outputs_come_in_the_official_formats(tmp_path: Path) -> None:
    path = tmp_path / "outputs.json"
    asked = [{"question_id": "001-1", "response": "B"}, {"question_id": "001-2", "response": ""}]
    path.write_text(json.dumps([{"video_id": "001", "questions": asked}]))
    assert VIDEOMME.read_outputs(path) == {"001-1": "B", "001-2": ""}
    tasks = ["count", "needle", "count"]
    rows = [{"pred": f"{n}", "question_type": task} for n, task in enumerate(tasks)]
    path.write_text(json.dumps({"acc_dict": {}, "res_list": rows}))
    assert MLVU.read_outputs(path) == {"count 0": "0", "needle 0": "1", "count 1": "2"}
    for benchmark, text in ((VIDEOMME, "[3]"), (MLVU, '{"res_list": [{}]}'), (VIDEOMME, "3")):
        path.write_text(text)
        with pytest.raises(DataError, match=r"outputs\.json"):
            benchmark.read_outputs(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two films of one name, in folders of their own."""
    folder = tmp_path_factory.mktemp("choices")
    for seed, task in enumerate(TASKS[:2]):
        filmed(folder, 3.0, name=f"video/{task}/film", seed=seed)
    return Store(folder / "store")


def test_videos_are_found_by_their_file_and_folder(store: Store) -> None:
    videos = Videos(store, "ask")
    found = [videos.find(f"{task}/film") for task in TASKS[:3]]
    assert [video and Path(video.record.path).parent.name for video in found] == [
        *TASKS[:2],
        None,
    ]
    with pytest.raises(DataError, match=r"which video is film\?.*1_plotQA.*2_needle"):
        videos.find("film")


def test_the_command_asks_about_the_videos_in_the_store(
    store: Store,
    server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    write_mlvu(tmp_path, [one(question="How many? " + "Really. " * 200)])
    command = ["eval", "mlvu", "--data", str(tmp_path), "--answerer", "openai:m"]
    command += ["--set", f"answer.base_url={server.url}", "--set", "attention.budget=2"]
    command += ["--run", str(tmp_path / "run.jsonl"), "--store", str(store.path)]
    command += ["--set", "answer.together=1"]  # The replies come in the order of the questions.
    server.replies = [says("(B)"), says("(A)")]
    result = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert result["manifest"]["benchmark"] == "mlvu"
    assert set(result["missing"]) == {f"{task}/film" for task in TASKS[2:]}
    assert result["left_out"] == {"count": 0, "reasons": {}, "entries": []}
    means = {
        name: figures["methods"]["official"]["strict"]["overall"]["mean"]
        for name, figures in result["evidence"].items()
    }
    assert means == {"seal": pytest.approx(1 / 7), "uniform": 0}
    assert "Really. " * 199 in str(server.requests[0]), "long questions are put as they are"
    text = CliRunner().invoke(main, command).stdout
    assert len(server.requests) == 4, "nothing is asked twice"
    assert "evidence: uniform" in text
    assert any(line.startswith("M-Avg") for line in text.splitlines())
    other = CliRunner().invoke(main, ["eval", "lvbench", *command[2:]])
    assert other.exit_code == 1


@pytest.mark.parametrize("name", ["lvbench", "videomme", "mlvu", "longvideobench"])
def test_outputs_or_a_model_are_needed(name: str, tmp_path: Path) -> None:
    run = CliRunner().invoke(main, ["eval", name, "--data", str(tmp_path)])
    assert run.exit_code == 2
    assert "either --outputs or --answerer" in run.stderr
    given = ["--data", str(tmp_path), "--outputs", "x", "--set", "attention.budget=2"]
    run = CliRunner().invoke(main, ["eval", name, *given])
    assert run.exit_code == 2
    assert "--set is about a model that is asked" in run.stderr


def checked(name: str, folder: Path) -> tuple[int, dict[str, Any]]:
    run = CliRunner().invoke(main, ["data", "check", name, str(folder), "--json"])
    return run.exit_code, json.loads(run.stdout)


def test_missing_cut_off_and_broken_things_are_told(tmp_path: Path, store: Store) -> None:
    film = Path(store.videos()[0].path)
    rows = [long(1), long(2), long(3, duration=40.0), long(4), long(5, right=9), {"id": 3}]
    write_long(tmp_path, rows)
    (tmp_path / "videos").mkdir()
    for number in (2, 3, 4):
        shutil.copy(film, tmp_path / "videos" / f"v{number}.mp4")
    cut = tmp_path / "videos" / "v4.mp4"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    code, report = checked("longvideobench", tmp_path)
    assert code == 1
    assert report["found"] == {"questions": 4, "videos": 3}
    assert [(each["kind"], Path(each["item"]).name) for each in report["problems"]] == [
        ("annotations", "lvb_val.json"),
        ("annotations", "lvb_val.json"),
        ("videos", "v1"),
        ("videos", "v3.mp4"),
        ("videos", "v4.mp4"),
    ]
    assert "entry 5" in report["problems"][0]["fault"]
    assert "is 3.0 s long" in report["problems"][3]["fault"]
    assert "github.com" in report["page"]


def test_complete_data_sets_pass(tmp_path: Path, store: Store) -> None:
    film = Path(store.videos()[0].path)
    for name, place in (("mme", "data/v1.MP4"), ("lv", "videos/key.mkv"), ("mlvu", "")):
        places = [place] if place else [f"video/{task}/film.mp4" for task in TASKS]
        for path in (tmp_path / name / place for place in places):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(film, path)
    write_mme(tmp_path / "mme", [mme(1)])
    write_mlvu(tmp_path / "mlvu", [one()])
    qa = [{"uid": 1, "question": "x\n(A) y", "answer": "A", "question_type": []}]
    video = {"key": "key", "video_info": {"duration_minutes": 0.1}, "qa": qa}
    (tmp_path / "lv" / "video_info.meta.jsonl").write_text(json.dumps(video))
    for name, folder, count in (("videomme", "mme", 1), ("lvbench", "lv", 1), ("mlvu", "mlvu", 7)):
        code, report = checked(name, tmp_path / folder)
        assert (code, report["problems"]) == (0, [])
        assert report["found"] == {"questions": count, "videos": count}
    (tmp_path / "mlvu" / "video" / TASKS[2] / "film.mp4").unlink()
    (tmp_path / "mlvu" / "json" / f"{TASKS[3]}.json").unlink()
    _, report = checked("mlvu", tmp_path / "mlvu")
    assert [each["item"] for each in report["problems"]] == ["4_count.json", "3_ego/film"]
