"""What servers of many makers send, as they were reported in public, and what SEAL makes of it.

Each scenario is a server on loopback that replies as the named one did. The right outcome is an
answer with its choice and notes, or an error that says why there is none.
"""

# The words of servers stand as they came.
# ruff: noqa: E501

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from filmed import filmed
from seal.answer import Conversation, ask, load
from seal.cli import main
from seal.cli.ask import StreamedAnswer
from seal.errors import AnswerError, ContextError
from seal.scope import Scope
from seal.store import Store
from test_answer_endpoint import Handler, Server, server, sizes

__all__ = ["server"]

QUESTION = "What colour is the ball?"
CHOICES = {"A": "red", "B": "blue"}
SAID = "The answer is (B)."
BUDGET = 12
Reply = Callable[[Handler], None]
Asked = dict[str, Any]
DONE = b"data: [DONE]\n\n"


def event(delta: Any, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(value | more).encode() + b"\n\n"


def text(*pieces: str, finish: str | None = "stop") -> list[bytes]:
    return [*(event({"content": piece}) for piece in pieces), event({}, finish), DONE]


WHOLE = text("The answer", " is (B).")


def sends(*parts: bytes, kind: str = "text/event-stream", status: int = 200) -> Reply:
    def reply(handler: Handler) -> None:
        handler.start(status, kind)
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()

    return reply


def fails(status: int, body: Any, kind: str = "application/json") -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sends(data, kind=kind, status=status)


def message(content: Any, finish: str | None = "stop", **more: Any) -> bytes:
    said = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()


def unless(takes: Callable[[Asked], bool], refusal: Reply, answer: Reply | None = None) -> Reply:
    """Refuses a request that the server does not take, and answers every other one."""

    def reply(handler: Handler) -> None:
        ((answer or sends(*WHOLE)) if takes(handler.asked) else refusal)(handler)

    return reply


def pictures(asked: Asked) -> int:
    contents = [turn["content"] for turn in asked["messages"] if isinstance(turn["content"], list)]
    return sum(part["type"] == "image_url" for content in contents for part in content)


def at_most(count: int, status: int, body: Any) -> Reply:
    return unless(lambda asked: pictures(asked) <= count, fails(status, body))


def without(name: str, status: int, body: Any) -> Reply:
    return unless(lambda asked: name not in asked, fails(status, body))


def no_system(asked: Asked) -> bool:
    return all(turn["role"] != "system" for turn in asked["messages"])


def error(said: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": said, "type": "invalid_request_error", **more}}


@dataclass(frozen=True)
class Right:
    """The right outcome."""

    text: str = SAID
    choice: str = "B"
    notes: tuple[str, ...] = ()
    """Patterns, of all notes."""
    shown: tuple[int, ...] = (BUDGET,)
    """How many pictures each request has."""
    cut: bool = False


def less(*shown: int, note: str = "asked again with") -> Right:
    return Right(shown=(BUDGET, *shown), notes=(note,) * len(shown))


def changed(*notes: str) -> Right:
    return Right(notes=notes, shown=(BUDGET,) * (len(notes) + 1))


HALVES = less(6, 3)
HALF = less(6)

SCENARIOS: dict[str, tuple[Reply, Right | str]] = {
    # How an answer comes.
    "plain": (sends(*WHOLE), Right()),
    "azure: a filter's result before the first choice": (
        sends(b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n', *WHOLE),
        Right(),
    ),
    "openai: usage in a last event without choices": (
        sends(*WHOLE[:-1], b'data: {"choices":[],"usage":{"total_tokens":9}}\n\n', DONE),
        Right(),
    ),
    "usage alone, without a list of choices": (
        sends(*WHOLE[:-1], b'data: {"usage":{"total_tokens":9}}\n\n', DONE),
        Right(),
    ),
    "choices are null": (sends(b'data: {"choices":null}\n\n', *WHOLE), Right()),
    "a delta is null": (sends(event(None), *WHOLE), Right()),
    "an error field that is null": (
        sends(event({"content": "(B)"}, error=None), DONE),
        Right("(B)"),
    ),
    "openrouter: comments keep the line open": (
        sends(b": OPENROUTER PROCESSING\n\n", b": OPENROUTER PROCESSING\n\n", *WHOLE),
        Right(),
    ),
    "events have other fields": (
        sends(b"id: 7\nretry: 10\nevent: message\n" + WHOLE[0], *WHOLE[1:]),
        Right(),
    ),
    "lines end as on Windows": (sends(*(part.replace(b"\n", b"\r\n") for part in WHOLE)), Right()),
    "no space behind the colon": (sends(*(p.replace(b"data: ", b"data:") for p in WHOLE)), Right()),
    "no empty line between events": (sends(*(p.replace(b"\n\n", b"\n") for p in WHOLE)), Right()),
    "a byte order mark": (sends(b"\xef\xbb\xbf", *WHOLE), Right()),
    "events cut anywhere": (sends(*(bytes([byte]) for byte in b"".join(WHOLE))), Right()),
    "lmdeploy: line separators of Unicode inside the text": (
        sends('data: {"choices":[{"delta":{"content":"(B)\u2028\x85it is"}}]}\n\n'.encode(), DONE),
        Right("(B)\u2028\x85it is"),
    ),
    "no [DONE]": (sends(*WHOLE[:-1]), Right()),
    "no reason to finish, but [DONE]": (sends(*text(SAID, finish=None)), Right()),
    "neither: a proxy may have cut it": (
        sends(event({"content": "The ball rolls over the"})),
        Right(
            "The ball rolls over the", "", ("is cut off: .*without a word", "none of the"), cut=True
        ),
    ),
    "several choices": (
        sends(b'data: {"choices":[{"index":1,"delta":{"content":"XX"}}]}\n\n', *WHOLE),
        Right(),
    ),
    "choices without an index": (
        sends(b'data: {"choices":[{"delta":{"content":"The answer is (B)."}}]}\n\n', DONE),
        Right(),
    ),
    "perplexity: the whole message beside its last piece": (
        sends(
            event({"content": SAID}),
            b'data: {"choices":[{"index":0,"delta":null,"message":{"content":"The answer is (B)."}'
            b',"finish_reason":"stop"}]}\n\n',
            DONE,
        ),
        Right(),
    ),
    "mistral: content in parts": (
        sends(*WHOLE[:0], event({"content": [{"type": "text", "text": SAID}]}), DONE),
        Right(),
    ),
    "mistral: thoughts in parts": (
        sends(
            event(
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "A?"}]}]}
            ),
            *WHOLE,
        ),
        Right(),
    ),
    "parts are texts": (sends(event({"content": ["The answer ", "is (B)."]}), DONE), Right()),
    "completions of old: text without a delta": (
        sends(b'data: {"choices":[{"index":0,"text":"The answer is (B)."}]}\n\n', DONE),
        Right(),
    ),
    "all at once as JSON": (sends(message(SAID), kind="application/json"), Right()),
    "all at once, on many lines and with a mark": (
        sends(b"\xef\xbb\xbf\r\n", json.dumps(json.loads(message(SAID)), indent=2).encode()),
        Right(),
    ),
    "all at once, in parts": (
        sends(message([{"type": "text", "text": SAID}]), kind="application/json"),
        Right(),
    ),
    "JSON lines in place of events": (
        sends(*(p.removeprefix(b"data: ").replace(b"\n\n", b"\n") for p in WHOLE[:-1])),
        Right(),
    ),
    "finish reasons of other makers": (sends(*text(SAID, finish="eos_token")), Right()),
    "a stop sequence": (sends(*text(SAID, finish="stop_sequence")), Right()),
    "gemini: reasons in capitals": (sends(*text(SAID, finish="STOP")), Right()),
    # Thoughts.
    "deepseek: thoughts in a field": (
        sends(event({"reasoning_content": "Could be A.", "content": None}), *WHOLE),
        Right(),
    ),
    "openrouter: thoughts in another field": (
        sends(event({"reasoning": "Could be A.", "content": ""}), *WHOLE),
        Right(),
    ),
    "qwen: thoughts in the text": (
        sends(*text("<thi", "nk>Could be A [0:09].</th", "ink>\n\nThe answer", " is (B).")),
        Right(),
    ),
    "deepseek: the template wrote the opening mark": (
        sends(*text("Could be (A) [0:09].\n</think>\n\n", "The answer is (B).")),
        Right(),
    ),
    "magistral, kimi, gpt-oss: other marks": (
        sends(
            *text(
                "[THINK]A?[/THINK]◁think▷A?◁/think▷<|channel|>analysis<|message|>A?<|end|>"
                "<|start|>assistant<|channel|>final<|message|>" + SAID
            )
        ),
        Right(),
    ),
    "gemini: thoughts in the text": (sends(*text("<thought>A?</thought>" + SAID)), Right()),
    "thoughts alone, cut": (
        sends(*text("<think>I would say the answer is A but let me", finish="length")),
        r"thoughts and no answer: .*finish reason: length.*answer.max_tokens higher than 512",
    ),
    "thoughts alone, in a field": (
        sends(event({"reasoning_content": "It could be A"}), event({}, "length"), DONE),
        r"thoughts and no answer: .*finish reason: length.*answer.max_tokens higher than 512",
    ),
    "vllm: a reasoning parser that takes the answer for thoughts": (
        sends(event({"reasoning_content": SAID}), event({}, "stop"), DONE),
        "thoughts and no answer: finish reason: stop",
    ),
    # No answer, or half of one.
    "empty": (
        sends(event({"content": ""}), event({}, "stop"), DONE),
        "no answer: finish reason: stop",
    ),
    "spaces": (sends(*text(" \n ")), "wrote nothing"),
    "tools": (
        sends(
            event({"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": ""}}]}),
            event({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, "tool_calls"),
            DONE,
        ),
        r"calls a function \(look\).*finish reason: tool_calls",
    ),
    "functions of old": (
        sends(message(None, "function_call", function_call={"name": "look"})),
        r"calls a function \(look\).*finish reason: function_call",
    ),
    "content filter": (
        sends(event({"content": ""}), event({}, "content_filter"), DONE),
        "filter for content .*finish reason: content_filter",
    ),
    "gemini: safety": (sends(message("", "SAFETY")), "filter for content .*finish reason: SAFETY"),
    "openai: a refusal": (
        sends(event({"refusal": "I can't "}), event({"refusal": "help."}), event({}, "stop"), DONE),
        "the model refused: I can't help",
    ),
    "a refusal as a part": (
        sends(message([{"type": "refusal", "refusal": "I can't help."}])),
        "the model refused: I can't help",
    ),
    "length": (
        sends(*text("The ball rolls over the", finish="length")),
        Right(
            "The ball rolls over the",
            "",
            ("cut off: .*finish reason: length.*answer.max_tokens", "none of the options"),
            cut=True,
        ),
    ),
    "mistral: length by another name": (
        sends(*text("(B) The ball rolls", finish="model_length")),
        Right("(B) The ball rolls", "B", ("cut off: .*model_length",), cut=True),
    ),
    "filtered in the middle": (
        sends(*text("(B) The ball", finish="content_filter")),
        Right("(B) The ball", "B", ("cut off: a filter for content",), cut=True),
    ),
    "deepseek: out of resources": (
        sends(*text("(B) The", finish="insufficient_system_resource")),
        Right("(B) The", "B", ("cut off: the server ran out of resources",), cut=True),
    ),
    # Errors in place of an answer.
    "lm studio: an error with status 200": (
        sends(b'{"error":"Unexpected endpoint or method. (POST /chat/completions)"}'),
        "Unexpected endpoint or method",
    ),
    "vllm: an error as the first event": (
        sends(
            b'data: {"error":{"object":"error","message":"CUDA out of memory","code":500}}\n\n',
            DONE,
        ),
        "HTTP 500, the server failed: CUDA out of memory",
    ),
    "an error in the middle": (
        sends(
            event({"content": "The ball"}), b'data: {"error":{"message":"CUDA out of memory"}}\n\n'
        ),
        "broke off: CUDA out of memory",
    ),
    "llama.cpp: an error as a field": (
        sends(event({"content": "The"}), b'error: {"code":500,"message":"slot unavailable"}\n\n'),
        "broke off: slot unavailable",
    ),
    "an error as the name of an event": (
        sends(b'event: error\ndata: {"type":"overloaded_error","message":"Overloaded"}\n\n'),
        "Overloaded",
    ),
    "openrouter: an error in a choice": (
        sends(
            b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error",'
            b'"error":{"code":502,"message":"Provider disconnected"}}]}\n\n'
        ),
        "HTTP 502, the server failed: Provider disconnected",
    ),
    "openrouter: the reason of the provider inside": (
        fails(
            400,
            error(
                "Provider returned error",
                metadata={"raw": '{"error":{"message":"image is corrupt"}}', "provider_name": "x"},
            ),
        ),
        "Provider returned error: image is corrupt",
    ),
    "litellm: an error inside the words of another": (
        fails(400, error('{"error":{"message":"model m is gone","code":400}}')),
        "HTTP 400, .*: model m is gone",
    ),
    "gemini: a list": (
        fails(400, [{"error": {"code": 400, "message": "API key not valid.", "status": "X"}}]),
        r"HTTP 400, .*API key not valid\.",
    ),
    "fastapi: details in a list": (
        fails(422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}),
        r"HTTP 422, .*body\.messages: Field required",
    ),
    "fastapi: not found": (fails(404, {"detail": "Not Found"}), "HTTP 404, .*Not Found"),
    "words": (fails(503, b"upstream connect error", kind="text/plain"), "upstream connect error"),
    "nginx: a page": (
        fails(502, b"<html><head><title>502 Bad Gateway</title></head></html>", kind="text/html"),
        "HTTP 502, the server failed: 502 Bad Gateway$",
    ),
    "nothing": (fails(500, b""), "HTTP 500, the server failed: no reason is given"),
    "words with status 200": (
        sends(b"model is loading", kind="text/plain"),
        "no answer.*model is loading",
    ),
    "JSON that is cut": (
        sends(message(SAID)[:60], kind="application/json"),
        "sent what is no JSON",
    ),
    "a number in place of a text": (sends(event({"content": 7}), DONE), "is no JSON.*is a int"),
    "no credit": (
        fails(
            402,
            error(
                "This request requires more credits, or fewer max_tokens. You requested up to 512 tokens, but can only afford 40"
            ),
        ),
        "HTTP 402, the account has no credit left: .*afford 40",
    ),
    "a rate limit that counts tokens": (
        fails(
            429,
            error(
                "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 6000."
            ),
        ),
        "HTTP 429, the server is busy.*Requested 6000",
    ),
    "azure: the prompt is filtered": (
        fails(
            400,
            error(
                "The response was filtered due to the prompt triggering Azure OpenAI's content management policy",
                code="content_filter",
            ),
        ),
        "HTTP 400.*content management policy",
    ),
    "vllm: a model of texts": (
        fails(400, error("m is not a multimodal model")),
        "takes no pictures: .*multimodal",
    ),
    "vllm: pictures switched off": (
        fails(400, error("At most 0 image(s) may be provided in one prompt.")),
        "takes no pictures: .*At most 0",
    ),
    "openrouter: a model of texts": (
        fails(404, error("No endpoints found that support image input", code=404)),
        "HTTP 404.*support image input",
    ),
    "a format of pictures": (
        fails(400, error("Unsupported image type: image/jpeg is not accepted")),
        "HTTP 400, the server does not take this request: Unsupported image type",
    ),
    # Parameters.
    "openai: another name for the longest answer, no temperature": (
        unless(
            lambda asked: "max_tokens" not in asked,
            fails(
                400,
                error(
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                    param="max_tokens",
                    code="unsupported_parameter",
                ),
            ),
            without(
                "temperature",
                400,
                error(
                    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
                    param="temperature",
                ),
            ),
        ),
        changed(
            "max_tokens is sent as max_completion_tokens: Unsupp", "temperature is left out: Uns"
        ),
    ),
    "mistral: extra inputs": (
        without(
            "max_tokens",
            422,
            {
                "object": "error",
                "message": {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "max_tokens"],
                            "msg": "Extra inputs are not permitted",
                            "input": 512,
                        }
                    ]
                },
            },
        ),
        changed(r"max_tokens is left out: body\.max_tokens: Extra inputs"),
    ),
    "tgi: a temperature above 0": (
        without(
            "temperature",
            422,
            {
                "error": "Input validation error: `temperature` must be strictly positive",
                "error_type": "validation",
            },
        ),
        changed("temperature is left out: Input validation"),
    ),
    "a parameter that only its own field names": (
        without("temperature", 400, error("Bad value.", param="temperature")),
        changed("temperature is left out: Bad value"),
    ),
    "openai: no stream before the organisation is verified": (
        unless(
            lambda asked: not asked["stream"],
            fails(
                400,
                error("Your organization must be verified to stream this model.", param="stream"),
            ),
            sends(message(SAID), kind="application/json"),
        ),
        changed("asked for in one piece: Your organization"),
    ),
    "groq: the longest answer is too long": (
        unless(
            lambda asked: asked["max_tokens"] <= 256,
            fails(
                400,
                error(
                    "`max_tokens` must be less than or equal to `256`, the maximum value for `max_tokens` is less than the `context_window` for this model"
                ),
            ),
        ),
        changed("asked for 256 tokens at most: "),
    ),
    "deepseek: the longest answer is out of range": (
        unless(
            lambda asked: asked["max_tokens"] <= 300,
            fails(
                400, error("Invalid max_tokens value, the valid range of max_tokens is [1, 300]")
            ),
        ),
        changed("asked for 300 tokens at most: "),
    ),
    "anthropic: the longest answer is too long": (
        unless(
            lambda asked: asked["max_tokens"] <= 400,
            fails(
                400,
                error(
                    "max_tokens: 512 > 400, which is the maximum allowed number of output tokens for claude-3-5-sonnet-20241022"
                ),
            ),
        ),
        changed("asked for 400 tokens at most: "),
    ),
    # No instructions of their own.
    "vllm: gemma": (
        unless(
            no_system,
            fails(400, {"object": "error", "message": "System role not supported", "code": 400}),
        ),
        changed("part of the question: System role"),
    ),
    "vllm: mistral": (
        unless(
            no_system,
            fails(
                400, error("Conversation roles must alternate user/assistant/user/assistant/...")
            ),
        ),
        changed("part of the question: Conv"),
    ),
    "llama.cpp: a template that fails": (
        unless(no_system, fails(500, error("Jinja Exception: System role not supported"))),
        changed("part of the question: Jinja"),
    ),
    "openai: o1-mini": (
        unless(
            no_system,
            fails(
                400,
                error(
                    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                    param="messages[0].role",
                ),
            ),
        ),
        changed("part of the question: "),
    ),
    "gemini: gemma": (
        unless(
            no_system,
            fails(
                400,
                [
                    {
                        "error": {
                            "message": "Developer instruction is not enabled for models/gemma-3-27b-it"
                        }
                    }
                ],
            ),
        ),
        changed("part of the question: "),
    ),
    "anthropic: roles": (
        unless(
            no_system,
            fails(
                400,
                error(
                    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter'
                ),
            ),
        ),
        changed("part of the question: "),
    ),
    # Too many pictures.
    "vllm: one": (
        at_most(1, 400, error("At most 1 image(s) may be provided in one request.")),
        less(1),
    ),
    "vllm: four": (
        at_most(4, 400, error("At most 4 image(s) may be provided in one prompt.")),
        less(4),
    ),
    "sglang: four": (
        at_most(4, 400, error("Image count 12 exceeds limit 4 per request.")),
        less(4),
    ),
    "groq: five": (
        at_most(5, 400, error("Too many images provided. This model supports up to 5 images")),
        less(5),
    ),
    "openai: a limit above what was sent": (
        at_most(3, 400, error("Invalid content: too many images. Maximum is 50.")),
        HALVES,
    ),
    "anthropic: too much media": (
        at_most(10, 400, error("Too much media: 0 document pages + 12 images > 10")),
        less(10),
    ),
    "gemini: fewer than": (
        at_most(7, 400, error("Please use fewer than 8 images in your request to models/m")),
        less(7),
    ),
    "ollama: a single one": (
        at_most(1, 500, error("vision model only supports a single image per message")),
        less(1),
    ),
    "together: a maximum": (at_most(2, 400, error("Number of images exceeds maximum: 2")), less(2)),
    "bedrock: one": (at_most(1, 400, error("Only one image is allowed per message.")), less(1)),
    "fireworks: no number that is read": (at_most(6, 400, error("exceeded 6 images limit")), HALF),
    # Too long, in everybody's words.
    **{
        f"too long: {name}": (at_most(3, status, body), HALVES)
        for name, status, body in [
            (
                "openai",
                400,
                error(
                    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
                    code="context_length_exceeded",
                ),
            ),
            (
                "openai, new",
                400,
                error(
                    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens."
                ),
            ),
            (
                "openai, a minute's tokens",
                429,
                error(
                    "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully."
                ),
            ),
            (
                "groq, a minute's tokens",
                413,
                error(
                    "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your message size and try again."
                ),
            ),
            (
                "groq",
                400,
                error(
                    "Please reduce the length of the messages or completion.",
                    code="context_length_exceeded",
                ),
            ),
            (
                "vllm",
                400,
                error(
                    "The decoder prompt (length 16010) is longer than the maximum model length of 8192. Make sure that `max_model_len` is no smaller than the number of text tokens plus multimodal tokens."
                ),
            ),
            (
                "vllm, new",
                400,
                error(
                    "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context length is 4096 tokens and your request has 3900 input tokens (512 > 4096 - 3900)."
                ),
            ),
            (
                "vllm, in a stream",
                200,
                {
                    "error": {
                        "object": "error",
                        "message": "You passed 9000 input tokens and requested 512 output tokens. However, the model's context length is only 8192 tokens",
                        "code": 400,
                    }
                },
            ),
            (
                "sglang",
                400,
                error(
                    "The input (9000 tokens) is longer than the model's context length (4096 tokens)."
                ),
            ),
            (
                "sglang, new",
                400,
                error(
                    "Input length (9000 tokens) exceeds the maximum allowed length (4096 tokens). Use a shorter input or enable --allow-auto-truncate."
                ),
            ),
            (
                "sglang, pictures",
                400,
                error(
                    "Multimodal prompt is too long. After expanding multimodal tokens, 9000 > 4096"
                ),
            ),
            (
                "tgi",
                422,
                {
                    "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens and 512 `max_new_tokens`",
                    "error_type": "validation",
                },
            ),
            (
                "tgi, input alone",
                422,
                {
                    "error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 9000",
                    "error_type": "validation",
                },
            ),
            (
                "lmdeploy",
                400,
                {
                    "object": "error",
                    "message": "input length 9000 exceeds max session_len 4096",
                    "code": 400,
                },
            ),
            ("tensorrt", 400, error("Prompt length (9000) exceeds maximum input length (4096).")),
            (
                "llama.cpp",
                400,
                error(
                    "request (131168 tokens) exceeds the available context size (131072 tokens), try increasing it",
                    type="exceed_context_size_error",
                ),
            ),
            (
                "llama.cpp, old",
                500,
                error(
                    "the request exceeds the available context size. try increasing the context size"
                ),
            ),
            (
                "llama-cpp-python",
                500,
                error("Requested tokens (2285) exceed context window of 2048"),
            ),
            (
                "lm studio",
                400,
                {
                    "error": "Trying to keep the first 4656 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"
                },
            ),
            ("ollama", 400, error("the input length exceeds the context length")),
            ("anthropic", 400, error("prompt is too long: 215000 tokens > 200000 maximum")),
            (
                "anthropic, with the answer",
                400,
                error(
                    "input length and `max_tokens` exceed context limit: 199900 + 512 > 200000, decrease input length or `max_tokens` and try again"
                ),
            ),
            (
                "gemini",
                400,
                [
                    {
                        "error": {
                            "code": 400,
                            "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                            "status": "INVALID_ARGUMENT",
                        }
                    }
                ],
            ),
            (
                "gemini, bytes",
                400,
                [
                    {
                        "error": {
                            "code": 400,
                            "message": "Request payload size exceeds the limit: 20971520 bytes.",
                        }
                    }
                ],
            ),
            (
                "mistral",
                400,
                error(
                    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"
                ),
            ),
            (
                "cohere",
                400,
                {
                    "message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292."
                },
            ),
            ("bedrock", 400, {"message": "Input is too long for requested model."}),
            (
                "fireworks",
                400,
                error("The prompt is too long: 5000, model maximum context length: 4095"),
            ),
            (
                "xai",
                400,
                {
                    "code": "Client specified an invalid argument",
                    "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
                },
            ),
            (
                "moonshot",
                400,
                error("Invalid request: Your request exceeded model token limit: 8192"),
            ),
            (
                "dashscope",
                400,
                error(
                    "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"
                ),
            ),
            ("zhipu", 400, error("Prompt 超长", code="1261")),
            (
                "cloudflare",
                400,
                error(
                    "The estimated number of input and maximum output tokens (9000) exceeded this model context window limit (8192)."
                ),
            ),
            (
                "openrouter",
                400,
                error(
                    "Provider returned error",
                    metadata={
                        "raw": '{"error":{"message":"This endpoint\'s maximum context length is 32768 tokens"}}'
                    },
                ),
            ),
            (
                "nginx",
                413,
                b"<html><head><title>413 Request Entity Too Large</title></head></html>",
            ),
        ]
    },
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filmed(tmp_path_factory.mktemp("servers"), 12.0)


