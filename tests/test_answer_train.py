"""Training of a local model to answer: what it learns from, that it learns, that runs go on."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

import tiny_answerer
from filmed import filmed
from seal.answer.lessons import LessonExample, Lessons, read
from seal.answer.local import LocalAnswerer
from seal.answer.processor import Reader, ends_of
from seal.answer.prompt import Message
from seal.answer.train import Adapter, LessonBatch, _Batches, train
from seal.cli import main
from seal.config import HfAnswer, TuneOptions
from seal.errors import BackendError, DataError, OptionError
from seal.store import Store
from seal.weights import locate

# Eight questions, so that a step sees them all.
ANSWERS = {
    "Where is the red ball?": "on the left",
    "What moves?": "a ball",
    "Why does it fall?": "it is heavy",
    "Who is there?": "nobody",
    "When does it rain?": "at noon",
    "How many are there?": "three",
    "What colour is it?": "(B) blue",
    "What comes next?": "rain",
}
OPTIONS = {"What colour is it?": {"A": "red", "B": "blue"}}
SETTINGS = ["attention.budget=1"]
QUICK = {"steps": 6, "accumulate": 2, "warmup": 2, "workers": 0, "save_every": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film in a store, a tiny model, and what it should learn about the film."""
    folder = tmp_path_factory.mktemp("tune")
    filmed(folder, 6.0)
    tiny_answerer.save(folder / "model")
    lines = [
        {"video": str(folder / "film.mp4"), "question": question, "answer": answer}
        | ({"options": OPTIONS[question]} if question in OPTIONS else {})
        for question, answer in ANSWERS.items()
    ]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def lessons(folder: Path) -> Lessons:
    return Lessons(read(folder / "data.jsonl"), Store(folder / "store"), SETTINGS, seed=0)


def tune(folder: Path, run: Path, on_step=lambda step: None, **options: object) -> dict[str, float]:
    model = HfAnswer(model=str(folder / "model"))
    return train(lessons(folder), model, TuneOptions(**QUICK | options), run, on_step)


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]


def seal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_after_sixty_steps_a_tenth_of_the_loss_is_left(folder: Path, tmp_path: Path) -> None:
    tune(folder, tmp_path, steps=62, accumulate=4, learning_rate=1e-2, dropout=0.0)
    losses = [step["loss"] for step in curve(tmp_path)]
    # Two steps see all eight; a loss is measured before its step.
    assert sum(losses[60:]) < 0.1 * sum(losses[:2])
    answerer = LocalAnswerer(HfAnswer(model=str(tmp_path / "adapter"), max_tokens=16))
    taught = [lessons(folder)[number] for number in range(8)]
    answers = [answerer.answer_all([lesson.prompt]) for lesson in taught]
    right = [answer == [each.example.answer] for answer, each in zip(answers, taught, strict=True)]
    assert sum(right) >= 4


@pytest.mark.parametrize("family", tiny_answerer.FAMILIES)
def test_the_loss_is_that_of_the_answer_behind_what_is_sent(
    folder: Path, tmp_path: Path, family: str
) -> None:
    weights = locate(str(tiny_answerer.save(tmp_path, family)), "main")
    asker = LocalAnswerer(HfAnswer(model=str(tmp_path)))
    task = Adapter(HfAnswer(model=str(tmp_path)), weights, TuneOptions())
    for number in range(2):
        prompt, example = lessons(folder)[number]
        batch = _Batches(lessons(folder), "tiny", weights, ends_of(asker._model))[number]
        sent = asker._inputs([prompt], 1)
        count = len(batch.answer)
        assert batch.inputs.keys() == sent.keys()
        assert (batch.inputs["input_ids"][:, :-count] == sent["input_ids"]).all()
        assert (batch.inputs["input_ids"][0, -count:] == batch.answer).all()
        assert batch.inputs["attention_mask"].all()
        assert (batch.inputs["pixel_values"] == sent["pixel_values"]).all()
        # This template ends a turn by a token at which the model would not stop.
        written = asker._reader.tokenizer.decode(batch.answer)
        assert written == f"{example.answer}<|im_end|>\n</s>"
        labels = torch.full_like(batch.inputs["input_ids"], -100)
        labels[0, -count:] = batch.answer
        with torch.no_grad():
            want = float(asker._model(**batch.inputs, labels=labels).loss)
            # An adapter changes nothing before the first step.
            assert float(task.losses(task.network, batch)["loss"]) == pytest.approx(want, rel=1e-5)


