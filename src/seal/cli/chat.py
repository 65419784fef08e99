"""`seal chat`: questions that build on each other."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seal.cli.ask import NO_MODEL, answerer_flags, answerer_option, as_values, print_answer
from seal.cli.options import json_option, open_video, query_settings, store_option
from seal.cli.output import complain, print_json
from seal.errors import AnswerError, OptionError


@click.command()
@click.argument("video")
@answerer_option
@click.option(
    "--session",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to keep the dialogue, to go on from there the next time.",
)
@query_settings
@store_option
@json_option
def chat(
    video: str,
    answerer: str,
    session: Path | None,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Ask one question after the other, a line each; an empty line ends it.

    Evidence that was shown is remembered and not paid for again; "and before that?" is understood.
    """
    from seal.answer import Conversation, load

    indexed = open_video(store_path, video, settings, answerer_flags(answerer))
    model = load(indexed.options.answer)
    if model is None:
        click.echo(NO_MODEL, err=True)
    if session is not None and session.exists():
        talk = Conversation.resume(session, indexed, model)
        click.echo(f"seal: going on after {len(talk.turns)} questions", err=True)
    else:
        talk = Conversation(indexed, model)
    while question := _next():
        try:
            answer = talk.ask(
                question, on_text=None if as_json else lambda text: click.echo(text, nl=False)
            )
        except (AnswerError, OptionError) as error:
            # The dialogue goes on: the model may be back for the next question.
            complain(error)
            continue
        if session is not None:
            talk.save(session)
        if as_json:
            print_json(as_values(answer) | {"cost": talk.cost})
        else:
            click.echo()
            print_answer(answer)


def _next() -> str:
    """The next question; "" at the end."""
    if sys.stdin.isatty():
        click.echo("? ", nl=False, err=True)
    return sys.stdin.readline().strip()