def opened(store: Store, server: Server, *settings: str) -> Scope:
    given = [f"answer.base_url={server.url}", "answer.retries=0", "answer.timeout_s=5", *settings]
    given += ["answer.backend=openai", "answer.model=m", "attention.solver=greedy"]
    given.append(f"attention.budget={BUDGET}")
    return Scope.of(store, store.videos()[0].id, "ask", given)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_servers_send(name: str, store: Store, server: Server) -> None:
    reply, right = SCENARIOS[name]
    server.replies = [reply]
    film = opened(store, server)
    model = load(film.options.answer)
    if isinstance(right, str):
        with pytest.raises(AnswerError, match=right) as caught:
            ask(film, QUESTION, model, choices=CHOICES)
        assert not isinstance(caught.value, ContextError)
        assert "\n" not in str(caught.value)
        return
    answer = ask(film, QUESTION, model, choices=CHOICES)
    assert (answer.text, answer.choice) == (right.text, right.choice)
    assert bool(answer.cut) == right.cut
    assert len(answer.notes) == len(right.notes), answer.notes
    for note, pattern in zip(answer.notes, right.notes, strict=True):
        assert re.search(pattern, note)
    assert tuple(map(pictures, server.requests)) == right.shown


def test_a_prompt_that_stays_too_long_keeps_the_reason(store: Store, server: Server) -> None:
    server.replies = [fails(413, error("Request Entity Too Large"))]
    film = opened(store, server)
    with pytest.raises(ContextError, match="Request Entity Too Large"):
        ask(film, QUESTION, load(film.options.answer))
    assert list(map(pictures, server.requests)) == [12, 6, 3, 1]


