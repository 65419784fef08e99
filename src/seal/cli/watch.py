"""`seal watch`: one line per window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.options import json_option, settings_option
from seal.cli.output import print_json, selection_of
from seal.clock import clock, span_clock
from seal.config import PROFILES, Options, WatchOptions, effective
from seal.errors import OptionError
from seal.settings import split

if TYPE_CHECKING:
    from seal.attention.streaming import Standing
    from seal.watch import Window

_DEFAULTS = WatchOptions()


@click.command()
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
    help="Seconds after which a source that is lost is lost for good.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to remember all, to go on from there after a restart.",
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
    profile: str,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Watch a file, an address or a camera, and choose tokens as it goes, in fixed memory.

    After each window one line: for every query the tokens chosen from all that was seen by then.
    Without a query, those that stand for the rest. A connection that is lost is tried again.
    """
    from seal.watch import watch as windows

    options = effective(Options.load(profile, settings), settings)
    if any(split(setting)[0] == "attention.budget" for setting in settings):
        raise OptionError("attention.budget has no effect on seal watch; say it with --budget")
    watching = WatchOptions(window_s, budget, give_up_s)

    def say(text: str) -> None:
        click.echo(f"seal: {text}", err=True)

    for window in windows(source, options, watching, queries, state=state, say=say):
        for gap in window.gaps:
            say(
                f"{source}: {span_clock(gap.span.start_s, gap.span.end_s)} is missing: {gap.reason}"
            )
        if as_json:
            print_json(_described(source, window, options))
        else:
            click.echo(_line(window))


def _described(source: str, window: Window, options: Options) -> dict[str, Any]:
    return {
        "source": source,
        "window": window.number,
        "start_s": window.start_s,
        "end_s": window.end_s,
        "tokens": dict(window.counts),
        "gaps": [[gap.span.start_s, gap.span.end_s, gap.reason] for gap in window.gaps],
        "queries": [
            {"query": choice.text or None}
            | selection_of(choice.tokens, choice.selection, options.attention)
            for choice in window.choices
        ],
    }


def _line(window: Window) -> str:
    counts = ", ".join(f"{n} {kind}" for kind, n in window.counts.items())
    missing = sum(gap.span.duration_s for gap in window.gaps)
    parts = [f"{span_clock(window.start_s, window.end_s)}  {counts or 'nothing new'}"]
    parts += [f"{clock(missing)} missing"] if missing else []
    return "  ".join(parts + [_best(choice) for choice in window.choices])


def _best(choice: Standing) -> str:
    """What was chosen for a query: how much, and the most relevant of it."""
    chosen = f"{len(choice.tokens)} chosen"
    if not choice.text:
        return chosen
    best = f"{choice.text}: {chosen}"
    if len(choice.tokens):
        row = int(choice.selection.relevance.argmax())
        relevance = float(choice.selection.relevance[row])
        start = clock(float(choice.tokens.start_s[row]))
        best += f", best {choice.tokens.ids[row]} at {start} {relevance:+.3f}"
    return best
