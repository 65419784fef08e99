"""SEAL in front of the models of lmms-eval: by its interface, and in it where it is installed."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from filmed import filmed
from seal.answer.prompt import PromptPicture
from seal.errors import DataError, OptionError, VideoError
from seal.evaluate.lmms import Selector, VideoClip, clip_of, in_front, take_selector
from seal.scope import Scope
from seal.store import Store
from test_answer_endpoint import Handler, Server, server  # noqa: F401

SETTINGS = ["attention.solver=greedy", "attention.budget=4"]
GREEDY = ",".join(SETTINGS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filmed(tmp_path_factory.mktemp("lmms"), 12.0)


@pytest.fixture(scope="module")
def film(store: Store) -> Path:
    return Path(store.videos()[0].path)


@pytest.fixture
def selector(store: Store) -> Selector:
    return Selector(str(store.path), SETTINGS)


def document(film: Path, question: str = "Where is the red ball?") -> dict[str, Any]:
    return {"video": str(film), "question": question, "answer": "left"}


def pixels(pictures: list[Any]) -> list[bytes]:
    return [picture.tobytes() for picture in pictures]


def drawn(parts: tuple[str | PromptPicture, ...]) -> list[Image.Image]:
    jpegs = [part.jpeg for part in parts if isinstance(part, PromptPicture)]
    return [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]


def test_pictures_of_the_evidence_stand_where_the_video_stood(
    selector: Selector, film: Path
) -> None:
    asked, other = document(film), Image.new("RGB", (4, 4))
    shown = selector.visuals(lambda doc: [other, doc["video"], "a.wav"])(asked)
    assert shown[0] is other
    assert shown[-1] == "a.wav"
    evidence = selector.evidence(VideoClip(str(film)), asked)
    assert len(shown) == 2 + 4
    assert pixels(shown[1:-1]) == pixels(drawn(evidence))
    assert selector.visuals(lambda doc: None)(asked) == []


def test_the_evidence_is_that_of_the_question(selector: Selector, film: Path) -> None:
    def tokens(question: str) -> list[str]:
        parts = selector.evidence(VideoClip(str(film)), document(film, question))
        return [part.token for part in parts if isinstance(part, PromptPicture)]

    assert tokens("Where is the red ball?") != tokens("What does the blue box do?")


def test_messages_keep_all_but_their_videos(selector: Selector, film: Path) -> None:
    asked, question = document(film), {"type": "text", "text": "Where?"}
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "video", "url": str(film)}, question]},
    ]
    system, user = selector.messages(lambda doc: said)(asked)
    assert system == said[0]
    *shown, last = user["content"]
    assert last == question
    evidence = selector.evidence(VideoClip(str(film)), asked)
    texts = [part["text"] for part in shown if part["type"] == "text"]
    assert texts == [part for part in evidence if isinstance(part, str)]
    assert texts[0].startswith("[0:")
    pictures = [part["url"] for part in shown if part["type"] == "image"]
    assert pixels(pictures) == pixels(drawn(evidence))
    frames = [{"role": "user", "content": [{"type": "video", "url": [1, 2]}]}]
    with pytest.raises(DataError, match="not a file"):
        selector.messages(lambda doc: frames)(asked)


def test_of_a_clip_only_what_lies_in_it_is_shown(
    selector: Selector, film: Path, store: Store
) -> None:
    clip = {"type": "video", "path": str(film), "video_start": 3.0, "video_end": 5.0}
    same = {"type": "video", "url": str(film), "start_time": 3.0, "end_time": 5.0}
    shown = selector.evidence(VideoClip(str(film), 3.0, 5.0), document(film))
    names = [part.token for part in shown if isinstance(part, PromptPicture)]
    tokens = Scope.of(store, str(film), "show").tokens
    chosen = tokens.take(np.flatnonzero(np.isin(tokens.ids, names)))
    assert len(chosen) == 4
    assert ((chosen.start_s <= 5) & (chosen.end_s >= 3)).all()
    assert pixels(selector.visuals(lambda doc: [clip])(document(film))) == pixels(drawn(shown))
    for content in ([same], [{"type": "video", "url": clip}]):
        said = [{"role": "user", "content": content}]
        (message,) = selector.messages(lambda doc, said=said: said)(document(film))
        pictures = [part["url"] for part in message["content"] if part["type"] == "image"]
        assert pixels(pictures) == pixels(drawn(shown))
    with pytest.raises(DataError, match="no token from 500 s to inf s"):
        selector.evidence(VideoClip(str(film), 500.0), document(film))


def test_a_video_that_is_not_there_yet_is_indexed_once(film: Path, tmp_path: Path) -> None:
    selector = Selector(str(tmp_path / "store"), SETTINGS)
    for question in ("Where is the red ball?", "What falls?"):
        assert len(selector.visuals(lambda doc: [doc["video"]])(document(film, question))) == 4
    (record,) = Store(tmp_path / "store").videos()
    Selector(str(tmp_path / "store")).evidence(VideoClip(str(film)), document(film))
    assert [record] == Store(tmp_path / "store").videos()
    with pytest.raises(VideoError):
        selector.evidence(VideoClip("gone.mp4"), document(film))


@pytest.mark.parametrize(
    ("visual", "clip"),
    [
        ("a/b.mp4", VideoClip("a/b.mp4")),
        ("a/b", VideoClip("a/b")),
        ("a/b.PNG", None),
        ("a/b.mp3", None),
        ({"type": "video", "path": "b.mkv", "video_start": 1.5}, VideoClip("b.mkv", 1.5)),
        ({"url": "b.mkv"}, VideoClip("b.mkv")),
        ({"type": "image", "url": "b.png"}, None),
        ({"array": [0.1], "sampling_rate": 16000}, None),
        (Image.new("RGB", (2, 2)), None),
    ],
)
def test_videos_are_told_from_pictures_and_sounds(visual: Any, clip: VideoClip | None) -> None:
    assert clip_of(visual) == clip


def test_what_is_not_selected_for_is_an_error(selector: Selector, film: Path) -> None:
    with pytest.raises(DataError, match="set seal_question to one of video, query"):
        selector.evidence(VideoClip(str(film)), {"video": str(film), "query": "Where?"})
    made = in_front(Recorder, selector)()
    with pytest.raises(NotImplementedError, match="single round"):
        made.generate_until_multi_round([])
    with pytest.raises(NotImplementedError, match="in words"):
        made.generate_visual_cot([])


def test_arguments_are_shared_out(store: Store, film: Path) -> None:
    arguments = {"seal_model": "vllm", "seal_store": str(store.path), "seal_question": "ask"}
    arguments |= {"attention.budget": 2, "attention.alpha": 0.5, "model": "m", "tensor": True}
    arguments["attention.objective"] = "normalised"
    name, selector = take_selector(arguments)
    assert (name, arguments) == ("vllm", {"model": "m", "tensor": True})
    shown = selector.visuals(lambda doc: [doc["video"]])({"video": str(film), "ask": "a red ball"})
    assert len(shown) == 2
    for wrong, message in (
        ({"seal_store": "x"}, "the first two at least; got seal_store"),
        (
            {"seal_model": "m", "seal_store": "x", "seal_stor": 1},
            "got seal_model, seal_store, seal",
        ),
        ({"seal_model": "m", "seal_store": str(store.path), "attention.x": 1}, "attention.x"),
        ({"seal_model": "m", "seal_store": str(store.path), "video.part_s": 1}, "seal index"),
    ):
        with pytest.raises(OptionError, match=message):
            take_selector(dict(wrong))


@dataclass
class Request:
    """As much as there is of a request of lmms-eval."""

    arguments: tuple[Any, ...]

    @property
    def args(self) -> tuple[Any, ...]:
        return self.arguments


class Recorder:
    """What lmms-eval's simple models have to do with requests."""

    is_simple = True

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.task_dict: dict[str, Any] = {}

    def generate_until(self, requests: list[Any]) -> list[str]:
        for request in requests:
            context, _, show, number, task, split = self._in_order(request.args)
            self.seen.append((context, show(self.task_dict[task][split][number])))
        return ["left"] * len(requests)

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        self.generate_until(requests)
        return [(0.0, False)] * len(requests)

    def _in_order(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return arguments


class ChatRecorder(Recorder):
    """What its models that take messages have to do."""

    is_simple = False

    def _in_order(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        context, show, settings, *rest = arguments
        return (context, settings, show, *rest)


@pytest.mark.parametrize("method", ["generate_until", "loglikelihood"])
def test_a_simple_model_sees_pictures(selector: Selector, film: Path, method: str) -> None:
    model = in_front(Recorder, selector)()
    model.task_dict = {"task": {"test": [document(film)]}}

    def show(doc: dict[str, Any]) -> list[str]:
        return [doc["video"]]

    request = Request(("Where?", {}, show, 0, "task", "test"))
    assert len(getattr(model, method)([request])) == 1
    assert request.args[2] is show, "lmms-eval's own request stays as it was"
    ((context, seen),) = model.seen
    assert context == "Where?"
    assert pixels(seen) == pixels(drawn(selector.evidence(VideoClip(str(film)), document(film))))


def test_a_model_that_takes_messages_sees_pictures_and_times(
    selector: Selector, film: Path
) -> None:
    model = in_front(ChatRecorder, selector)()
    model.task_dict = {"task": {"test": [document(film)]}}

    def show(doc: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "video", "url": doc["video"]}]}]

    model.generate_until([Request(("", show, {}, 0, "task", "test"))])
    ((_, ((message,))),) = model.seen
    assert {part["type"] for part in message["content"]} == {"text", "image"}


