"""`seal watch`: one line per window."""

from __future__ import annotations

from pathlib import Path

import click

from seal.cli.options import json_option, settings_option
from seal.cli.output import emit, tell
from seal.clock import span_clock
from seal.config import PROFILES, Options, WatchOptions

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
    profile: str,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Watch a file, an address or a camera, and choose tokens as it goes, in fixed memory.

    After each window one line says, for every query, which tokens are chosen from all that was
    seen so far and, with --head, the moments found among them. Without a query the chosen tokens
    represent the whole video. A lost connection is tried again.
    """
    from seal.watch import watch as windows

    options = Options.load(profile, settings, "watch")
    watching = WatchOptions(window_s, budget, give_up_s)
    for window in windows(source, options, watching, queries, state=state, head=head, say=tell):
        for gap in window.gaps:
            span = span_clock(gap.span.start_s, gap.span.end_s)
            tell(f"{window.source}: {span} is missing: {gap.reason}")
        emit(window, as_json)
