"""`seal ask`: a question about a video, answered with evidence."""

from __future__ import annotations

import time
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import click

from seal import backends
from seal.cli.options import (
    json_option,
    open_video,
    query_settings,
    store_option,
)
from seal.cli.output import moment_rows, print_json, print_moments, print_rows, token_row
from seal.config import Options
from seal.errors import OptionError

if TYPE_CHECKING:
    from seal.types import Answer

NO_MODEL = (
    "seal: no answering model is set: these are the moments and the evidence;"
    " set one with --answerer openai:MODEL or hf:MODEL"
)

answerer_option = click.option(
    "--answerer",
    envvar="SEAL_ANSWERER",
    default="none",
    show_default=True,
    metavar="NAME[:MODEL]",
    help=f"Who answers: none, {', '.join(backends.names('answer'))}; such as openai:MODEL.",
)


def answerer_flags(answerer: str) -> dict[str, Any]:
    """What "openai:MODEL" sets."""
    backend, _, model = answerer.partition(":")
    return {"answer.backend": backend, "answer.model": model or None}


@click.command()
@click.argument("video")
@click.argument("question")
@answerer_option
@click.option("--option", "texts", multiple=True, metavar="TEXT", help="One of several answers.")
@click.option("--verify", is_flag=True, help="Ask again without the evidence that is cited.")
@click.option("--dry-run", is_flag=True, help="Print the prompt, and send nothing.")
@click.option(
    "--budget",
    type=int,
    help=f"How much evidence, in pictures or what they cost.  [{Options().attention.budget}]",
)
@query_settings
@store_option
@json_option
def ask(
    video: str,
    question: str,
    answerer: str,
    texts: tuple[str, ...],
    verify: bool,
    dry_run: bool,
    budget: int | None,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Answer a question from selected evidence, with the times that show it.

    Without a model, the moments and the evidence are the answer. The key of an endpoint is read
    from OPENAI_API_KEY, its address from OPENAI_BASE_URL or --set answer.base_url=URL.
    """
    from seal import answer as answering

    indexed = open_video(store_path, video, settings, {"budget": budget} | answerer_flags(answerer))
    options = dict(zip(ascii_uppercase, texts, strict=False))
    if len(options) < len(texts):
        raise OptionError(f"at most {len(ascii_uppercase)} options have letters")
    if dry_run:
        messages = answering.Conversation(indexed).put(question, options).prompt
        prompt = answering.describe(messages)
        print_json({"prompt": prompt}) if as_json else click.echo(prompt)
        return
    model = answering.load(indexed.options.answer)
    began = time.monotonic()
    answer = answering.ask(
        indexed,
        question,
        model,
        options=options,
        verify=verify,
        on_text=None if as_json else lambda text: click.echo(text, nl=False),
    )
    seconds = time.monotonic() - began
    if model is None:
        click.echo(NO_MODEL, err=True)
    if as_json:
        name = None if model is None else model.name
        print_json(as_values(answer) | {"model": name, "seconds": seconds})
        return
    if model is not None:
        click.echo("" if answer.text != answer.choice else answer.text)
    print_answer(answer)


def as_values(answer: Answer) -> dict[str, Any]:
    """An answer as plain values: see `seal ask --json`."""
    values: dict[str, Any] = {
        "answer": answer.text,
        "evidence": _evidence(answer),
        "moments": moment_rows(answer.moments),
        "notes": list(answer.notes),
    }
    if answer.choice:
        values["choice"] = answer.choice
    if answer.changed is not None:
        values["without_cited"] = {"answer": answer.without, "changed": answer.changed}
    return values


def print_answer(answer: Answer) -> None:
    """What there is besides the text."""
    if answer.text is None:
        print_moments(moment_rows(answer.moments))
    if answer.choice:
        click.echo(f"\noption {answer.choice}")
    rows = _evidence(answer)
    cited = [row for row in rows if row["cited"]]
    click.echo(f"\n{len(rows)} pieces of evidence" + (", of which cited:" if cited else ""))
    print_rows(cited or rows)
    if answer.changed is not None:
        verb = "changes" if answer.changed else "stays the same"
        click.echo(f"\nwithout them the answer {verb}: {answer.without}")
    for note in answer.notes:
        click.echo(f"seal: {note}", err=True)


def _evidence(answer: Answer) -> list[dict[str, Any]]:
    cited = set(answer.cited.tolist())
    return [
        token_row(answer.tokens, row)
        | {"relevance": float(answer.relevance[row]), "cited": row in cited}
        for row in range(len(answer.tokens))
    ]
