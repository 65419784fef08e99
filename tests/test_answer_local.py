"""The local back end with a tiny network that is saved and loaded as published ones are."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText
from transformers.utils import is_torchvision_available

import tiny_answerer
from seal.answer.answerer import Reply, load
from seal.answer.local import LocalAnswerer
from seal.answer.prompt import Message, PromptPicture
from seal.config import HfAnswer, Options
from seal.errors import AnswerError, BackendError, ContextError, OptionError

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
    monkeypatch.setitem(answerer._model._modules, "lm_head", None)
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


TEMPLATE = (
    "{%- for message in messages %}SYSTEM<|im_start|>{{ message['role'] }}\n"
    "CONTENT<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}"
)
PARTS = (
    "{%- for part in message['content'] %}"
    "{%- if part['type'] == 'image' %}<image>{%- else %}{{ part['text'] }}{%- endif %}{%- endfor %}"
)
TEXTS_ALONE = (
    "{%- for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{%- endfor %}"
)
STRING = "{{ message['content'] }}"
ADDED = "{{ 'said: ' + message['content'] }}"
REFUSED = "{%- if message['role'] == 'system' %}{{ raise_exception('No system role') }}{%- endif %}"
ALTERNATE = (
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{%- endif %}"
)
DROPPED = "{%- if message['role'] == 'system' %}{%- continue %}{%- endif %}"


def templated(folder: Path, system: str, content: str, end: str = "") -> Path:
    tiny_answerer.save(folder)
    text = TEMPLATE.replace("SYSTEM", system).replace("CONTENT", content)
    (folder / "chat_template.jinja").write_text(text.replace("assistant\n", f"assistant\n{end}"))
    return folder


@pytest.mark.parametrize("system", ["", REFUSED, ALTERNATE, DROPPED])
@pytest.mark.parametrize("content", [PARTS, TEXTS_ALONE, STRING, ADDED])
def test_every_template_shows_instructions_question_and_pictures(
    system: str, content: str, tmp_path: Path
) -> None:
    folder = templated(tmp_path, system, content)
    model = LocalAnswerer(HfAnswer(model=str(folder), device="cpu", max_tokens=8))
    talk = [*prompt("red", "blue"), Message("assistant", ("A ball.",)), *prompt(text="And?")[1:]]
    text = model._reader._text(talk, writing=True)
    said = ["Be brief.", "<image>", "<image>", "What is it?", "A ball.", "And?"]
    places = [text.find(word) for word in said]
    assert -1 not in places
    assert text.count("<image>") == 2
    assert text.count("<|im_start|>system") == (not system)
    assert "'type'" not in text
    assert model.answer(prompt("red")) != model.answer(prompt("blue"))
    assert model._reader.answer(prompt("red"), "It is red.", [2])


def test_a_template_that_shows_no_pictures_is_one_line(tmp_path: Path) -> None:
    folder = templated(tmp_path, "", "nothing")
    with pytest.raises(BackendError, match=r"cannot be asked with pictures.*vLLM") as caught:
        LocalAnswerer(HfAnswer(model=str(folder), device="cpu"))
    assert "\n" not in str(caught.value)


def test_thoughts_that_the_template_begins_are_taken_off(tmp_path: Path) -> None:
    """The tiny network never ends them."""
    folder = templated(tmp_path, "", PARTS, end="<think>\n")
    model = LocalAnswerer(HfAnswer(model=str(folder), device="cpu", max_tokens=8))
    heard: list[str] = []
    with pytest.raises(AnswerError, match=r"thoughts and no answer: .*answer\.max_tokens higher"):
        model.reply(prompt("red"), heard.append)
    assert not heard
    (error,) = model.answer_all([prompt("red")])
    assert isinstance(error, AnswerError)


def test_the_processor_reads_as_the_library_does(answerer: LocalAnswerer) -> None:
    prompts = [prompt("red", "blue"), prompt()]
    messages = [
        [
            {
                "role": turn.role,
                "content": [
                    {"type": "text", "text": part}
                    if isinstance(part, str)
                    else {"type": "image", "image": part.image()}
                    for part in turn.parts
                ],
            }
            for turn in each
        ]
        for each in prompts
    ]
    whole = answerer._reader._processor.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True, "padding_side": "left"},
    )
    torch.testing.assert_close(dict(answerer._reader.read(prompts, 1)), dict(whole))


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (3, 40), (13, 13)])
def test_pictures_are_never_smaller_than_a_patch(
    answerer: LocalAnswerer, family: str, size: tuple[int, int]
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "JPEG")
    picture = PromptPicture(buffer.getvalue(), "object-1", size)
    assert answerer.answer([Message("user", (picture, "What is it?"))])
    least_px = {"llava": 8, "internvl": 8, "qwen2_5_vl": 28, "qwen3_vl": 32}
    assert answerer._reader._least_px == least_px[family]


def test_an_answer_that_reaches_its_longest_length_is_cut(folder: Path) -> None:
    model = LocalAnswerer(HfAnswer(model=str(folder), device="cpu", max_tokens=4))
    model._model.generation_config.eos_token_id = None
    wrote = set(model._generate(model._inputs([prompt("red")], 4))[0, -4:].tolist())
    never = next(number for number in range(100) if number not in wrote)
    for ends, cut in (({never}, True), ({never, *wrote}, False)):
        model._ends = frozenset(ends)
        reply = model.answer(prompt("red"))
        (other,) = model.answer_all([prompt("red")])
        assert isinstance(other, Reply)
        assert ("answer.max_tokens higher than 4" in reply.cut) == cut
        assert (other, other.cut) == (reply, reply.cut)


def test_a_longer_answer_needs_no_other_network(folder: Path) -> None:
    options = HfAnswer(model=str(folder), device="cpu", max_tokens=4)
    model = LocalAnswerer(options)
    model._model.generation_config.eos_token_id = None
    longer = model.with_options(replace(options, max_tokens=9))
    assert isinstance(longer, LocalAnswerer)
    assert longer._model is model._model
    model._ends = longer._ends = frozenset({-1})
    assert "higher than 9" in longer.answer(prompt("red")).cut
    assert "higher than 4" in model.answer(prompt("red")).cut
    other = model.with_options(replace(options, dtype="bfloat16"))
    assert isinstance(other, LocalAnswerer)
    assert other._model is not model._model


def test_layers_are_spread_over_devices(
    answerer: LocalAnswerer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How they are is accelerate's work; here is one device."""
    given: list[str] = []
    load_whole = AutoModelForImageTextToText.from_pretrained

    def noting(*arguments: object, **named: object) -> object:
        given.append(str(named["device_map"]))
        return load_whole(*arguments, **named)

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", noting)
    options = HfAnswer(model=str(folder), device_map="balanced", dtype="float32", max_tokens=8)
    assert LocalAnswerer(options).answer(prompt("red")) == answerer.answer(prompt("red"))
    assert given == ["balanced"]
    with pytest.raises(OptionError, match="leave device at auto"):
        HfAnswer(device_map="auto", device="cpu")


def test_internvl_of_old_is_refused_in_one_line(tmp_path: Path) -> None:
    auto = {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"}
    config = {"model_type": "internvl_chat", "auto_map": auto}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "configuration_internvl_chat.py").write_text("raise SystemExit")
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(BackendError, match=r"never runs such code.* end in -hf.*vLLM") as caught:
        LocalAnswerer(HfAnswer(model=str(tmp_path), device="cpu"))
    assert "\n" not in str(caught.value)


def test_it_is_loaded_by_its_name(folder: Path) -> None:
    options = Options.load("mini", ["answer.backend=hf", f"answer.model={folder}"])
    made = load(options.answer)
    assert made is not None
    assert made.name == f"hf:{folder}"
