"""LVBench: extraction and accuracy are those of the official code; outputs read more carefully."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seal.answer.letters import extract
from seal.cli import main
from seal.errors import DataError
from seal.evaluate.lettered import split
from seal.evaluate.lvbench import LVBENCH, extract_official

read, evaluate, read_outputs = LVBENCH.data.read, LVBENCH.evaluate, LVBENCH.read_outputs

TEXT = "What is on the table?\n(A) one cup\n(B) a red cup\n(C) cup\n(D) three dogs"


def entry(uid: object, answer: str, types: list[str], question: str = TEXT) -> dict[str, object]:
    return {"uid": uid, "question": question, "answer": answer, "question_type": types}


def write(path: Path, *videos: list[dict[str, object]]) -> Path:
    lines = [json.dumps({"key": f"video{i}", "qa": qa}) for i, qa in enumerate(videos)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_official_files_are_scored_to_the_letter(shared_data: Path) -> None:
    folder = shared_data / "official" / "lvbench"
    outputs = read_outputs(folder / "model_outputs.json")
    figures = evaluate(read(folder / "video_info.meta.jsonl"), outputs)
    official = figures["official"]
    assert official["extracted"] == json.loads((folder / "official_extracted.json").read_text())
    assert official["accuracy"] == json.loads((folder / "official_accuracy.json").read_text())


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", ""),
        ("  \n", ""),
        ("(B) because", "B"),
        ("b", "b"),
        ("The answer is D", "T"),
        ("I think (C) is right", "C"),
        ("one (A (B) two", "A"),
        ("((B)", ""),
        ("()", ""),
        (") B", ""),
        ("( \tD", "D"),
        ("\u00a0C", "C"),
        ("D\tis", "D"),
        ("**A**", "*"),
    ],
)
def test_the_official_extraction_at_its_corners(output: str, expected: str) -> None:
    assert extract_official(output) == expected


@given(st.text(alphabet="AB() \n*x", max_size=12))
def test_the_official_extraction_reads_as_its_steps(output: str) -> None:
    """The steps of the official code, one after the other."""
    rest = output.strip()
    rest = rest[: rest.index(")")].strip() if ")" in rest else rest
    if "(" in rest:
        rest = rest[rest.index("(") + 1 :]
        rest = (rest[: rest.index("(")] if "(" in rest else rest).strip()
    assert extract_official(output) == (rest[0] if rest else "")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("The answer is D", "D"),
        ("Answer: (B), not A", "B"),
        ("The answer could be A. No: the correct answer is **C**.", "C"),
        ("<think>The answer is A</think>\n\nB", "B"),
        (r"The final answer is $\boxed{\text{C}}$", "C"),
        ("**A**", "A"),
        ("Option C", "C"),
        ("d.", "D"),
        ("A man sits there", ""),
        ("The answer is a man", ""),
        ("A one cup", "A"),
        ("A: one cup", "A"),
        ("One can see three dogs there.", "D"),
        ("There is a red cup", "B"),
        ("There is a cup", "C"),
        ("It must be B I think", "B"),
        ("(A) or (B)", ""),
        ("Both (A) and (B)", ""),
        ("", ""),
        ("I do not know", ""),
    ],
)
def test_outputs_are_read_as_a_person_would(output: str, expected: str) -> None:
    options = {"A": "one cup", "B": "a red cup", "C": "cup", "D": "three dogs"}
    assert extract(output, options) == expected


def test_missing_and_empty_outputs_count_as_they_should(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        [entry(1, "A", ["reasoning", "summarization"]), entry("2", "B", ["reasoning"])],
        [entry("3", "C", ["entity recognition"]), entry("4", "D", ["plot"]), entry("5", "A", [])],
    )
    outputs = {"1": "A", "2": "", "4": "(D)", "5": "the answer is A", "unknown": "A"}
    figures = evaluate(read(path), outputs)
    # A type with no answers is absent, as in the official result; an empty output is an answer.
    assert figures["official"]["accuracy"] == {
        "summarization": 1,
        "reasoning": 0.5,
        "plot": 1,
        "acc": 0.5,
    }
    assert figures["official"]["extracted"] == {**outputs, "4": "D", "5": "t"}
    methods = figures["methods"]
    assert {k: e["mean"] for k, e in methods["official"]["strict"].items()} == {
        "Sum": 1,
        "ER": 0,
        "Rea": 0.5,
        "plot": 1,
        "overall": 0.4,
    }
    assert methods["seal"]["accuracy"]["overall"]["mean"] == 0.75
    assert methods["seal"]["strict"]["overall"]["mean"] == 0.6
    assert figures["questions"]["overall"] == 5
    assert figures["answered"] == {"Sum": 1, "Rea": 2, "plot": 1, "overall": 4}


def test_types_come_in_the_order_of_the_paper(tmp_path: Path) -> None:
    names = ["temporal grounding", "reasoning", "entity recognition", "summarization"]
    names += ["event understanding", "key information retrieval"]
    path = write(tmp_path / "a.jsonl", [entry(i, "A", [name]) for i, name in enumerate(names)])
    figures = evaluate(read(path), {"0": "A"})
    order = ["KIR", "EU", "Sum", "ER", "Rea", "TG", "overall"]
    assert list(figures["methods"]["official"]["strict"]) == order


def test_the_question_and_its_options_are_told_apart(tmp_path: Path) -> None:
    (question,) = read(write(tmp_path / "a.jsonl", [entry(7, "D", [])]))
    assert (question.id, question.video, question.text) == ("7", "video0", "What is on the table?")
    assert list(question.options.items())[1:3] == [("B", "a red cup"), ("C", "cup")]


FORMS = [
    "What?\n(A) one\n(B) two\n(C) three",
    "What?\n  (a) one\n  (b) two\n  (c) three",
    "What?\nA. one\nB. two\nC. three",
    "What?\r\nA. one\r\nB. two\r\nC. three\r\n",
    "What?\nA) one\nB) two\nC) three",
    "What?\na. one\nb. two\nc. three",
    "What?\nA: one\nB: two\nC: three",
    "What?\n[A] one\n[B] two\n[C] three",
    "What? (A) one (B) two (C) three",
    "What? (a) one (b) two (c) three",
    "What?(A)one(B)two(C)three",
    "What? A. one B. two C. three",
    "What? A) one B) two C) three",
    "What? a) one b) two c) three",
    "What?\nA. one B. two C. three",
    "What?\uff08A\uff09one\uff08B\uff09two\uff08C\uff09three",
    "What?\nA\u3001one\nB\u3001two\nC\u3001three",
]


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("answer", ["B", "b", "(B)", "B.", "(b) two", "two", "Two."])
def test_options_are_read_in_every_form(tmp_path: Path, text: str, answer: str) -> None:
    (question,) = read(write(tmp_path / "a.jsonl", [entry(1, answer, [], text)]))
    assert (question.text, question.answer) == ("What?", "B")
    assert question.options == {"A": "one", "B": "two", "C": "three"}


def test_letters_in_a_question_are_no_options() -> None:
    text = "Who is Mr. A. B. Cook (b. 1950)?\n(A) a man (B) of old\n(B) vitamin A. or B."
    assert split(text) == (
        "Who is Mr. A. B. Cook (b. 1950)?",
        {"A": "a man (B) of old", "B": "vitamin A. or B."},
    )
    stem, options = split("Does vitamin A. or B. help? A. yes B. no")
    assert (stem, options) == ("Does vitamin A. or B. help?", {"A": "yes", "B": "no"})
    # Lines of which a letter comes twice: those of the last run are the options.
    stem, options = split("(A) says x.\n(B) says y.\nWho?\n(A) he\n(B) she\n(C) both")
    assert (stem, [*options.values()]) == ("(A) says x.\n(B) says y.\nWho?", ["he", "she", "both"])
    # A letter that is skipped stays so.
    assert split("Who?\n(A) he\n(B) she\n(D) both")[1] == {"A": "he", "B": "she", "D": "both"}


@pytest.mark.parametrize(
    ("text", "answer", "message"),
    [
        ("What?", "A", "a question without options"),
        ("What is vitamin A. exactly?", "A", "a question without options"),
        ("What? (B) two (C) three", "B", "a question without options"),
        (TEXT, "E", "an answer that is none of the options"),
        (TEXT, "two dogs", "an answer that is none of the options"),
        (TEXT, "(B) cup", "an answer whose letter and text are of two options"),
        (TEXT, None, "an answer that is no text"),
        (TEXT, ["B"], "an answer that is no text"),
        ("\n(A) one\n(B) two", "A", "a question without text"),
        (None, "A", "an entry that is not laid out as published"),
    ],
)
def test_a_bad_question_is_named_and_drops_no_other(
    tmp_path: Path, text: Any, answer: Any, message: str
) -> None:
    good = entry(1, "A", ["reasoning"])
    path = write(tmp_path / "a.jsonl", [good, entry(2, answer, ["reasoning"], text)])
    questions = read(path)
    assert [question.id for question in questions] == ["1"]
    (skipped,) = questions.skipped
    assert skipped.reason == message
    assert skipped.item == f"{path}: entry 1, question 2 of video video0"
    (tmp_path / "outputs.json").write_text('{"1": "A", "2": "B"}')
    command = ["eval", "lvbench", "--annotations", str(path), "--json"]
    run = CliRunner().invoke(main, [*command, "--outputs", str(tmp_path / "outputs.json")])
    left_out = json.loads(run.stdout)["left_out"]
    assert left_out["reasons"] == {message: 1}
    assert left_out["entries"] == [skipped.message]
    assert "left out: " in run.stderr
    assert "1 entries of the data set cannot be used: 1 an" in run.stderr.replace("1 a q", "1 an")


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", [entry(1, "A", [])])
    with pytest.raises(DataError, match="do these outputs belong"):
        evaluate(read(good), {"2": "A"})
    for text in ("{", "[]", '{"key": "v"}', json.dumps({"key": "v", "qa": [{"uid": 1}]})):
        (tmp_path / "bad").write_text(good.read_text() + text)
        questions = read(tmp_path / "bad")
        assert [question.id for question in questions] == ["1"]
        (skipped,) = questions.skipped
        assert "bad: entry 2" in skipped.message
        (tmp_path / "bad").write_text(text)
        with pytest.raises(DataError, match="bad: entry 1"):
            read(tmp_path / "bad")
    wrong = {**entry(9, "A", []), "question_type": "reasoning"}
    questions = read(write(tmp_path / "bad", [wrong, entry(1, "A", [])]))
    assert len(questions) == 1
    assert "question 9 of video video0: a question_type that is no list" in (
        questions.skipped[0].message
    )
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(DataError, match="no questions"):
        read(tmp_path / "empty")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "none")
    for text in ("[]", '{"1": null}', "{"):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(DataError, match="bad"):
            read_outputs(tmp_path / "bad")


def test_the_command(tmp_path: Path) -> None:
    annotations = write(tmp_path / "a.jsonl", [entry(1, "A", ["reasoning"]), entry(2, "B", [])])
    outputs = tmp_path / "outputs.json"
    outputs.write_text('{"1": "Option A"}')
    command = ["eval", "lvbench", "--outputs", str(outputs), "--annotations", str(annotations)]
    run = CliRunner().invoke(main, [*command, "--json"])
    result = json.loads(run.stdout)
    assert result["benchmark"] == "lvbench"
    assert result["official"] == {"extracted": {"1": "O"}, "accuracy": {"reasoning": 0, "acc": 0}}
    assert result["methods"]["seal"]["strict"]["overall"]["mean"] == 0.5
    text = CliRunner().invoke(main, command).stdout
    assert "1 of 2 questions answered" in text
    assert any("Rea" in line and "1.000" in line for line in text.splitlines())
