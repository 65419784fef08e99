"""`seal chat`: questions that build on each other."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seal.cli.ask import NO_MODEL, StreamedAnswer, answerer_option
from seal.cli.command import Command
from seal.cli.options import json_option, library, query_settings, store_option
from seal.cli.output import complain, echo, print_json, tell
from seal.errors import AnswerError, OptionError


@click.command(cls=Command)
@click.argument("video")
@answerer_option
@click.option(
    "--session",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the dialogue in this file, and go on from there the next time.",
)
@query_settings
@store_option
@json_option
def chat(
    video: str,
    answerer: str | None,
    session: Path | None,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Ask one question after the other, a line each; an empty line ends the dialogue.

    Evidence that was shown is remembered and not paid for again; "and before that?" is understood.
    """
    opened = library(store_path).video(video)
    talk = opened.chat(answerer=answerer, session=session, options=settings)
    if talk.model is None:
        tell(f"{NO_MODEL}; --json lists the evidence")
    if talk.turns:
        tell(f"going on after {len(talk.turns)} questions")
    shown = StreamedAnswer()
    on_text = None if as_json else shown.on_text
    while question := _next():
        try:
            answer = talk.ask(question, on_text=on_text)
        except (AnswerError, OptionError) as error:
            # The dialogue goes on: the model may be back for the next question.
            complain(error)
            continue
        if session is not None:
            talk.save(session)
        if as_json:
            print_json(answer.to_json() | {"cost": talk.cost})
        else:
            shown.finish(answer)
            echo(answer.besides_text(in_dialogue=True))
            for note in answer.notes:
                tell(note)


def _next() -> str:
    """The next question; "" at the end."""
    if sys.stdin.isatty():
        echo("? ", nl=False, err=True)
    return sys.stdin.readline().strip()
