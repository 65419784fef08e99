"""Questions, evidence, prompts and dialogue on a film whose contents are known."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from filmed import filmed
from seal.answer import Answerer, Conversation, Prompt, ask, describe
from seal.answer.citations import cited_times, resolve
from seal.answer.evidence import _REPRESENT, _nearness, gather
from seal.answer.intent import Intent, complete, points_back, read
from seal.attention import Budget, Candidates, choose
from seal.cli import main
from seal.clock import clock
from seal.config import AttentionOptions, NoAnswer, Options
from seal.errors import AnswerError, ContextError, DataError, OptionError
from seal.evaluate import asking
from seal.evaluate.questions import BenchmarkQuestion
from seal.ingest import index as index_video
from seal.scope import Scope
from seal.store import Store
from test_answer_endpoint import Server, fails, says, server  # noqa: F401
from test_types import make_tokens


class Scripted(Answerer):
    """Says one line after the other, the last one for ever; reads at most so many pictures."""

    name = "scripted"

    def __init__(self, *lines: str, most: int = 1000) -> None:
        self.lines, self.most = list(lines), most
        self.prompts: list[Prompt] = []

    def stream(self, prompt: Prompt) -> Iterator[str]:
        self.prompts.append(prompt)
        if pictures(prompt) > self.most:
            raise ContextError(f"{self.most} pictures at most")
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        yield from re.findall(r"\S+\s*", line)


def pictures(prompt: Prompt) -> int:
    return sum(len(message.pictures) for message in prompt)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filmed(tmp_path_factory.mktemp("answer"), 24.0, "video.part_s=12")


def opened(store: Store, *settings: str) -> Scope:
    """With a solver that finds the same on a machine under load."""
    return Scope.of(store, store.videos()[0].id, "ask", ["attention.solver=greedy", *settings])


@pytest.fixture
def film(store: Store) -> Scope:
    return opened(store)


@pytest.mark.parametrize(
    ("question", "intent"),
    [
        ("Where is the red ball?", Intent("the red ball")),
        ("Why does the ball fall?", Intent("the ball fall", why=True)),
        ("What causes the fire to start?", Intent("the fire to start", why=True)),
        ("What is the reason for the crash?", Intent("the crash", why=True)),
        ("What happens before the dog jumps?", Intent("", False, "before", "the dog jumps")),
        ("After the dog jumps, who laughs?", Intent("laughs", False, "after", "the dog jumps")),
        ("Who laughs after the dog jumps?", Intent("laughs", False, "after", "the dog jumps")),
        (
            "What colour is the car while it rains?",
            Intent("colour is the car", False, "during", "rains"),
        ),
        ("When does it rain?", Intent("rain")),
        ("What is seen at the end of the video?", Intent("", place="end")),
        ("Who speaks at the very beginning?", Intent("speaks", place="start")),
        ("When does a dog appear for the first time?", Intent("a dog", place="first")),
        ("Where is the cup the last time?", Intent("the cup", place="last")),
        ("Why is the man sad before he leaves?", Intent("the man sad before he leaves", why=True)),
        ("犬はどこ", Intent("犬はどこ")),
    ],
)
def test_questions_are_taken_apart(question: str, intent: Intent) -> None:
    assert read(question) == intent


def test_follow_ups_are_completed() -> None:
    before = "What does the dog do?"
    assert points_back("And before that?")
    assert complete("And before that?", before) == "And before the dog?"
    assert complete("Who is she?", before) == "Who is she, the dog?"
    assert not points_back("Where is the red ball?")


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("It falls [0:12.5].", [(12.5, 12.5)]),
        ("[1:02:03.5–1:02:05] and (0:07)", [(3723.5, 3725.0), (7.0, 7.0)]),
        ("[0:01.0, 0:02.0; 0:03.0]", [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]),
        ("[0:01.0 - 0:02.0][0:01.0 to 0:02.0]", [(1.0, 2.0)]),
        ("At 3:15 in the afternoon, a score of 2:1", []),
        ("[see above] [12]", []),
    ],
)
def test_citations_are_found(text: str, spans: list[tuple[float, float]]) -> None:
    assert [(cited.start_s, cited.end_s) for cited in cited_times(text)] == spans


def test_a_citation_may_name_one_of_several_videos() -> None:
    cited = cited_times("[#2 0:12.0] and [#1 0:03.0–0:04.0, #3 0:05.0]")
    assert [each.number for each in cited] == [2, 1, 3]
    tokens = make_tokens(4)
    numbers = np.array([1, 2, 1, 2])
    rows, nothing = resolve("[#2 0:00.0]", tokens, numbers)
    assert set(rows) <= {1, 3}
    assert len(rows)
    assert not nothing
    _, nothing = resolve("[#9 0:00.0]", tokens, numbers)
    assert [str(each) for each in nothing] == ["#9 0:00.0–0:00.0"]


def test_citations_resolve_to_tokens_of_that_time() -> None:
    tokens = make_tokens(12)
    for i in range(len(tokens)):
        clock = f"{int(tokens.start_s[i] // 60)}:{tokens.start_s[i] % 60:04.1f}"
        rows, nothing = resolve(f"It is there [{clock}].", tokens)
        assert i in rows
        assert not nothing
        assert (np.abs(tokens.start_s[rows] - tokens.start_s[i]) <= tokens.end_s[rows] + 1).all()
    rows, nothing = resolve("[9:59:00]", tokens)
    assert not len(rows)
    assert [each.start_s for each in nothing] == [35940.0]


def test_a_plain_question_gets_what_attention_selects(film: Scope) -> None:
    chosen = gather(film, "Where is the red ball?", 16).rows
    film = opened(film.content.store)
    assert set(chosen) == set(film.choose("the red ball").rows)
    assert (np.diff(film.tokens.start_s[chosen]) >= 0).all()


def test_words_of_time_are_constraints(film: Scope) -> None:
    tokens = film.tokens
    anchor = film.find("red ball").moments[0].span

    def middles(question: str) -> np.ndarray:
        rows = gather(film, question, 8).rows
        assert len(rows) == 8
        return tokens.middle_s[rows]

    assert (middles("What is there at the end?") >= tokens.end_s.max() * 0.89).all()
    assert (middles("What is there at the beginning?") <= tokens.end_s.max() * 0.11).all()
    before, after = middles("What is there before the red ball?"), middles("After the red ball?")
    assert (before < anchor.end_s).all()
    assert (before < anchor.start_s).sum() >= 6
    assert (after >= anchor.start_s).all()


def test_causes_are_looked_for_before_the_effect(film: Scope) -> None:
    late = max(film.find("red ball"), key=lambda moment: moment.span.start_s)
    question = "Why is there a red ball?"
    plain = gather(film, question, 10, causal=False)
    causal = gather(film, question, 10)
    effect_s = causal.moments[0].span.start_s
    middles = film.tokens.middle_s
    share = (middles[causal.rows] < effect_s).sum()
    assert len(plain.rows) == len(causal.rows) == 10
    assert share >= 4, late
    # What is chosen for the effect is what is chosen without a cause, with less to spend.
    assert np.isin(gather(film, "a red ball", 6).rows, causal.rows).all()


def test_causes_are_near_before_and_none_after_in_a_video_of_a_day() -> None:
    tokens = make_tokens(50)
    day = replace(tokens, pts=np.linspace(0, 86400, 50).astype(int)[:, None] + np.array([0, 1]))
    day = replace(day, time_base=np.ones((50, 2), np.int64))
    near = _nearness(day, 43200.0, 7200.0)
    inside = (day.middle_s >= 36000) & (day.middle_s < 43200)
    assert (near[~inside] == 0).all()
    assert (np.diff(near[inside]) > 0).all()
    assert np.exp(-2) <= near[inside][0] < near[inside][-1] <= 1


def test_all_that_came_before_an_effect_is_represented() -> None:
    """Ten shots in the minute before: that the near ones change leaves each far one its place."""
    shots = np.repeat(np.arange(10), 30)
    tokens = make_tokens(len(shots))
    noise = np.random.default_rng(0).normal(0, 0.1, (len(shots), 54))
    alike = np.hstack([np.eye(10)[shots], noise]).astype(np.float32)
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    pts = np.linspace(0, 60_000, len(shots)).astype(int)[:, None] + np.array([0, 200])
    base = np.tile([1, 1000], (len(shots), 1))
    minute = replace(tokens, embeddings=alike, facets=alike[:, None], pts=pts, time_base=base)
    near = _nearness(minute, 60.0, 60.0)
    options = replace(AttentionOptions(), **_REPRESENT)
    rows = choose(Candidates.of(minute, near), options, Budget.of(10, len(minute))).rows
    assert sorted(shots[rows]) == list(range(10))


def test_what_was_shown_costs_nothing_and_is_not_shown_again(film: Scope) -> None:
    alone = gather(film, "red ball", 8).rows
    shown = np.union1d(alone[:3], gather(film, "a street at night", 8).rows)
    more = gather(film, "red ball", 8, shown=shown).rows
    assert set(more) == set(alone) - set(shown)
    few = gather(film, "red ball", 8, shown=shown, new=2).rows
    assert len(few) == 2
    assert np.isin(few, more).all()
    assert not len(gather(film, "red ball", 8, shown=alone).rows)
    assert not len(gather(film, "red ball", 8, new=0).rows)


def test_the_budget_counts_what_kinds_cost(store: Store) -> None:
    dear = opened(store, "attention.cost_action=3")
    rows = gather(dear, "something that moves", 12).rows
    actions = int((dear.tokens.kinds[rows] == "action").sum())
    assert 0 < len(rows) + 2 * actions <= 12


def test_a_prompt_shows_each_token_with_its_time_and_kind(film: Scope) -> None:
    prompt = Conversation(film).put("Where is the red ball?").prompt
    rows = gather(film, "Where is the red ball?", 16).rows
    assert [message.role for message in prompt] == ["system", "user"]
    assert [picture.token for picture in prompt[1].pictures] == film.tokens.ids[rows].tolist()
    parts = prompt[1].parts
    for label, picture in pairwise(parts):
        if isinstance(picture, str) or not isinstance(label, str):
            continue
        (row,) = np.flatnonzero(film.tokens.ids == picture.token)
        assert label.rstrip().endswith(film.tokens.kinds[row])
        found, _ = resolve(label.replace("–", "-"), film.tokens)
        assert row in found
        with Image.open(io.BytesIO(picture.jpeg)) as image:
            assert image.size == picture.size
    assert describe(prompt).endswith("Question: Where is the red ball?")


def test_pictures_are_frames_crops_and_strips(store: Store) -> None:
    tight = opened(store, "answer.margin=0", "answer.strip=2")
    wide = opened(store, "answer.margin=1", "answer.strip=4")
    tokens = tight.tokens
    frame = Image.open(io.BytesIO(tight.pictures(tokens.take([0]))[0])).size
    for kind in ("scene", "object", "action"):
        (row,) = np.flatnonzero(tokens.kinds == kind)[:1]
        sizes = []
        for video in (tight, wide):
            shown = Conversation(video)._asked("x", np.array([row])).pictures
            sizes.append(shown[0].size)
        box = (tokens.boxes[row, 2:] - tokens.boxes[row, :2]) * frame
        if kind == "scene":
            assert sizes == [frame, frame]
        elif kind == "object":
            assert sizes[0] == pytest.approx(box, abs=2)
            assert sizes[1][0] > sizes[0][0] or sizes[0][0] == frame[0]
        else:
            assert sizes[0] == pytest.approx((2 * box[0] + 4, box[1]), abs=4)
            assert sizes[1][0] > 2 * box[0]


def test_without_a_model_the_evidence_is_the_answer(film: Scope) -> None:
    answer = ask(film, "Where is the red ball?")
    assert answer.text is None
    assert len(answer.evidence) == 16
    assert answer.moments == film.find("the red ball").moments


def test_an_answer_resolves_what_it_cites_and_says_what_it_cannot(film: Scope) -> None:
    row = gather(film, "Where is it, the red ball?", 16).rows[0]
    said = f"Left [{clock(film.tokens.start_s[row])}]. Gone [9:00.0]."
    answer = ask(film, "Where is it, the red ball?", Scripted(said))
    assert answer.text == said
    cited = answer.evidence.take(answer.cited)
    assert film.tokens.ids[row] in cited.ids
    assert (np.abs(cited.middle_s - film.tokens.start_s[row]) < 6).all()
    assert any("cites 9:00.0" in note for note in answer.notes)


def test_verifying_asks_again_without_what_was_cited(film: Scope) -> None:
    first = gather(film, "Where is the red ball?", 16).rows[0]
    cites = f"Left [{clock(film.tokens.start_s[first])}]"
    model = Scripted(cites, "I do not see it.")
    answer = ask(film, "Where is the red ball?", model, verify=True)
    assert (answer.without, answer.changed) == ("I do not see it.", True)
    asked, again = model.prompts
    gone = {p.token for p in asked[1].pictures} - {p.token for p in again[1].pictures}
    assert gone == set(answer.evidence.ids[answer.cited].tolist())
    assert ask(film, "Where is the red ball?", Scripted(cites), verify=True).changed is False
    uncited = ask(film, "Where is the red ball?", Scripted("Left."), verify=True)
    assert uncited.changed is None
    assert "nothing to verify" in uncited.notes[0]


def test_a_prompt_that_is_too_long_shrinks_and_says_so(film: Scope) -> None:
    model = Scripted("Left.", most=5)
    answer = ask(film, "Where is the red ball?", model)
    assert [pictures(prompt) for prompt in model.prompts] == [16, 8, 4]
    assert len(answer.evidence) == 4
    assert len(answer.notes) == 2
    assert "8 of the budget" in answer.notes[0]
    with pytest.raises(ContextError):
        ask(film, "Where is the red ball?", Scripted("Left.", most=0))


def test_options_are_chosen_by_letter(film: Scope) -> None:
    model = Scripted("(B), see [0:01.0]")
    answer = ask(film, "Which colour?", model, choices={"A": "red", "B": "blue"})
    assert answer.choice == "B"
    assert "(A) red\n(B) blue" in describe(model.prompts[0])


def test_options_are_chosen_one_by_one_by_how_likely_they_are(store: Store, tmp_path: Path) -> None:
    class Likely(Scripted):
        def choose(self, prompt: Prompt, letters: Sequence[str]) -> str:
            self.prompts.append(prompt)
            return letters[-1]

    film = opened(store, "answer.backend=hf", "answer.choice=likelihood", "answer.together=4")
    model, run = Likely("unused"), asking.AnswerRun(tmp_path / "run.jsonl", {})
    question = BenchmarkQuestion("1", "film", "Which colour?", "B", {"A": "red", "B": "blue"})
    asking.ask_all([question], lambda name: film, model, run, lambda q, e: None)
    assert run.outputs == {"seal": {"1": "B"}, "uniform": {"1": "B"}}
    assert len(model.prompts) == 2


def test_a_dialogue_pays_for_evidence_once(film: Scope) -> None:
    model = Scripted("Left.", "What was before the red ball?", "Nothing.")
    talk = Conversation(film, model)
    talk.ask("Where is the red ball?")
    answer = talk.ask("And before that?")
    first, second = (len(turn.evidence) for turn in talk.turns)
    assert (first, 0 < second <= 7) == (16, True)
    assert talk.cost == len(answer.evidence) == 16 + second
    assert talk.turns[1].complete == "What was before the red ball?"
    rewrite, last = model.prompts[1:]
    assert pictures(rewrite) == 0
    assert "- And before that?" in describe(rewrite)
    assert [message.role for message in last] == ["system", "user", "assistant", "user"]
    shown = [picture.token for message in last for picture in message.pictures]
    assert len(shown) == len(set(shown)) == 16 + second


def test_a_dialogue_keeps_to_its_budget(store: Store) -> None:
    talk = Conversation(opened(store, "answer.dialogue=20"))
    scenes = ["a red ball", "a street at night", "a boat at sea", "the beginning", "the end"]
    for scene in scenes:
        before = talk.cost
        notes = talk.ask(f"What is there, {scene}?").notes
        assert bool(notes) == (before == 20)
    assert len(talk.turns[0].evidence) == 16
    assert talk.cost == 20
    assert talk.turns[-1].evidence == ()
    assert "is spent" in notes[0]


def test_a_dialogue_that_is_too_long_forgets_its_oldest_turn(film: Scope) -> None:
    model = Scripted("Left.")
    talk = Conversation(film, model)
    for question in ("Where is the red ball?", "What is there at the end?"):
        talk.ask(question)
    # Too few even for what was shown so far, and enough for any two turns but the first.
    model.most = int(talk.cost) - 1
    answer = talk.ask("What is there at the beginning?")
    assert "asked again with 1 earlier turns" in answer.notes[0]
    assert len(answer.evidence) == sum(len(turn.evidence) for turn in talk.turns[1:])


def test_a_failed_turn_leaves_the_dialogue_as_it_was(film: Scope) -> None:
    class Broken(Scripted):
        def stream(self, prompt: Prompt) -> Iterator[str]:
            raise AnswerError("down")

    talk = Conversation(film, Broken(""))
    with pytest.raises(AnswerError):
        talk.ask("Where is the red ball?")
    assert not talk.turns
    assert talk.cost == 0


def test_a_dialogue_is_saved_and_resumed(film: Scope, tmp_path: Path) -> None:
    talk = Conversation(film, Scripted("Left."))
    talk.ask("Where is the red ball?")
    talk.save(tmp_path / "talk.json")
    model = Scripted("Right.")
    again = Conversation.resume(tmp_path / "talk.json", film, model)
    assert again.turns == talk.turns
    assert again.put("Where is the cube?").prompt == talk.put("Where is the cube?").prompt
    values = json.loads((tmp_path / "talk.json").read_text())
    for change, message in (
        ({"video": "other"}, "about other"),
        ({"turns": [{**values["turns"][0], "evidence": ["scene-9999"]}]}, "indexed anew"),
        ({"turns": [{}]}, "no dialogue"),
    ):
        (tmp_path / "bad.json").write_text(json.dumps(values | change))
        with pytest.raises(OptionError, match=message):
            Conversation.resume(tmp_path / "bad.json", film)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError):
        Conversation.resume(tmp_path / "bad.json", film)


def seal(store: Store, *arguments: str, text: str | None = None) -> str:
    command, *rest = arguments
    name = store.videos()[0].id
    run = CliRunner().invoke(main, [command, name, *rest, "--store", str(store.path)], input=text)
    assert run.exit_code == 0, run.output
    return run.stdout


def test_seal_ask_without_a_model(store: Store) -> None:
    result = json.loads(seal(store, "ask", "Where is the red ball?", "--budget", "5", "--json"))
    assert result["answer"] is None
    assert result["model"] is None
    assert len(result["evidence"]) == 5
    keys = {"id", "kind", "start_s", "end_s", "box", "text", "score"}
    assert keys | {"video", "relevance", "cited"} == {*result["evidence"][0]}
    assert result["moments"]
    run = CliRunner().invoke(
        main, ["ask", store.videos()[0].id, "a ball", "--store", str(store.path)]
    )
    assert "no answering model is set" in run.stderr
    assert "16 pieces of evidence" in run.stdout


def test_seal_ask_prints_the_prompt(store: Store, film: Scope) -> None:
    text = seal(
        store, "ask", "Where is the red ball?", "--dry-run", "--set", "attention.solver=greedy"
    )
    assert text.strip() == describe(Conversation(film).put("Where is the red ball?").prompt)
    assert text.count("<picture of") == 16


def test_seal_ask_with_an_endpoint(store: Store, server: Server) -> None:  # noqa: F811
    # At a time of which something is shown.
    shown = json.loads(seal(store, "ask", "Where is it?", "--json"))["evidence"]
    said = f"(B) it is there [{clock(shown[0]['start_s'])}]"
    server.replies = [says("(B) ", "it is ", said.removeprefix("(B) it is "))]
    flags = ["--answerer", "openai:m", "--set", f"answer.base_url={server.url}"]
    flags += ["--option", "left", "--option", "right"]
    text = seal(store, "ask", "Where is it?", *flags)
    assert said in text
    assert "option B" in text
    result = json.loads(seal(store, "ask", "Where is it?", *flags, "--verify", "--json"))
    assert (result["answer"], result["choice"]) == (said, "B")
    assert result["without_cited"] == {"answer": result["answer"], "changed": False}
    assert any(row["cited"] for row in result["evidence"])
    images = [p for p in server.requests[0]["messages"][1]["content"] if p["type"] == "image_url"]
    assert len(images) == 16


def test_questions_are_asked_at_once_and_what_fails_again_alone(
    store: Store, tmp_path: Path
) -> None:
    class Together(Scripted):
        """Answers with the question; fails at the third, and reads less for the fourth."""

        sizes: list[int]

        def answer_all(self, prompts: Sequence[Prompt]) -> list[str | AnswerError]:
            self.sizes.append(len(prompts))
            return super().answer_all(prompts)

        def stream(self, prompt: Prompt) -> Iterator[str]:
            self.prompts.append(prompt)
            if "number 2" in describe(prompt):
                raise AnswerError("down")
            if "number 3" in describe(prompt) and pictures(prompt) > 8:
                raise ContextError("8 pictures at most")
            yield describe(prompt[-1:])[-40:]

    questions = [
        BenchmarkQuestion(str(i), "film", f"Where is ball number {i}?", "left") for i in range(5)
    ]

    def outputs(together: int, sizes: list[int], asked: int) -> asking.Outputs:
        film = opened(store, "answer.backend=hf", f"answer.together={together}")
        model, run = Together(""), asking.AnswerRun(tmp_path / f"{together}.jsonl", {})
        model.sizes, failed = [], list[str]()
        asking.ask_all(questions, lambda name: film, model, run, lambda q, e: failed.append(q.id))
        assert model.sizes == sizes
        assert failed == ["2", "2"]
        assert len(model.prompts) == asked
        assert {len(texts) for texts in run.outputs.values()} == {4}
        return run.outputs

    # For each kind of evidence: of five questions the fourth is asked again with half of it; at
    # once, the third and the fourth are asked alone on top.
    assert outputs(1, [], 2 * (5 + 1)) == outputs(4, [4, 4, 2], 2 * (5 + 1 + 2))


def test_settings_of_a_run_may_change_until_something_is_answered(tmp_path: Path) -> None:
    path, question = tmp_path / "run.jsonl", BenchmarkQuestion("1", "film", "Where?", "left")
    asking.AnswerRun(path, {"budget": 1})
    run = asking.AnswerRun(path, {"budget": 2})
    run.add("seal", question, "left", [])
    assert asking.AnswerRun(path, {"budget": 2}).outputs["seal"] == {"1": "left"}
    for other in ("[1]\n", '{"a": 1}\n', path.read_text()):
        path.write_text(other)
        with pytest.raises(DataError, match="other settings"):
            asking.AnswerRun(path, {"budget": 1})
        assert path.read_text() == other


def test_a_server_that_reads_less_is_asked_again(store: Store, server: Server) -> None:  # noqa: F811
    too_long = fails(400, "This model's maximum context length is 8192 tokens.")
    server.replies = [too_long, too_long, says("Left.")]
    flags = ["--answerer", "openai:m", "--set", f"answer.base_url={server.url}"]
    result = json.loads(seal(store, "ask", "Where is the red ball?", *flags, "--json"))
    assert result["answer"] == "Left."
    assert ["8 of the budget" in result["notes"][0], "4 of the" in result["notes"][1]] == [True] * 2
    parts = [request["messages"][1]["content"] for request in server.requests]
    assert [sum(p["type"] == "image_url" for p in each) for each in parts] == [16, 8, 4]


def test_seal_chat(store: Store, tmp_path: Path) -> None:
    session = str(tmp_path / "talk.json")
    text = seal(store, "chat", "--session", session, "--json", text="a ball\nand before that?\n")
    costs = [json.loads(line)["cost"] for line in text.splitlines()]
    # An empty line ends the dialogue.
    text = seal(store, "chat", "--session", session, "--json", text="a cube\n\nx\n")
    costs += [json.loads(line)["cost"] for line in text.splitlines()]
    turns = json.loads(Path(session).read_text())["turns"]
    shown = [len(turn["evidence"]) for turn in turns]
    assert costs == np.cumsum(shown).tolist()
    assert shown[0] == 16
    assert all(new <= NoAnswer().follow_up for new in shown[1:])
    assert [turn["question"] for turn in turns] == ["a ball", "and before that?", "a cube"]


def test_seal_chat_prints_what_an_answer_cites(store: Store, server: Server) -> None:  # noqa: F811
    """Evidence grows with each turn: it is not listed again and again."""
    model = ["--answerer", "openai:qwen", "--set", f"answer.base_url={server.url}"]
    server.replies = [says("It is there.")]
    text = seal(store, "chat", *model, text="a ball\n")
    assert text.splitlines()[-1] == "16 pieces of evidence, none of them cited"
    server.replies = [says("At [0:00.0-0:06.0] it is there.")]
    text = seal(store, "chat", *model, text="a ball\n")
    assert "16 pieces of evidence, of which cited:" in text
    assert len(text.split("of which cited:\n")[1].splitlines()) < 16
    alone = seal(store, "chat", text="a ball\n")
    assert alone.splitlines()[-1] == "16 pieces of evidence"
    assert len(seal(store, "ask", "a ball").split("16 pieces of evidence:\n")[1].splitlines()) == 16


def test_seal_eval_lvbench_asks_with_and_without_selection(
    store: Store,
    server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    qa = [
        {
            "uid": i,
            "question": f"Thing {i}?\n(A) x\n(B) y",
            "answer": "B",
            "question_type": ["reasoning"],
        }
        for i in range(2)
    ]
    videos = [{"key": "film", "qa": qa}, {"key": "gone", "qa": [{**qa[0], "uid": 9}]}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(video) + "\n" for video in videos))
    command = ["eval", "lvbench", "--annotations", str(tmp_path / "a.jsonl"), "--json"]
    command += ["--answerer", "openai:m", "--set", f"answer.base_url={server.url}"]
    command += ["--run", str(tmp_path / "run.jsonl"), "--store", str(store.path)]
    command += ["--set", "answer.retries=0", "--set", "attention.budget=4"]
    command += ["--set", "answer.together=1"]
    server.replies = [says("(B)"), says("The answer is B"), fails(500, "down"), says("(A)")]
    run = CliRunner().invoke(main, command)
    result = json.loads(run.stdout)
    assert result["missing"] == ["gone"]
    assert "question 1: " in run.stderr
    figures = {name: each["methods"] for name, each in result["evidence"].items()}
    assert figures["seal"]["official"]["strict"]["overall"]["mean"] == pytest.approx(1 / 3)
    assert figures["uniform"]["official"]["accuracy"]["overall"]["mean"] == 0
    assert figures["uniform"]["seal"]["accuracy"]["overall"]["mean"] == 0.5
    tokens = [
        [part["type"] for part in request["messages"][1]["content"]].count("image_url")
        for request in server.requests
    ]
    assert tokens == [4, 4, 4, 4], "the budget is the same"
    # What failed is asked again, and nothing else; half a line is what a killed run may leave.
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"method": "se')
    again = json.loads(CliRunner().invoke(main, command).stdout)
    assert len(server.requests) == 5
    assert again["evidence"]["seal"]["answered"]["overall"] == 2
    other = CliRunner().invoke(main, [*command, "--set", "attention.budget=5"])
    assert "other settings" in other.stderr


def test_a_dialogue_ends_where_its_video_was_indexed_anew(tmp_path: Path) -> None:
    """The tokens that it shows are gone: no id may stand for another token."""
    store = filmed(tmp_path, 8.0)
    talk = Conversation(opened(store), Scripted("Left."))
    talk.ask("Where is the red ball?")
    talk.save(tmp_path / "talk.json")
    before = opened(store).tokens
    assert len(Conversation.resume(tmp_path / "talk.json", opened(store)).turns) == 1
    index_video(tmp_path / "film.mp4", store, Options.load(settings=["objects.interval_s=1"]))
    after = opened(store).tokens
    kinds = {str(kind) for kind in before.kinds[np.isin(before.ids, after.ids)]}
    assert kinds == {"scene", "action"}
    for name in set(before.ids) & set(after.ids):
        (old,), (new,) = (np.flatnonzero(tokens.ids == name) for tokens in (before, after))
        assert before.time(int(old)) == after.time(int(new))
        np.testing.assert_array_equal(before.boxes[old], after.boxes[new])
    with pytest.raises(OptionError, match="indexed anew since: start a new dialogue"):
        Conversation.resume(tmp_path / "talk.json", opened(store))
    assert not (set(before.ids) - set(after.ids)) & set(after.ids)