def test_lessons_go_to_other_processes(folder: Path) -> None:
    weights = locate(str(folder / "model"), "main")
    batches = _Batches(lessons(folder), "tiny", weights, [2])
    here = batches[3]
    there = pickle.loads(pickle.dumps(batches))[3]
    assert torch.equal(here.answer, there.answer)
    assert all(torch.equal(value, there.inputs[name]) for name, value in here.inputs.items())


def test_an_answer_ends_where_the_model_stops(folder: Path) -> None:
    reader = Reader("tiny", locate(str(folder / "model"), "main"))
    ends = reader.tokenizer.convert_tokens_to_ids(["</s>", "<|im_end|>"])
    prompt = [Message("user", ("What?",))]
    assert reader.tokenizer.decode(reader.answer(prompt, "Yes.", ends)) == "Yes.<|im_end|>"
    # One that never stops learns no end.
    assert reader.tokenizer.decode(reader.answer(prompt, "Yes.", [])) == "Yes.<|im_end|>\n"


def test_templates_that_write_prompts_otherwise_are_refused(folder: Path, tmp_path: Path) -> None:
    tiny_answerer.save(tmp_path)
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>assistant\n", "Now you: "))
    reader = Reader("odd", locate(str(tmp_path), "main"))
    with pytest.raises(BackendError, match="odd cannot be trained: its chat template"):
        reader.answer([Message("user", ("What?",))], "Yes.", [2])


def test_an_adapter_is_loaded_as_it_was(folder: Path, tmp_path: Path) -> None:
    model = HfAnswer(model=str(folder / "model"))
    task = Adapter(model, locate(model.model, "main"), TuneOptions(targets="q_proj, up_proj"))
    trained = {n: p for n, p in task.network.named_parameters() if p.requires_grad}
    assert all(re.search(r"language_model.*\.(q|up)_proj\.lora_[AB]", name) for name in trained)
    assert len(trained) == 2 * 2 * 2
    for parameter in trained.values():
        torch.nn.init.normal_(parameter)
    task.save(tmp_path, task.network.state_dict())
    batch = batch_of(folder)
    loaded = LocalAnswerer(HfAnswer(model=str(tmp_path)))
    plain = LocalAnswerer(model)
    with torch.no_grad():
        here, there, without = (
            network(**batch.inputs).logits
            for network in (task.network.eval(), loaded._model, plain._model)
        )
    assert torch.equal(here, there)
    assert not torch.allclose(here, without, atol=0.1)
    assert loaded.answer(lessons(folder)[0].prompt)


def batch_of(folder: Path) -> LessonBatch:
    return _Batches(lessons(folder), "tiny", locate(str(folder / "model"), "main"), [2])[0]


def test_adapters_of_other_models_are_refused(folder: Path, tmp_path: Path) -> None:
    model = HfAnswer(model=str(folder / "model"))
    weights = locate(model.model, "main")
    task = Adapter(model, weights, TuneOptions())
    task.save(tmp_path, task.network.state_dict())
    config = tmp_path / "adapter_config.json"
    text = config.read_text()
    config.write_text(text.replace("q_proj|", ""))
    with pytest.raises(BackendError, match=r"4 weights are missing or have no place .*q_proj"):
        LocalAnswerer(HfAnswer(model=str(tmp_path)))
    config.write_text(text.replace('"r": 16', '"r": 8'))
    with pytest.raises(BackendError, match="does not load as an adapter"):
        LocalAnswerer(HfAnswer(model=str(tmp_path)))
    config.write_text(text.replace(str(folder / "model"), str(folder / "moved")))
    with pytest.raises(BackendError, match="moved"):
        LocalAnswerer(HfAnswer(model=str(tmp_path)))
    config.write_text(text)
    with pytest.raises(OptionError, match="is an adapter: train its base model"):
        train(lessons(folder), HfAnswer(model=str(tmp_path)), TuneOptions(), tmp_path / "run")


