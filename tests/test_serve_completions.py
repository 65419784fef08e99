"""The OpenAI-style endpoint, by the official client, in front of a scripted model server."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

import seal
from filmed import write_film
from forked import python
from seal.serve.messages import ChatMessage, Talk
from seal.serve.schemas import LONGEST_ID
from serving import Server, serving
from test_answer_endpoint import Server as Model
from test_answer_endpoint import chunk, errs_in_the_middle, fails, says, sizes

PAGE = Path(__file__).parents[1] / "docs" / "agents.md"
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of two films."""
    folder = tmp_path_factory.mktemp("completions")
    library = seal.open(folder / "store")
    for seed, name in enumerate(("first.mp4", "second.mp4")):
        write_film(folder / name, seed=seed, duration_s=6.0)
        library.index(folder / name, jobs=1)
    return folder


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model = Model()
    thread = threading.Thread(target=model.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield model
    model.shutdown()
    thread.join()
    model.server_close()


@pytest.fixture(scope="module")
def server(home: Path, model: Model) -> Iterator[Server]:
    """A server with a model."""
    flags = ["--answerer", "openai:m", "--set", f"answer.base_url={model.url}"]
    flags += ["--set", "answer.retries=0", "--state", str(home / "with-model")]
    with serving(home / "store", *flags, env=os.environ | {"OPENAI_API_KEY": "key"}) as server:
        yield server


@pytest.fixture(scope="module")
def plain(home: Path) -> Iterator[Server]:
    """A server without a model."""
    with serving(home / "store", "--state", str(home / "without")) as server:
        yield server


@pytest.fixture
def client(server: Server, model: Model) -> Iterator[openai.OpenAI]:
    model.replies, model.requests = [says("It is ", "a ball [0:01.0].")], []
    with client_of(server) as client:
        yield client


def client_of(server: Server, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0)


def ids(home: Path) -> list[str]:
    return [video.id for video in seal.open(home / "store")]


def user(text: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def video(name: str) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": name}}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def picture(size: tuple[int, int] = (48, 36), form: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, form)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{data}"


def ask(client: openai.OpenAI, *messages: dict[str, Any], **more: Any) -> Any:
    arguments: dict[str, Any] = {"model": "seal", "messages": list(messages), **more}
    return client.chat.completions.create(**arguments)


def said(message: dict[str, Any]) -> str:
    """The words of a message that the model was sent."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def test_an_answer_has_its_evidence(client: openai.OpenAI, home: Path, model: Model) -> None:
    name = ids(home)[0]
    reply = ask(client, user("Where is the ball?", video(f"seal:{name}")))
    assert reply.choices[0].message.content == "It is a ball [0:01.0]."
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.object, reply.model, reply.usage) == ("chat.completion", "seal", None)
    assert reply.seal["answer"] == reply.choices[0].message.content
    assert reply.seal["model"] == "openai:m"
    assert {piece["video"] for piece in reply.seal["evidence"]} == {name}
    assert reply.seal["citations"]
    direct = seal.open(home / "store").by_id(name).ask("Where is the ball?").to_json()
    assert reply.seal["evidence"] == [
        piece | {"cited": piece["id"] in {one["id"] for one in reply.seal["citations"]}}
        for piece in direct["evidence"]
    ]
    (request,) = model.requests
    assert "Question: Where is the ball?" in said(request["messages"][-1])


def test_an_answer_comes_in_chunks(client: openai.OpenAI, home: Path) -> None:
    message = user("Where is the ball?", video(f"seal:{ids(home)[0]}"))
    with ask(client, message, stream=True) as stream:
        chunks = list(stream)
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert [piece for piece in pieces if piece] == ["It is ", "a ball [0:01.0]."]
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].seal["answer"] == "".join(pieces)
    assert chunks[-1].seal["evidence"]


def test_a_stream_ends_as_clients_expect(server: Server, client: openai.OpenAI) -> None:
    body = {"model": "seal", "messages": [user("Where is the ball?")], "stream": True}
    reply = server.post("/v1/chat/completions", body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body.endswith(b"data: [DONE]\n\n")


def test_all_videos_are_asked_without_a_part(
    client: openai.OpenAI, home: Path, model: Model
) -> None:
    reply = ask(client, {"role": "user", "content": "Where is the ball?"})
    assert {piece["video"] for piece in reply.seal["evidence"]} == set(ids(home))
    assert "2 videos" in said(model.requests[0]["messages"][0])


def test_a_budget_is_kept(client: openai.OpenAI, home: Path) -> None:
    message = user("Where is the ball?", video(f"seal:{ids(home)[0]}"))
    reply = ask(client, message, extra_body={"seal": {"budget": 3}})
    assert 0 < len(reply.seal["evidence"]) <= 3
    options = {"budget": 3, "options": {"attention.objective": "coverage"}}
    covering = ask(client, message, extra_body={"seal": options})
    assert 0 < len(covering.seal["evidence"]) <= 3


def test_what_was_said_before_is_kept(client: openai.OpenAI, home: Path, model: Model) -> None:
    name = ids(home)[0]
    model.replies = [says("Where is the red ball?"), says("Left.")]
    messages = [
        {"role": "system", "content": "Answer in French."},
        {"role": "developer", "content": "Be kind."},
        user("What is red?", video(f"seal:{name}"), image(picture())),
        {"role": "assistant", "content": "A ball [0:01.0]."},
        user("Where is it?"),
    ]
    reply = ask(client, *messages)
    rewriting, asking = (request["messages"] for request in model.requests)
    assert "What is red?" in said(rewriting[0])
    assert [message["role"] for message in asking] == ["system", "user", "assistant", "user"]
    assert said(asking[0]).endswith("Answer in French.\n\nBe kind.")
    assert said(asking[1]) == "What is red?"
    assert asking[1]["content"][0]["type"] == "image_url"
    assert asking[2]["content"] == "A ball [0:01.0]."
    assert said(asking[3]).rstrip().endswith("Question: Where is it?")
    assert {piece["video"] for piece in reply.seal["evidence"]} == {name}
    # The reply can be sent back as it came.
    model.replies = [says("Left.")]
    ask(client, *messages, reply.choices[0].message, user("What is green?"))


def test_pictures_go_along_beside_the_evidence(
    client: openai.OpenAI, home: Path, model: Model
) -> None:
    shown = [image(picture(form=form)) for form in ("PNG", "JPEG", "WEBP", "GIF")]
    large = image(picture((3000, 1500)))
    ask(client, user("Is this in it?", image(f"seal:{ids(home)[0]}"), *shown, large))
    last = model.requests[0]["messages"][-1]
    own = sizes({"messages": [last]})[-5:]
    assert own == [(48, 36)] * 4 + [(2048, 1024)]
    assert "Pictures that come with the question" in said(last)
    assert last["content"][-1]["text"].strip().endswith("Question: Is this in it?")


def test_parameters_reach_the_model(client: openai.OpenAI, model: Model) -> None:
    ask(client, user("Where?"), temperature=0.7, max_tokens=9, n=1, top_p=1.0)
    ask(client, user("Where?"), max_completion_tokens=7)
    first, second = model.requests
    assert (first["temperature"], first["max_tokens"]) == (0.7, 9)
    assert (second["temperature"], second["max_tokens"]) == (0.0, 7)


def test_what_names_nobody_and_nothing_is_taken(client: openai.OpenAI, model: Model) -> None:
    """Clients send these with each request."""
    reply = ask(client, user("Where?"), user="somebody", tools=[], presence_penalty=0.0)
    assert reply.choices[0].message.content == "It is a ball [0:01.0]."
    assert model.requests[0].keys().isdisjoint({"user", "tools", "seed", "stop"})
    ask(client, user("Where?"), seed=7, stop="END")
    ask(client, user("Where?"), stop=["a", "b"])
    ask(client, user("Where?"))
    assert [(each.get("seed"), each.get("stop")) for each in model.requests[1:]] == [
        (7, ["END"]),
        (None, ["a", "b"]),
        (None, None),
    ]


def test_a_seed_that_a_model_server_refuses_is_left_out(
    client: openai.OpenAI, model: Model
) -> None:
    model.replies = [fails(400, "Unsupported parameter: 'seed'."), says("Left.")]
    reply = ask(client, user("Where?"), seed=7)
    assert "seed is left out" in str(reply.seal["notes"])
    assert [each.get("seed") for each in model.requests] == [7, None]


def test_a_stream_ends_with_a_chunk_for_the_usage(client: openai.OpenAI) -> None:
    message = user("Where is the ball?")
    with ask(client, message, stream=True, stream_options={"include_usage": True}) as stream:
        *chunks, last = list(stream)
    assert chunks[-1].seal["evidence"]
    assert (last.choices, last.usage, last.id) == ([], None, chunks[0].id)
    with ask(client, message, stream=True, stream_options={"include_usage": False}) as stream:
        assert all(chunk.choices for chunk in stream)


def test_an_answer_that_is_cut_says_so(client: openai.OpenAI, model: Model) -> None:
    def cut(handler: Any) -> None:
        handler.start(200, "application/json")
        choice = b'{"message": {"content": "It is"}, "finish_reason": "length"}'
        handler.wfile.write(b'{"choices": [' + choice + b"]}")

    model.replies = [cut]
    reply = ask(client, user("Where is the ball?"))
    assert reply.choices[0].finish_reason == "length"
    assert "cut off" in reply.seal["notes"][0]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"n": 2}, "n"),
        ({"top_p": 0.5}, "top_p is 0.5; expected 1. SEAL passes on no top_p"),
        ({"seed": "one"}, 'seed is "one"; expected a whole number'),
        ({"stop": [""]}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 1.0}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "tools is a list of 1 item; expected an empty list. SEAL calls no tools",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_completion_tokens"),
        (
            {"extra_body": {"seal": {"budget": 0}}},
            "seal.budget is 0; expected a whole number from 1 to 1,024.",
        ),
        ({"extra_body": {"seal": {"top": 3}}}, "seal.top"),
        ({"extra_body": {"seal": {"options": {"find.head": "/etc"}}}}, "find.head"),
        ({"extra_body": {"seal": {"options": {"answer.base_url": "x"}}}}, "answer.base_url"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    client: openai.OpenAI, model: Model, more: dict[str, Any], named: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, user("Where is the ball?"), **more)
    assert named in str(caught.value.body["message"])
    assert caught.value.type == "invalid_request_error"
    assert model.requests == []


PNG = "data:image/png;base64,"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (user("Where?", video("https://elsewhere.example/film.mp4")), "is not fetched"),
        (user("Where?", video("file:///etc/passwd")), "is not fetched"),
        (user("Where?", video("seal:../film.mp4")), "is not fetched"),
        (user("Where?", video(picture())), "is not fetched"),
        (user("Where?", image("https://elsewhere.example/picture.png")), "is not fetched"),
        (user("Where?", image("data:text/html;base64,AAAA")), "is not fetched"),
        (user("Where?", image(PNG + "AAAA")), "cannot be read"),
        (user("Where?", image(PNG + "no base64")), "cannot be read"),
        (user("Where?", image(picture()[:-40])), "cannot be read"),
        (user("Where?", image(picture((8000, 8000)))), "50,000,000 pixels"),
        (user("Where?", *[image(picture())] * 9), "at most 8"),
        (user("Where?", video("seal:a"), video("seal:b")), "several videos"),
        (user("  ", video("seal:a")), "the question"),
        (user("x" * 2000), "at most 1,000"),
        ({"role": "assistant", "content": "It is a ball."}, "the question"),
        ({"role": "tool", "content": "It is a ball."}, "role"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "input_audio"),
        ({"role": "user", "content": None}, "content"),
        ({"role": "system", "content": [video("seal:a")]}, "system"),
    ],
)
def test_wrong_messages_are_refused(
    client: openai.OpenAI, model: Model, message: dict[str, Any], said: str
) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, message, stream=stream)
        assert said in str(caught.value.body["message"])
    assert model.requests == []


def test_what_is_not_there_is_not_found(client: openai.OpenAI, home: Path) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, user("Where?"), model="gpt-4o")
    assert caught.value.code == "model_not_found"
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, user("Where?", video("seal:nothing")), stream=stream)
        assert caught.value.code == "video_not_found"
        assert str(home) not in str(caught.value)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [each.id for each in client.models.list()] == ["seal", "openai:m"]
    assert client.models.retrieve("openai:m").owned_by == "seal"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")
    assert ask(client, user("Where is the ball?"), model="openai:m").model == "openai:m"


def test_a_model_that_fails_is_an_error(client: openai.OpenAI, model: Model) -> None:
    model.replies = [fails(500, "oops")]
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError, match="oops") as caught:
            ask(client, user("Where is the ball?"), stream=stream)
        assert caught.value.status_code == 502
    model.replies = [errs_in_the_middle]
    with ask(client, user("Where?"), stream=True) as stream:
        pieces = []
        with pytest.raises(openai.APIError, match="out of memory"):
            pieces += [chunk.choices[0].delta.content for chunk in stream]


def test_a_model_writes_on_for_nobody(server: Server, client: openai.OpenAI, model: Model) -> None:
    stopped = threading.Event()

    def writes_on(handler: Any) -> None:
        handler.start(200, "text/event-stream")
        try:
            while not stopped.wait(0.02):
                handler.wfile.write(chunk("and "))
        except OSError:
            stopped.set()

    model.replies = [writes_on]
    with ask(client, user("Where is the ball?"), stream=True) as stream:
        next(stream)
    assert stopped.wait(60)
    assert not any("Traceback" in line or "never" in line for line in server.said)


def test_a_prompt_that_stays_too_long_is_told_apart(client: openai.OpenAI, model: Model) -> None:
    model.replies = [fails(400, "This model's maximum context length is 10 tokens.")]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, user("Where is the ball?"))
    assert caught.value.code == "context_length_exceeded"


def test_a_path_that_is_not_there_is_an_error_as_clients_know_it(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="/v1/embeddings") as caught:
        client.embeddings.create(model="seal", input="a ball")
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.APIStatusError) as refused:
        client.post("/models", body={}, cast_to=object)
    assert (refused.value.status_code, refused.value.type) == (405, "invalid_request_error")


def test_no_json_is_an_error_as_clients_know_it(server: Server) -> None:
    reply = server.send("POST", "/v1/chat/completions", b"{", {"Content-Type": "application/json"})
    assert reply.status == 400
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert reply.json["error"]["message"].startswith("the body is no JSON")
    assert "Content-Type: application/json" in reply.json["error"]["message"]


def test_without_a_model_the_moments_are_told(plain: Server, home: Path) -> None:
    with client_of(plain) as client:
        assert [each.id for each in client.models.list()] == ["seal"]
        message = user("Where is the red ball?", video(f"seal:{ids(home)[0]}"))
        reply = ask(client, message)
        text = reply.choices[0].message.content
        assert text.startswith("This server has no model")
        assert (reply.seal["model"], reply.seal["answer"]) == (None, None)
        assert text.count("first.mp4") == len(reply.seal["moments"]) > 0
        with ask(client, message, stream=True) as stream:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == text
        for more in ({"temperature": 0.5}, {"max_tokens": 9}, {"seed": 1}, {"stop": "."}):
            with pytest.raises(openai.BadRequestError, match=f"{next(iter(more))} has no effect"):
                ask(client, message, **more)
        with pytest.raises(openai.BadRequestError, match="picture has no effect"):
            ask(client, user("Is it there?", image(picture())))
        earlier = [message, {"role": "assistant", "content": text}]
        follow = ask(client, *earlier, user("And before that?"))
        assert follow.seal["evidence"]


def test_a_token_is_needed(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    flags = ("--token-file", str(secret), "--state", str(tmp_path / "state"))
    with serving(home / "store", *flags) as server:
        refused = pytest.raises(openai.AuthenticationError, match="not the token of this server")
        with client_of(server, "wrong") as client, refused as caught:
            client.models.list()
        assert caught.value.code == "invalid_api_key"
        for path, status, said in (
            ("/v1/models", 401, "a token is needed"),
            ("/api/v1/videos", 401, "a token is needed"),
            ("/health", 200, "ok"),
        ):
            reply = server.get(path)
            assert (reply.status, said in reply.body.decode()) == (status, True)
        wrong = server.get("/api/v1/videos", Authorization="Bearer wrong").json
        assert "not the token of this server" in wrong["detail"]
        with client_of(server, TOKEN) as client:
            assert [each.id for each in client.models.list()] == ["seal"]


def test_what_the_page_shows_runs(client: openai.OpenAI, server: Server, home: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    commands = re.findall(r"^(curl .*?}'$)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    said = []
    for code in [*blocks, *commands]:
        run = code.replace("http://127.0.0.1:8765", server.url).replace(
            "seal:ID", f"seal:{ids(home)[0]}"
        )
        command = ["sh", "-c", run] if code in commands else [*python(), "-c", run]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        said.append(done.stdout)
    answered, found, tools, streamed = said
    assert answered.startswith("It is a ball [0:01.0].\n")
    assert all(ids(home)[0] in line for line in answered.splitlines()[1:])
    moments = seal.open(home / "store").find("a red ball", top=3)
    assert found.splitlines() == [
        f"{moment.video} {moment.span.start_s} {moment.span.end_s}" for moment in moments
    ]
    assert "'find'" in tools
    assert streamed.endswith("data: [DONE]\n\n")


def test_a_long_id_names_a_video() -> None:
    said = user("Where?", video(f"seal:{'x' * LONGEST_ID}"))
    assert Talk.of([ChatMessage.model_validate(said)]).video == "x" * LONGEST_ID
