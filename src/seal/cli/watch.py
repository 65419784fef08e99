"""`seal watch`: one line per window."""

from __future__ import annotations

from pathlib import Path

import click

from seal.cli.command import Command, defaults
from seal.cli.options import json_option, settings_option
from seal.cli.output import emit, tell
from seal.clock import span_clock
from seal.config import PROFILES, Options, WatchOptions

_DEFAULTS = WatchOptions()


@click.command(cls=Command, reads_config=True)
@click.argument("source")
@click.option(
    "--query", "queries", multiple=True, metavar="Q", help="What to look for; can be repeated."
)
@click.option(
    "--window",
    "window_s",
    type=float,
    default=_DEFAULTS.window_s,
    show_default=True,
    help="Seconds at a time.",
)
@click.option(
    "--budget",
    type=int,
    default=_DEFAULTS.budget,
    show_default=True,
    help="How many tokens to keep for each query.",
)
@click.option(
    "--give-up",
    "give_up_s",
    type=float,
    default=_DEFAULTS.give_up_s,
    show_default=True,
    help="Give up on a lost source after this many seconds.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Remember everything in this file, and go on from there after a restart.",
)
@click.option(
    "--head",
    metavar="HEAD",
    help="A trained head that finds moments as it goes: a folder, or on the hub.",
)
@click.option(
    "--answerer",
    metavar="NAME[:MODEL]",
    help="Answers the queries as it goes, such as openai:MODEL: each is a question then.",
)
@click.option(
    "--answer-every",
    "answer_every_s",
    type=float,
    metavar="S",
    help="Ask a question anew, if the tokens chosen for it have changed, after this many seconds of"
    f" the source at the earliest.  [{_DEFAULTS.answer_every_s}]",
)
@click.option(
    "--profile", default=Options().profile, show_default=True, help=f"{', '.join(PROFILES)}."
)
@settings_option("attention.objective=coverage")
@json_option
def watch(
    source: str,
    queries: tuple[str, ...],
    window_s: float,
    budget: int,
    give_up_s: float,
    state: Path | None,
    head: str | None,
    answerer: str | None,
    answer_every_s: float | None,
    profile: str,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Watch a file, an address or a camera, and choose tokens as it goes, in fixed memory.

    After each window one line says, for every query, which tokens are chosen from all that was
    seen so far and, with --head, the moments found among them. Without a query the chosen tokens
    represent the whole video. A lost connection is tried again.

    With --answerer, each query is a question, which is answered from the tokens chosen for it. New
    answers follow the line of a window. A failure of the model is told, and the watching goes on.
    """
    from seal.asked import watching
    from seal.watch import watch as windows

    options, how = watching(
        *(profile, settings, answerer, answer_every_s, defaults()),
        window_s=window_s,
        budget=budget,
        give_up_s=give_up_s,
    )
    for window in windows(source, options, how, queries, state=state, head=head, say=tell):
        for each in window.answers or ():
            if each.failure:
                tell(f"{each.question}: {each.told}")
        for gap in window.gaps:
            span = span_clock(gap.span.start_s, gap.span.end_s)
            tell(f"{window.source}: {span} is missing: {gap.reason}")
        emit(window, as_json)