def test_a_whole_model_is_trained(folder: Path, tmp_path: Path) -> None:
    """By commands alone, from the file to an answer."""
    common = ("--data", folder / "data.jsonl", "--store", folder / "store")
    quick = [part for key, value in QUICK.items() for part in ("--set", f"tune.{key}={value}")]
    command = ("train", "answer", *common, *quick, "--set", SETTINGS[0], "--set")
    model = ("--model", f"hf:{folder / 'model'}", "--output", tmp_path)
    trained = seal(*command, "tune.method=full", *model, "--json")
    assert trained.exit_code == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result.keys() == {"model", "steps", "loss", "waited"}
    before, after = (
        load_file(Path(place) / "model.safetensors")
        for place in (folder / "model", result["model"])
    )
    assert before.keys() == after.keys()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert any("language_model" in name for name in changed)
    assert any("lm_head" in name for name in changed)
    assert not any("vision_tower" in name for name in changed)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["tune"]["seed"] == 0
    assert manifest["query"]["mini"]["attention"]["budget"] == 1
    assert manifest["model"].startswith("model@")
    assert list(manifest["data"]) == ["examples", str(folder / "film.mp4")]
    assert manifest["made_with"]["versions"]["peft"]
    film, answerer = folder / "film.mp4", f"hf:{result['model']}"
    few = ("--store", folder / "store", "--set", "answer.max_tokens=4")
    asked = seal("ask", film, "What moves?", "--answerer", answerer, *few, "--json")
    assert asked.exit_code == 0, asked.stderr
    assert json.loads(asked.stdout)["model"] == answerer


def test_networks_that_see_are_trained_where_that_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    options = {"method": "full", "part": "all", "steps": 2, "accumulate": 1, "ema": 0.5}
    tune(folder, tmp_path, **options)
    before, after = (
        load_file(place / "model.safetensors") for place in (folder / "model", tmp_path / "model")
    )
    assert any("vision_tower" in n for n in after if not torch.equal(before[n], after[n]))
    # Some of its weights no loss depends on: a run goes on without their moments.
    assert tune(folder, tmp_path, **options)["loss"] == curve(tmp_path)[-1]["loss"]


KILLED = """
import sys, time
from pathlib import Path
import test_answer_train as t

def slow(step):
    print(step.number, flush=True)
    time.sleep(0.3)

if __name__ == "__main__":
    t.tune(Path(sys.argv[1]), Path(sys.argv[2]), slow)
"""


def test_a_killed_run_goes_on_to_the_last_digit(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(folder), str(tmp_path / "killed")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, start_new_session=True)
    with run:
        assert run.stdout is not None
        for line in run.stdout:
            if int(line) == 3:
                break
        os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    assert len(curve(tmp_path / "killed")) < QUICK["steps"]
    for place in ("killed", "whole"):
        tune(folder, tmp_path / place)
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert len(curve(tmp_path / "whole")) == QUICK["steps"]
    for name in ("state.safetensors", "adapter/adapter_model.safetensors"):
        killed, whole = (tmp_path / place / name for place in ("killed", "whole"))
        assert killed.read_bytes() == whole.read_bytes()


