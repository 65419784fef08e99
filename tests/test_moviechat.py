"""MovieChat-1K: outputs as published, verdicts that are kept, failures that are counted."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from seal.answer import Answerer, Prompt, describe
from seal.cli import main
from seal.errors import AnswerError, DataError
from seal.evaluate.judge import Judge, Verdict, parse
from seal.evaluate.moviechat import evaluate, read_outputs
from test_answer_endpoint import Server, says, server  # noqa: F401

OUTPUTS = {
    "1.mp4": [
        {"question": "What is it?", "answer": "a dog", "pred": "a puppy</s>"},
        {"question": "Where?", "answer": "home", "pred": "outside", "time": -1},
        {"question": "Who?", "answer": "a man", "pred": "a man", "time": 0},
    ],
    "2.mp4": [{"question": "Why?", "answer": "rain", "pred": "broken", "time": 240}],
}


class Friend(Answerer):
    """Judges by a list of right answers; fails at what is broken."""

    name = "friend"

    def __init__(self) -> None:
        self.asked = 0

    def stream(self, prompt: Prompt) -> Iterator[str]:
        self.asked += 1
        text = describe(prompt)
        if "Given answer: broken" in text:
            raise AnswerError("down")
        right = any(f"Given answer: {answer}\n" in text for answer in ("a puppy", "a man"))
        yield json.dumps({"pred": "yes" if right else "no", "score": 4 if right else 1})


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(OUTPUTS))
    return path


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ('{"pred": "yes", "score": 4}', Verdict(True, 4)),
        ("{'pred': 'no', 'score': 0}", Verdict(False, 0)),
        ("Here you are: {'Pred': 'YES', 'score': 4.8}.", Verdict(True, 4.8)),
        ('{"pred": "yes", "score": 7}', None),
        ('{"pred": "yes"}', None),
        ('{"pred": "yes", "score": 4} or {"pred": "no", "score": 1}', None),
        ("It is correct.", None),
        ("", None),
    ],
)
def test_verdicts_are_read(said: str, verdict: Verdict | None) -> None:
    assert parse(said) == verdict


def test_modes_are_told_apart_and_failures_counted(outputs: Path) -> None:
    figures = evaluate(*read_outputs(outputs), Judge(Friend()))
    assert figures["global"]["questions"] == 2
    assert figures["global"]["accuracy"]["mean"] == figures["global"]["strict"]["mean"] == 0.5
    assert figures["global"]["score"]["mean"] == 2.5
    assert figures["global"]["judge_failures"] == 0
    assert figures["breakpoint"]["judge_failures"] == 1
    assert figures["breakpoint"]["accuracy"]["mean"] == 1
    assert figures["breakpoint"]["strict"]["mean"] == 0.5


def test_verdicts_are_kept_and_failures_tried_again(outputs: Path, tmp_path: Path) -> None:
    friend = Friend()
    first = evaluate(*read_outputs(outputs), Judge(friend, tmp_path / "verdicts.jsonl"))
    assert friend.asked == 4
    assert evaluate(*read_outputs(outputs), Judge(friend, tmp_path / "verdicts.jsonl")) == first
    assert friend.asked == 5, "the failure alone is asked for again"
    friend.name = "another"
    evaluate(*read_outputs(outputs), Judge(friend, tmp_path / "verdicts.jsonl"))
    assert friend.asked == 9, "another judge has other verdicts"


def test_a_judge_that_fails_always_leaves_no_accuracy(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text(json.dumps({"2.mp4": OUTPUTS["2.mp4"]}))
    figures = evaluate(*read_outputs(tmp_path / "o.json"), Judge(Friend()))
    assert "accuracy" not in figures["breakpoint"]
    assert figures["breakpoint"]["strict"]["mean"] == 0


@pytest.mark.parametrize("text", ["[]", "{}", '{"1": [{"question": "x"}]}', '{"1": 3}', "{"])
def test_files_that_are_not_what_they_should_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "o.json").write_text(text)
    with pytest.raises(DataError):
        read_outputs(tmp_path / "o.json")


def test_the_command(outputs: Path, server: Server) -> None:  # noqa: F811
    server.replies = [says('{"pred": "yes", "score": 5}')]
    command = ["eval", "moviechat", "--outputs", str(outputs), "--judge", "openai:m"]
    command += ["--set", f"answer.base_url={server.url}"]
    result = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert result["global"]["accuracy"]["mean"] == 1
    assert result["judge"].startswith("openai:m, prompt ")
    text = CliRunner().invoke(main, command).stdout
    assert "2 breakpoint" in text
    run = CliRunner().invoke(main, [*command[:4], "--judge", "none"])
    assert run.exit_code == 1
    assert "a model is needed, such as --judge" in run.stderr