def test_what_a_server_refuses_is_asked_of_it_once(store: Store, server: Server) -> None:
    server.replies = [without("temperature", 400, error("Unsupported parameter: 'temperature'"))]
    film = opened(store, server)
    talk = Conversation(film, load(film.options.answer))
    first, second = (talk.ask(question) for question in (QUESTION, "Where is the cube?"))
    assert ["temperature" in asked for asked in server.requests] == [True, False, False]
    assert ([len(first.notes)], second.notes) == ([1], ()), "a dialogue says it once"


def test_a_refusal_of_all_forms_ends(store: Store, server: Server) -> None:
    server.replies = [fails(400, error("Unsupported: max_tokens, temperature, stream, system"))]
    film = opened(store, server)
    with pytest.raises(AnswerError, match="Unsupported: max_tokens, temperature"):
        ask(film, QUESTION, load(film.options.answer))
    assert len(server.requests) == 5


def test_instructions_that_are_part_of_the_question_are_all_there(
    store: Store, server: Server
) -> None:
    server.replies = [unless(no_system, fails(400, error("System role not supported")))]
    film = opened(store, server)
    ask(film, QUESTION, load(film.options.answer))
    whole, merged = server.requests
    told, question = whole["messages"]
    (only,) = merged["messages"]
    assert only["role"] == "user"
    assert only["content"][0]["text"] == told["content"]
    assert only["content"][2:] == question["content"]


