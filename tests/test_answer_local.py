"""The local back end with a tiny network that is saved and loaded as published ones are."""

import io
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText
from transformers.utils import is_torchvision_available

import tiny_answerer
from seal.answer.answerer import load
from seal.answer.local import LocalAnswerer
from seal.answer.prompt import Message, PromptPicture
from seal.config import HfAnswer, Options
from seal.errors import AnswerError, BackendError, ContextError

LETTERS = ["A", "B", "C", "D"]


@pytest.fixture(scope="module", params=tiny_answerer.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_answerer.save(tmp_path_factory.mktemp(family), family)


@pytest.fixture(scope="module")
def answerer(folder: Path) -> LocalAnswerer:
    return LocalAnswerer(HfAnswer(model=str(folder), device="cpu", max_tokens=8))


def prompt(*colors: str, text: str = "What is it?") -> list[Message]:
    pictures = []
    for color in colors:
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), color).save(buffer, "JPEG")
        pictures.append(PromptPicture(buffer.getvalue(), "scene-1", (40, 30)))
    return [Message("system", ("Be brief.",)), Message("user", (*pictures, text))]


def test_the_answer_comes_piece_by_piece(answerer: LocalAnswerer) -> None:
    pieces = list(answerer.stream(prompt("red")))
    assert all(pieces)
    assert "".join(pieces).strip() == answerer.answer(prompt("red"))


def test_prompts_of_any_length_are_answered_at_once(answerer: LocalAnswerer) -> None:
    prompts = [prompt("red"), prompt("red", "blue", text="Which of these two?"), prompt()]
    assert answerer.answer_all(prompts) == [answerer.answer(each) for each in prompts]
    assert answerer.answer_all([]) == []


def test_answers_depend_on_every_part(answerer: LocalAnswerer) -> None:
    prompts = [prompt("red"), prompt("blue"), prompt("red", "blue"), prompt("blue", "red")]
    prompts.append(prompt("red", text="Who is it?"))
    assert len({answerer.answer(each) for each in prompts}) == len(prompts)


def test_the_likeliest_letter_is_that_of_the_first_step(answerer: LocalAnswerer) -> None:
    """Of what generation itself computes."""
    chosen = []
    for color in ("red", "blue", "green", "white", "black"):
        inputs = answerer._inputs([prompt(color)], 1)
        made = answerer._model.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        likely = torch.log_softmax(made.logits[0][0], 0)
        tokenizer = answerer._reader.tokenizer
        scores = {k: float(likely[tokenizer.convert_tokens_to_ids(k)]) for k in LETTERS}
        chosen.append(answerer.choose(prompt(color), LETTERS))
        assert chosen[-1] == max(scores, key=lambda k: scores[k])
        rest = [letter for letter in LETTERS if letter != chosen[-1]]
        assert answerer.choose(prompt(color), rest) == max(rest, key=lambda k: scores[k])


def test_the_network_computes_what_the_library_computes(
    answerer: LocalAnswerer, folder: Path
) -> None:
    inputs = answerer._inputs([prompt("red", "blue")], 1)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    with torch.inference_mode():
        assert torch.equal(answerer._model(**inputs).logits, model(**inputs).logits)


def test_pictures_reach_the_network_as_they_are_and_in_order(answerer: LocalAnswerer) -> None:
    """Normalised by the model's own mean and deviation, whatever the patches and tiles."""
    first, second = answerer._inputs([prompt("white", "black")], 1)["pixel_values"].chunk(2)
    white = (1 - tiny_answerer.MEAN[0]) / tiny_answerer.STD[0]
    torch.testing.assert_close(first, torch.full_like(first, white))
    torch.testing.assert_close(second, torch.full_like(second, -white))


@pytest.mark.skipif(not is_torchvision_available(), reason="the library's own needs torchvision")
def test_without_its_part_for_videos_a_processor_reads_the_same(
    answerer: LocalAnswerer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(answerer._reader._processor).__module__.startswith("transformers.")
    whole = answerer._inputs([prompt("red", "blue")], 1)
    monkeypatch.setattr("transformers.utils.is_torchvision_available", lambda: False)
    other = LocalAnswerer(HfAnswer(model=str(folder), device="cpu"))
    torch.testing.assert_close(dict(other._inputs([prompt("red", "blue")], 1)), dict(whole))


@pytest.mark.skipif(is_torchvision_available(), reason="torchvision is there")
def test_a_processor_that_needs_torchvision_for_pictures_says_so(
    folder: Path, tmp_path: Path
) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text('{"model_type": "mistral3"}')
    with pytest.raises(BackendError, match="may need torchvision, which is not installed"):
        LocalAnswerer(HfAnswer(model=str(tmp_path)))


def test_a_prompt_that_is_too_long_is_told_apart(family: str, tmp_path: Path) -> None:
    folder = tiny_answerer.save(tmp_path, family, context=64)
    small = LocalAnswerer(HfAnswer(model=str(folder), max_tokens=8))
    with pytest.raises(ContextError, match="but the model reads 64"):
        small.answer(prompt("red", "blue", "green"))
    short = [Message("user", ("Hi",))]
    first, error, last = small.answer_all([short, prompt("red", "blue", "green"), short])
    assert first == last == small.answer(short)
    assert isinstance(error, ContextError)


def test_a_failure_of_the_network_reaches_the_caller(
    answerer: LocalAnswerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answerer._model, "lm_head", None)
    with pytest.raises(AnswerError, match="failed"):
        answerer.answer(prompt("red"))
    with pytest.raises(AnswerError, match="failed"):
        answerer.choose(prompt("red"), LETTERS)
    errors = answerer.answer_all([prompt("red"), prompt("blue")])
    assert [type(error) for error in errors] == [AnswerError] * 2
    assert f"{answerer.name} failed: " in str(errors[0])


def test_a_stream_that_is_given_up_stops_the_network(folder: Path) -> None:
    long = LocalAnswerer(HfAnswer(model=str(folder), device="cpu", max_tokens=3000))
    steps: list[None] = []
    long._model.register_forward_hook(lambda *_: steps.append(None))
    pieces = long.stream(prompt("red"))
    next(pieces)
    pieces.close()
    done = len(steps)
    time.sleep(0.3)
    assert len(steps) == done


def test_models_that_cannot_be_asked_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"need config\.json"):
        LocalAnswerer(HfAnswer(model=str(tmp_path)))
    for path in folder.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(BackendError, match="no chat template"):
        LocalAnswerer(HfAnswer(model=str(tmp_path)))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(BackendError, match="no usable processor"):
        LocalAnswerer(HfAnswer(model=str(tmp_path)))


def test_it_is_loaded_by_its_name(folder: Path) -> None:
    options = Options.load("mini", ["answer.backend=hf", f"answer.model={folder}"])
    made = load(options.answer)
    assert made is not None
    assert made.name == f"hf:{folder}"