def completes(handler: Handler) -> None:
    handler.start(200, "application/json")
    message = {"role": "assistant", "content": "left"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    value = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    handler.wfile.write(json.dumps({**value, "choices": [choice]}).encode())


TASK = """
task: seal_film
dataset_path: json
dataset_kwargs: {data_files: FOLDER/film.json}
test_split: train
output_type: generate_until
doc_to_visual: !function film_task.doc_to_visual
doc_to_text: !function film_task.doc_to_text
doc_to_target: answer
generation_kwargs: {max_new_tokens: 8, temperature: 0, do_sample: false}
process_results: !function film_task.process_results
metric_list: [{metric: right, aggregation: mean, higher_is_better: true}]
"""
CODE = """
def doc_to_visual(doc):
    return [doc["video"]]

def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"] + " Answer in a word."

def process_results(doc, results):
    return {"right": float(results[0] == doc["answer"])}
"""


# lmms-eval and what it needs warn of much that is theirs.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("simple", [False, True])
def test_lmms_eval_runs_a_task_with_its_own_model_behind_seal(
    film: Path,
    store: Store,
    tmp_path: Path,
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    simple: bool,
) -> None:
    pytest.importorskip("lmms_eval", reason="lmms-eval, which needs torchvision, is not installed")
    from lmms_eval import evaluator
    from lmms_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "film.json").write_text(json.dumps([document(film)]))
    (tmp_path / "film.yaml").write_text(TASK.replace("FOLDER", str(tmp_path)))
    (tmp_path / "film_task.py").write_text(CODE)
    server.replies = [completes]
    result = evaluator.simple_evaluate(
        model="seal",
        model_args=f"seal_model=openai,seal_store={store.path},{GREEDY},base_url={server.url},"
        "model_version=m,api_key=none",
        tasks=["seal_film"],
        task_manager=TaskManager("ERROR", str(tmp_path), model_name="seal"),
        force_simple=simple,
        batch_size=1,
    )
    assert result["results"]["seal_film"]["right,none"] == 1
    (request,) = server.requests
    content = request["messages"][-1]["content"]
    assert sum(part["type"] == "image_url" for part in content) == 4
    said = [part["text"] for part in content if part["type"] == "text"]
    assert said[-1] == "Where is the red ball? Answer in a word."
    assert any(text.startswith("[0:") for text in said) is not simple
