"""The endpoint back end against a real HTTP server that fails in every way there is."""

import base64
import io
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from seal.answer.answerer import load
from seal.answer.endpoint import EndpointAnswerer
from seal.answer.prompt import Message, PromptPicture
from seal.config import OpenAIAnswer, Options
from seal.errors import AnswerError, BackendError, ContextError, OptionError

KEY = "sk-very-secret-123"


def chunk(text: str | None, **more: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    value = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        **more,
    }
    return b"data: " + json.dumps(value).encode() + b"\n\n"


class Server(ThreadingHTTPServer):
    """Plays one reply after the other, the last one for ever, and keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[Callable[[Handler], None]] = []
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    asked: dict[str, Any]

    def do_POST(self) -> None:
        self.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(self.asked)
        self.server.times.append(time.monotonic())
        self.server.headers.append(self.headers)
        replies = self.server.replies
        (replies.pop(0) if len(replies) > 1 else replies[0])(self)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass

    def start(self, status: int, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()


def says(*texts: str) -> Callable[[Handler], None]:
    def reply(handler: Handler) -> None:
        handler.start(200, "text/event-stream")
        for text in texts:
            handler.wfile.write(chunk(text))
        # The last pieces of many servers have no text, or no choices at all.
        handler.wfile.write(chunk(None) + chunk(None, choices=[]) + b"data: [DONE]\n\n")

    return reply


def fails(status: int, message: str, **headers: str) -> Callable[[Handler], None]:
    def reply(handler: Handler) -> None:
        handler.start(status, "application/json", **headers)
        handler.wfile.write(json.dumps({"error": {"message": message}}).encode())

    return reply


def stalls(handler: Handler) -> None:
    handler.start(200, "text/event-stream")
    handler.wfile.write(chunk("It is"))
    handler.wfile.flush()
    time.sleep(1.5)


def talks_nonsense(handler: Handler) -> None:
    handler.start(200, "text/event-stream")
    handler.wfile.write(chunk("It is") + b'data: {"choices": [\n\n')


def is_another_kind_of_server(handler: Handler) -> None:
    handler.start(200, "text/html")
    handler.wfile.write(b"<html>Welcome!</html>")


def drops(handler: Handler) -> None:
    handler.connection.close()


def drops_in_the_middle(handler: Handler) -> None:
    handler.start(200, "text/event-stream", Transfer_Encoding="chunked")
    piece = chunk("It is")
    handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    handler.wfile.flush()
    handler.connection.close()


def errs_in_the_middle(handler: Handler) -> None:
    handler.start(200, "text/event-stream")
    handler.wfile.write(chunk("It is") + b'data: {"error": {"message": "out of memory"}}\n\n')


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def answerer(server: Server, **changes: Any) -> EndpointAnswerer:
    options = {"model": "m", "base_url": server.url, "timeout_s": 0.5, "retries": 0, **changes}
    return EndpointAnswerer(OpenAIAnswer(**options))


def jpeg(color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 36), color).save(buffer, "JPEG")
    return buffer.getvalue()


def sizes(asked: dict[str, Any]) -> list[tuple[int, int]]:
    """Of the pictures of a request, in pixels."""
    parts = [part for turn in asked["messages"] for part in turn["content"]]
    urls = [part["image_url"]["url"] for part in parts if "image_url" in part]
    jpegs = [base64.b64decode(url.partition(",")[2]) for url in urls]
    return [Image.open(io.BytesIO(each)).size for each in jpegs]


PROMPT = [Message("system", ("Be brief.",)), Message("user", ("What is it?",))]


def test_several_are_asked_at_once_and_answered_in_order(server: Server) -> None:
    def echoes(handler: Handler) -> None:
        together.wait()
        says(handler.asked["messages"][-1]["content"])(handler)

    together = threading.Barrier(3, timeout=10)
    server.replies = [echoes]
    prompts = [[Message("user", (text,))] for text in ("one", "two", "three")]
    assert answerer(server).answer_all(prompts) == ["one", "two", "three"]
    assert answerer(server).answer_all([]) == []


def test_of_several_only_what_fails_has_an_error_in_its_place(server: Server) -> None:
    def replies(handler: Handler) -> None:
        text = handler.asked["messages"][-1]["content"]
        too_long = fails(400, "This model's maximum context length is 8192 tokens.")
        {"two": too_long, "four": drops}.get(text, says(text))(handler)

    server.replies = [replies]
    prompts = [[Message("user", (text,))] for text in ("one", "two", "three", "four")]
    one, two, three, four = answerer(server).answer_all(prompts)
    assert (one, three) == ("one", "three")
    assert isinstance(two, ContextError)
    assert isinstance(four, AnswerError)
    assert "cannot be reached" in str(four)


def test_an_interrupt_waits_for_no_server(server: Server) -> None:
    server.replies = [stalls]
    # Made first: its imports may take longer than the timer.
    asking = answerer(server, timeout_s=9)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        asking.answer_all([PROMPT, PROMPT])
    assert time.monotonic() - began < 1


def test_the_answer_comes_piece_by_piece(server: Server) -> None:
    server.replies = [says("It is ", "a dog", ".")]
    pieces = answerer(server).stream(PROMPT)
    assert next(pieces) == "It is "
    assert list(pieces) == ["a dog", "."]
    assert answerer(server).answer(PROMPT) == "It is a dog."


def test_pictures_go_along_where_they_stand(server: Server) -> None:
    server.replies = [says("a dog")]
    picture = PromptPicture(jpeg(), "scene-1", (48, 36))
    prompt = [PROMPT[0], Message("user", ("[0:01.0] scene", picture, "What is it?"))]
    answerer(server, max_tokens=7, temperature=0.5).answer(prompt)
    (request,) = server.requests
    assert (request["model"], request["max_tokens"], request["temperature"]) == ("m", 7, 0.5)
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    text, image, question = request["messages"][1]["content"]
    assert (text["text"], question["text"]) == ("[0:01.0] scene", "What is it?")
    head, _, data = image["image_url"]["url"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/jpeg;base64", jpeg())
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (640, 5), (12, 20), (31, 31)])
def test_pictures_are_never_smaller_than_a_patch(server: Server, size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "JPEG")
    server.replies = [says("a dog")]
    picture = PromptPicture(buffer.getvalue(), "object-1", size)
    answerer(server).answer([Message("user", (picture, "What is it?"))])
    ((width, height),) = sizes(server.requests[0])
    assert min(width, height) >= 32
    assert max(width, height) <= 8 * max(size) + 32


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (fails(401, f"wrong key {KEY}"), r"HTTP 401, the key is refused.* OPENAI_API_KEY"),
        (fails(403, "no"), "HTTP 403, the key does not allow"),
        (fails(404, "model m not found"), "HTTP 404.*answer.model.*model m not found"),
        (fails(400, "bad picture"), "HTTP 400, the server does not take.*bad picture"),
        (fails(429, "slow down"), "HTTP 429, the server is busy.*slow down"),
        (fails(500, "oops"), "HTTP 500, the server failed: .*oops"),
        (stalls, r"nothing came for 0.5 s \(answer.timeout_s\)"),
        (talks_nonsense, "sent what is no JSON"),
        (is_another_kind_of_server, "is no answer; is answer.base_url right"),
        (drops, "cannot be reached"),
        (drops_in_the_middle, "the answer broke off"),
        (errs_in_the_middle, "the answer broke off: .*out of memory"),
    ],
)
def test_every_failure_is_one_clear_error(
    server: Server, caplog: pytest.LogCaptureFixture, reply: Callable[..., None], message: str
) -> None:
    server.replies = [reply]
    with caplog.at_level(logging.DEBUG), pytest.raises(AnswerError, match=message) as caught:
        answerer(server).answer(PROMPT)
    assert not isinstance(caught.value, ContextError)
    assert server.url in str(caught.value)
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text


def test_what_fails_for_the_moment_is_sent_again(server: Server) -> None:
    server.replies = [fails(500, "oops"), drops, fails(429, "slow", Retry_After="1"), says("yes")]
    assert answerer(server, retries=3).answer(PROMPT) == "yes"
    first, second, third, fourth = server.times
    assert third - second > second - first > 0.1, "pauses grow"
    assert fourth - third >= 1, "the server's own pause is kept"


def test_what_cannot_get_better_is_not_sent_again(server: Server) -> None:
    server.replies = [fails(401, "wrong key")]
    with pytest.raises(AnswerError):
        answerer(server, retries=3).answer(PROMPT)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, your messages have 9000.",
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        "the request exceeds the available context size, try increasing it",
    ],
)
def test_a_prompt_that_is_too_long_is_told_apart(server: Server, text: str) -> None:
    server.replies = [fails(400, text)]
    with pytest.raises(ContextError, match="too long"):
        answerer(server).answer(PROMPT)


def test_a_server_that_is_not_there(server: Server) -> None:
    gone = answerer(server, base_url="http://127.0.0.1:1/v1")
    with pytest.raises(AnswerError, match="cannot be reached"):
        gone.answer(PROMPT)


def test_what_has_to_be_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"answer\.model"):
        EndpointAnswerer(OpenAIAnswer())
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(BackendError, match="OPENAI_API_KEY"):
        EndpointAnswerer(OpenAIAnswer(model="m"))
    server.replies = [says("yes")]
    assert answerer(server).answer(PROMPT) == "yes", "servers of one's own need no key"
    settings = ["answer.backend=openai", "answer.model=m", f"answer.base_url={server.url}"]
    made = load(Options.load("mini", settings).answer)
    assert made is not None
    assert made.name == "openai:m"
    assert load(Options().answer) is None
