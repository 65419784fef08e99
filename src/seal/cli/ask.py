"""`seal ask`: a question about a video, answered with evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from seal import backends
from seal.cli.command import Command
from seal.cli.options import all_option, asked, json_option, query_settings, store_option
from seal.cli.output import echo, emit, print_json, results, tell
from seal.config import Options

if TYPE_CHECKING:
    from seal.answer import OnText
    from seal.results import Answer

NO_MODEL = (
    "no answering model is set: these are the moments and the evidence;"
    " set one with --answerer openai:MODEL or hf:MODEL"
)

answerer_option = click.option(
    "--answerer",
    envvar="SEAL_ANSWERER",
    metavar="NAME[:MODEL]",
    help=f"Who answers: {', '.join(backends.names('answer'))}; such as openai:MODEL."
    f"  [{Options().answer.backend}]",
)


class StreamedAnswer:
    """Prints an answer while it is written, where a person reads along."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self.on_text: OnText | None = self._show if results().isatty() else None

    def _show(self, text: str) -> None:
        self._shown.append(text)
        echo(text, nl=False)

    def finish(self, answer: Answer) -> None:
        """Prints what is not on the terminal yet."""
        shown, self._shown = "".join(self._shown).strip(), []
        if shown:
            echo()
        if answer.text is None or shown == answer.text:
            return
        if shown:
            tell("the model was thinking aloud; this is its answer:")
        echo(answer.text)


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="[VIDEO] QUESTION")
@all_option
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
    words: tuple[str, ...],
    everywhere: bool,
    answerer: str | None,
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
    opened, question = asked(store_path, words, everywhere)
    put: dict[str, Any] = {
        "answerer": answerer,
        "budget": budget,
        "choices": texts,
        "options": settings,
    }
    if dry_run:
        prompt = opened.prompt(question, **put)
        print_json({"prompt": prompt}) if as_json else echo(prompt)
        return
    shown = StreamedAnswer()
    on_text = None if as_json else shown.on_text
    answer = opened.ask(question, verify=verify, on_text=on_text, **put)
    if answer.model is None:
        tell(NO_MODEL)
    if as_json:
        emit(answer, as_json)
        return
    shown.finish(answer)
    echo(answer.besides_text())
    for note in answer.notes:
        tell(note)