def test_runs_with_other_settings_or_a_damaged_state_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    tune(folder, tmp_path, steps=2)
    with pytest.raises(OptionError, match=r"a run with tune\.rank=16 \(here 8\)"):
        tune(folder, tmp_path, steps=2, rank=8)
    model = HfAnswer(model=str(folder / "model"))
    examples, store = read(folder / "data.jsonl"), Store(folder / "store")
    options = TuneOptions(**QUICK | {"steps": 2})
    with pytest.raises(OptionError, match="a run with query"):
        train(Lessons(examples, store, ["attention.budget=2"], 0), model, options, tmp_path)
    with pytest.raises(OptionError, match=r"a run with .*data"):
        train(Lessons(examples[:-1], store, SETTINGS, 0), model, options, tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(BackendError, match="damaged"):
        tune(folder, tmp_path, steps=2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"video": "a"}, "must be an object with video, question, answer"),
        ({"video": "a", "question": "?", "answer": "b", "time": 3}, "'time'"),
        ([1], "must be an object"),
        ({"video": "a", "question": " ", "answer": "b"}, "texts that are not empty"),
        ({"video": "a", "question": "?", "answer": 3}, "texts that are not empty"),
        ({"video": "a", "question": "?", "answer": "A", "options": ["b"]}, "letter to text"),
        (
            {"video": "a", "question": "?", "answer": "C", "options": {"A": "x", "B": "y"}},
            "'C' is none of the options A, B",
        ),
    ],
)
def test_entries_that_are_none_are_named(tmp_path: Path, entry: object, message: str) -> None:
    good = json.dumps({"video": "a", "question": "?", "answer": "b"})
    path = tmp_path / "data.jsonl"
    path.write_text(f"{good}\n{json.dumps(entry)}\n")
    with pytest.raises(DataError, match=rf"entry 2\b.*{re.escape(message)}"):
        read(path)


def test_what_cannot_be_trained_is_named(folder: Path, tmp_path: Path) -> None:
    entry = {"video": "other.mp4", "question": "?", "answer": "b"}
    text = (folder / "data.jsonl").read_text()
    data = tmp_path / "data.jsonl"
    data.write_text(f"{text}\n{json.dumps(entry)}\n")
    model = f"hf:{folder / 'model'}"

    def fails(*arguments: object, data: Path = data, model: str = model) -> str:
        common = ("--store", folder / "store", "--output", tmp_path / "run", "--data", data)
        result = seal("train", "answer", *common, "--model", model, *arguments)
        assert result.exit_code == 1, result.stdout
        return result.stderr

    assert "nowhere.jsonl cannot be read" in fails(data=tmp_path / "nowhere.jsonl")
    assert "unknown option 'tune.depth'; valid: tune.steps" in fails("--set", "tune.depth=1")
    both = "--set", "tune.steps=1", "--set", "tune.warmup=2"
    assert "tune.warmup must lie between 0 and 1 steps; got 2" in fails(*both)
    assert "tune.rank must be at least 1" in fails("--set", "tune.rank=0")
    assert "expected --model hf:MODEL, got 'openai:x'" in fails(model="openai:x")
    assert "answer.device=cpu has no effect" in fails("--set", "answer.device=cpu")
    said = fails("--set", "tune.targets=query")
    assert "1 examples left out: not indexed: other.mp4" in said
    assert "no linear layers called query; valid: all-linear, or some of q_proj,k_proj" in said
    data.write_text(json.dumps(entry))
    assert "run seal index on other.mp4" in fails()
    tiny_answerer.save(tmp_path / "small", context=64)
    said = fails(
        "--set", "tune.workers=0", data=folder / "data.jsonl", model=f"hf:{tmp_path / 'small'}"
    )
    assert re.search(r"'.*\?' about .*film\.mp4: .*the model reads 64; show less", said)


def test_examples_come_in_another_order_each_time_and_none_is_left_out(folder: Path) -> None:
    taught = lessons(folder)
    rounds = [[taught[first + i].example.question for i in range(8)] for first in (0, 8)]
    assert set(rounds[0]) == set(rounds[1]) == set(ANSWERS)
    assert rounds[0] != rounds[1]
    (choice,) = [lesson for lesson in map(taught.__getitem__, range(8)) if lesson.example.options]
    assert "(B) blue" in str(choice.prompt[-1].parts[-1])
    assert taught.examples[0] == LessonExample(
        str(folder / "film.mp4"), *next(iter(ANSWERS.items()))
    )