@pytest.mark.parametrize(
    ("said", "sides_px"),
    [
        ("image exceeds 5 MB maximum: 6200000 bytes > 5242880 bytes", [1.0, 0.5]),
        ("At least one of the image dimensions exceed max allowed size: 100 pixels", [1.0, 100]),
    ],
)
def test_pictures_that_are_too_large_are_scaled(
    store: Store, server: Server, said: str, sides_px: list[float]
) -> None:
    def small(asked: Asked) -> bool:
        return len(server.requests) > 1

    server.replies = [unless(small, fails(400, error(said)))]
    film = opened(store, server)
    answer = ask(film, QUESTION, load(film.options.answer))
    assert re.search(r"pictures are scaled to \d+ pixels: ", answer.notes[0])
    before, after = (max(map(max, sizes(asked))) for asked in server.requests)
    limit = sides_px[1] if sides_px[1] > 1 else before // 2
    assert after == limit < before


@pytest.mark.parametrize(
    "name", ["deepseek: the template wrote the opening mark", "qwen: thoughts in the text"]
)
def test_thoughts_reach_nothing(name: str, store: Store, server: Server, tmp_path: Path) -> None:
    """Neither the dialogue, nor the next prompt, nor the question that is looked for."""
    server.replies = [SCENARIOS[name][0]]
    film = opened(store, server)
    talk = Conversation(film, load(film.options.answer))
    talk.ask(QUESTION)
    talk.ask("And before that?")
    talk.save(tmp_path / "talk.json")
    assert [turn.answer for turn in talk.turns] == [SAID, SAID]
    assert talk.turns[1].complete == SAID
    for place in ((tmp_path / "talk.json").read_text(), json.dumps(server.requests)):
        assert "Could be" not in place


