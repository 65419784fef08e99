"""MovieChat-1K: files as published, questions at breakpoints, verdicts kept, failures counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from filmed import filmed
from seal.answer import Answerer, Prompt, describe
from seal.cli import main
from seal.errors import AnswerError, ContextError, DataError
from seal.evaluate import asking
from seal.evaluate.judge import Judge, Judgement, parse
from seal.evaluate.moviechat import PUBLISHED, evaluate, official, read_outputs
from seal.evaluate.questions import BenchmarkQuestion
from seal.scope import Scope
from seal.store import Store
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
        self.prompts: list[str] = []

    @property
    def asked(self) -> int:
        return len(self.prompts)

    def stream(self, prompt: Prompt) -> Iterator[str]:
        text = describe(prompt)
        self.prompts.append(text)
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
        ('{"pred": "yes", "score": 4}', Judgement(True, 4)),
        ("{'pred': 'no', 'score': 0}", Judgement(False, 0)),
        ("Here you are: {'Pred': 'YES', 'score': 4.8}.", Judgement(True, 4.8)),
        ('{"pred": "yes", "score": 7}', None),
        ('{"pred": "yes"}', None),
        ('{"pred": "yes", "score": 4} or {"pred": "no", "score": 1}', None),
        ("It is correct.", None),
        ("", None),
    ],
)
def test_verdicts_are_read(said: str, verdict: Judgement | None) -> None:
    assert parse(said) == verdict


def test_modes_are_told_apart_and_failures_counted(outputs: Path) -> None:
    reasons: list[str] = []
    figures = evaluate(*read_outputs(outputs), Judge(Friend(), on_failure=reasons.append))
    assert reasons == ["down"]
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


def test_verdicts_outlive_a_judge_that_is_killed(outputs: Path, tmp_path: Path) -> None:
    path, friend = tmp_path / "verdicts.jsonl", Friend()
    first = evaluate(*read_outputs(outputs), Judge(friend, path))
    whole = path.read_text()
    path.write_text(whole[:-5])
    assert evaluate(*read_outputs(outputs), Judge(friend, path)) == first
    assert friend.asked == 4 + 2, "the failure, and the verdict that was cut off"
    assert path.read_text() == whole
    path.write_text('{"a": 1}\n')
    with pytest.raises(DataError, match="has no verdicts: KeyError"):
        Judge(friend, path)


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


def film(name: str = "film", **changes: Any) -> dict[str, Any]:
    """The annotations of a film of six seconds, of which the breakpoint is at four."""
    return {
        "info": {"video_path": f"{name}.mp4", "num_frame": 150, "fps": 25, "class": "x", "url": ""},
        "caption": "A ball.",
        "global": [{"question": "What is it?", "answer": "a ball"}],
        "breakpoint": [{"question": "Where is the ball?", "answer": "left", "time": 100}],
    } | changes


def write_films(folder: Path, *films: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(films):
        (folder / f"{number}.json").write_text(json.dumps(each))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filmed(tmp_path_factory.mktemp("moviechat"), 6.0, "scenes.interval_s=0.5")


def test_annotations_are_read_as_published(tmp_path: Path) -> None:
    write_films(tmp_path / "annotations", film())
    (tmp_path / "annotations" / "._0.json").write_bytes(b"\0")
    first, second = PUBLISHED.read(tmp_path)
    assert first == BenchmarkQuestion(
        "film global 0", "film", "What is it?", "a ball", types=("global",), duration_s=6.0
    )
    assert (second.id, second.types, second.until_s) == (
        "film breakpoint 0",
        ("breakpoint",),
        4.0,
    )
    write_films(tmp_path / "gt", film("with answers"))
    assert PUBLISHED.read(tmp_path)[0].video == "with answers"
    assert PUBLISHED.read(tmp_path / "annotations" / "0.json") == [first, second]


@pytest.mark.parametrize(
    ("changes", "questions", "skipped"),
    [
        ({"global": [{"question": "no answer"}, {"question": "a", "answer": "b"}]}, 4, 1),
        ({"global": "all"}, 3, 1),
        ({"breakpoint": [{"question": "no", "answer": "time"}]}, 3, 1),
        ({"info": {"video_path": "x.mp4", "num_frame": 1, "fps": 0}}, 2, 2),
        ({"info": {}}, 2, 1),
    ],
)
def test_films_that_are_not_as_published_are_named(
    tmp_path: Path, changes: dict[str, Any], questions: int, skipped: int
) -> None:
    write_films(tmp_path, film("good"), film(**changes))
    read = PUBLISHED.read(tmp_path)
    assert (len(read), len(read.skipped)) == (questions, skipped)
    assert all("1.json: entry 1" in one.item for one in read.skipped)
    run = CliRunner().invoke(main, ["data", "check", "moviechat", str(tmp_path), "--json"])
    report = json.loads(run.stdout)
    assert run.exit_code == 1
    kinds = [problem["kind"] for problem in report["problems"]]
    assert kinds == ["annotations"] * skipped + ["videos"]
    assert report["found"] == {"questions": questions, "videos": 0}


def test_a_film_that_cannot_be_read_drops_no_other(tmp_path: Path) -> None:
    write_films(tmp_path, film("good"))
    (tmp_path / "bad.json").write_text("{")
    read = PUBLISHED.read(tmp_path)
    assert len(read) == 2
    assert "bad.json is not JSON" in read.skipped[0].message


def test_a_bad_output_drops_no_other(tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    path.write_text(json.dumps(OUTPUTS | {"3.mp4": [{"question": "x"}, 3], "4.mp4": 3}) + "[]")
    questions, texts = read_outputs(path)
    assert len(questions) == len(texts) == 4
    assert len(questions.skipped) == 4
    named = [one.item.removeprefix(f"{path}: ") for one in questions.skipped]
    assert named == ["question 0 of 3.mp4", "question 1 of 3.mp4", "4.mp4", "object 2"]


@pytest.mark.parametrize("method", asking.METHODS)
@pytest.mark.parametrize("until_s", [0.0, 0.3, 4.0, 100.0])
def test_at_a_breakpoint_nothing_is_shown_of_what_follows(
    store: Store, method: str, until_s: float
) -> None:
    video = Scope.of(store, store.videos()[0].id, "ask", ["attention.budget=4"])
    friend = Friend()
    question = BenchmarkQuestion("1", "film", "Where is the ball?", "left", until_s=until_s)
    talk, text = asking.opened(video, question, friend, asking.METHODS[method])
    answer = talk.ask(text)
    ends_s = answer.evidence.end_s
    assert (ends_s <= until_s).all()
    tokens = video.tokens
    before = tokens.end_s[(tokens.kinds == "scene") & (tokens.end_s <= until_s)]
    shown = ends_s[answer.evidence.kinds == "scene"]
    assert before.max(initial=0) == shown.max(initial=0), "the last scene before is shown"
    assert len(ends_s) == min(4, len(before)) if method == "uniform" else len(ends_s) <= 4
    assert "The video is paused at [" in friend.prompts[0]


def test_the_official_code_corrects_verdicts() -> None:
    def ruled(text: str, answer: str, output: str, correct: bool, score: float) -> Judgement | None:
        return official(
            BenchmarkQuestion("1", "v", text, answer), output, Judgement(correct, score)
        )

    # As judged, where nothing speaks against it.
    assert ruled("What is it?", "a dog", "A puppy.", True, 4) == Judgement(True, 4)
    assert ruled("What is it?", "a dog", "a cow", False, 1) == Judgement(False, 1)
    # The words of the right answer, but for punctuation, are there.
    assert ruled("What?", "A dog.", "It is a dog", True, 3) == Judgement(True, 3)
    assert ruled("What?", "A dog.", "It is a dog", False, 4) == Judgement(True, 4)
    assert ruled("What?", "A dog.", "It is a dog", False, 1) is None
    # Yes or no, in words.
    assert ruled("Is it a dog?", "Yes.", "Yes, it is", False, 5) == Judgement(True, 5)
    assert ruled("Does it run?", "No", "Yes, it does", True, 1) == Judgement(False, 1)
    assert ruled("Do they?", "No", "Yes, they do", True, 4) is None
    assert ruled("Are they?", "yes", "they are", True, 4) == Judgement(True, 4)
    # What contradicts itself does not count; 2.9 is on both sides.
    assert ruled("What?", "x", "y", True, 2) is None
    assert ruled("What?", "x", "y", False, 3) is None
    assert ruled("What?", "x", "y", True, 2.9) == Judgement(True, 2.9)
    assert ruled("What?", "x", "y", False, 2.9) == Judgement(False, 2.9)


def test_official_figures_stand_beside_by_the_name_of_their_rules(tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    # The friend calls "a man" right and "a puppy dog" wrong with a score of 1.
    asked = [
        {"question": "What is it?", "answer": "dog", "pred": "a puppy dog"},
        {"question": "Who?", "answer": "a woman", "pred": "a man"},
        {"question": "Is it a man?", "answer": "No", "pred": "a man"},
        {"question": "What?", "answer": "rain", "pred": "snow"},
    ]
    path.write_text(json.dumps({"1.mp4": asked}))
    figures = evaluate(*read_outputs(path), Judge(Friend()))
    assert figures["rules"]["october 2023"]["until"] == figures["rules"]["today"]["from"]
    by_rules = figures["global"]["official"]
    # Its words make the first one right, which its score contradicts: it is left out.
    assert by_rules["october 2023"]["judged"] == 3
    assert by_rules["october 2023"]["accuracy"]["mean"] == pytest.approx(2 / 3)
    assert by_rules["october 2023"]["score"]["mean"] == 3
    # As judged.
    assert by_rules["today"]["judged"] == 4
    assert by_rules["today"]["accuracy"]["mean"] == 0.5
    assert by_rules["today"]["score"]["mean"] == 2.5


def test_outputs_may_be_a_line_for_each_film(tmp_path: Path) -> None:
    path = tmp_path / "o.json"
    lines = [json.dumps({name: asked}) for name, asked in OUTPUTS.items()]
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    questions, texts = read_outputs(path)
    assert len({question.id for question in questions}) == len(texts) == 7
    assert [question.types for question in questions[2:4]] == [("breakpoint",), ("breakpoint",)]


def test_a_prompt_of_ones_own_has_verdicts_of_its_own(tmp_path: Path) -> None:
    friend = Friend()
    mine = Judge(friend, prompt="{'pred': 'yes'}? Given answer: {output}\n{question} {x}")
    assert mine("{answer}", "right", "a man") == Judgement(True, 4)
    assert "{'pred': 'yes'}? Given answer: a man\n{answer} {x}" in friend.prompts[0]
    assert mine.name != Judge(friend).name


def test_the_command_asks_and_judges(
    store: Store,
    server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    write_films(tmp_path / "annotations", film(), film("gone"))
    command = ["eval", "moviechat", "--data", str(tmp_path), "--answerer", "openai:m"]
    command += ["--set", f"answer.base_url={server.url}", "--set", "attention.budget=2"]
    command += ["--run", str(tmp_path / "run.jsonl"), "--store", str(store.path)]
    command += ["--judge", "openai:judge", "--judge-set", f"answer.base_url={server.url}"]
    command += ["--verdicts", str(tmp_path / "verdicts.jsonl")]
    command += ["--set", "answer.together=1"]  # The replies come in the order of the questions.
    texts = ["a ball", "a cube", "left", "right"]
    verdicts = ["'pred': 'yes', 'score': 5", "'pred': 'no', 'score': 0"] * 2
    server.replies = [says(text) for text in texts]
    # What SEAL answered is judged first, global and at the breakpoint, then what uniform did.
    server.replies += [says(f"{{{verdicts[n]}}}") for n in (0, 0, 1, 1)]
    result = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert result["missing"] == ["gone"]
    for mode in ("global", "breakpoint"):
        means = {
            name: (
                row[mode]["accuracy"]["mean"],
                row[mode]["strict"]["mean"],
                row[mode]["answered"],
            )
            for name, row in result["evidence"].items()
        }
        assert means == {"seal": (1, 0.5, 1), "uniform": (0, 0, 1)}
    text = CliRunner().invoke(main, command).stdout
    assert len(server.requests) == 8, "nothing is asked twice"
    assert "evidence: uniform" in text


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
    for wrong in (["--answerer", "openai:m"], ["--outputs", "x", "--answerer", "openai:m"], []):
        run = CliRunner().invoke(main, ["eval", "moviechat", "--judge", "openai:m", *wrong])
        assert run.exit_code == 2


def test_at_a_breakpoint_a_prompt_that_is_too_long_shrinks(store: Store) -> None:
    class Narrow(Friend):
        def stream(self, prompt: Prompt) -> Iterator[str]:
            if sum(len(message.pictures) for message in prompt) > 1:
                raise ContextError("one picture at most")
            yield "left"

    video = Scope.of(store, store.videos()[0].id, "ask", ["attention.budget=4"])
    question = BenchmarkQuestion("1", "film", "Where is the ball?", "left", until_s=4.0)
    for choose in asking.METHODS.values():
        talk, text = asking.opened(video, question, Narrow(), choose)
        answer = talk.ask(text)
        assert (answer.text, len(answer.evidence)) == ("left", 1)