def test_a_benchmark_keeps_no_answer_that_is_cut_or_missing(
    store: Store, server: Server, tmp_path: Path
) -> None:
    qa = [
        {"uid": i, "question": f"{i}?\n(A) x\n(B) y", "answer": "B", "question_type": ["reasoning"]}
        for i in range(3)
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps({"key": "film", "qa": qa}) + "\n")
    command = ["eval", "lvbench", "--annotations", str(tmp_path / "a.jsonl"), "--json"]
    command += ["--answerer", "openai:m", "--set", f"answer.base_url={server.url}"]
    command += ["--run", str(tmp_path / "run.jsonl"), "--store", str(store.path)]
    command += ["--set", "answer.retries=0", "--set", "attention.budget=4"]
    kept = sends(*text("(B)"))

    def reply(handler: Handler) -> None:
        asked = json.dumps(handler.asked)
        cut = sends(*text("(B) The", finish="length"))
        empty = sends(event({}, "stop"), DONE)
        ({"0?": cut, "1?": empty}.get(re.search(r"\d\?", asked)[0], kept))(handler)  # type: ignore[index]

    server.replies = [reply]
    run = CliRunner().invoke(main, command)
    assert run.exit_code == 0, run.output
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()[1:]]
    assert {line["id"] for line in lines if "output" in line} == {"2"}
    assert "finish reason: length" in run.stderr
    assert "finish reason: stop" in run.stderr


def test_a_terminal_is_told_which_part_was_thought(
    store: Store,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.replies = [sends(*text("Could be (A).", "</think>", SAID))]
    film = opened(store, server)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = StreamedAnswer()
    assert shown.on_text is not None
    shown.finish(ask(film, QUESTION, load(film.options.answer), on_text=shown.on_text))
    out, err = capsys.readouterr()
    assert out == f"Could be (A).{SAID}\n{SAID}\n"
    assert "thinking aloud" in err


def test_seal_ask_prints_the_answer_alone(store: Store, server: Server) -> None:
    server.replies = [SCENARIOS["deepseek: the template wrote the opening mark"][0]]
    command = ["ask", store.videos()[0].id, QUESTION, "--store", str(store.path)]
    command += ["--answerer", "openai:m", "--set", f"answer.base_url={server.url}"]
    run = CliRunner().invoke(main, command)
    assert run.exit_code == 0
    assert run.stdout.startswith(SAID)
    assert "Could be" not in run.stdout
