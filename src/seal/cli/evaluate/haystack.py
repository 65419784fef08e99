"""`seal eval haystack`."""

from __future__ import annotations

from typing import Any

import click

from seal.cli.command import Command
from seal.cli.evaluate.common import (
    benchmark_options,
    folder_of,
    head,
    interval,
    method_option,
    plot_option,
    print_line,
    query_options,
)
from seal.cli.output import echo, print_json, tell
from seal.config import as_dict


@click.command(cls=Command)
@benchmark_options("described clips, such as those of videos/needles.json, and the film")
@method_option
@click.option("--film", metavar="FILE", help="The hay; by default Big Buck Bunny in DIR/videos.")
@click.option(
    "--hay",
    "hays",
    multiple=True,
    metavar="film|SECONDS|clips",
    help="What clips are spliced into: the film, its beginning (or the film again and again) of so"
    " many seconds, or each other; can be given several times.  [film]",
)
@click.option(
    "--store",
    "store_path",
    default=".seal-haystack",
    show_default=True,
    metavar="DIR",
    help="Where the tokens of film and clips are kept: they are indexed once.",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    type=click.IntRange(1),
    help="How many tokens to select; can be given several times.  [16]",
)
@click.option("--together", is_flag=True, help="All clips in the film at once, hay to each other.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one per core.")
@plot_option
def haystack(
    data: str,
    wanted: tuple[str, ...],
    settings: tuple[str, ...],
    film: str | None,
    hays: tuple[str, ...],
    store_path: str,
    budgets: tuple[int, ...],
    together: bool,
    jobs: int | None,
    plot: str | None,
    as_json: bool,
) -> None:
    """Needles in a haystack: real clips spliced into a film, asked for by their descriptions.

    The film is looked for in DIR/videos. Clips are described in needles.json, videos/needles.json
    or clips/needles.json, in DIR and in each folder in it.
    """
    from seal.evaluate import haystack
    from seal.evaluate.methods import methods
    from seal.store import Store

    options = query_options(settings, "show")
    chosen = methods(options.attention, wanted)
    figures = haystack.evaluate(
        folder_of(data),
        Store(store_path, create=True),
        chosen,
        options,
        film=film,
        hays=list(dict.fromkeys(hays)) or haystack.HAYS,
        together=together,
        budgets=sorted(set(budgets)) or haystack.BUDGETS,
        jobs=jobs,
        on_video=lambda path: tell(f"indexing {path} unless it is"),
    )
    settings_used = {"find": as_dict(options.find), "needle_s": haystack.NEEDLE_S}
    result = head("haystack", data, options, settings_used) | figures
    if plot is not None:
        from seal.evaluate.plot import draw

        shown = {f"recall of {len(result['needles'])} needles": result["methods"]}
        if len(result["hays"]) > 1:
            shown |= {f"recall in hay of {_hay(name)}": hay for name, hay in result["hays"].items()}
        sizes = result["budgets"]
        panels = {
            title: {
                name: [row["recall"][str(size)] for size in sizes] for name, row in rows.items()
            }
            for title, rows in shown.items()
        }
        draw(panels, sizes, "tokens selected", result["default"], plot)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    echo(f"{len(result['needles'])} needles; recall with 95 % interval at so many tokens\n")
    _table(result["methods"], result)
    if len(result["hays"]) > 1:
        for hay, methods in result["hays"].items():
            echo(f"\nin hay of {_hay(hay)}\n")
            _table(methods, result)
    echo("\nmoments of `seal find`\n")
    for name, estimate in result["find"].items():
        print_line(name, [interval(estimate)])


def _hay(name: str) -> str:
    return f"{name} s" if name[0].isdigit() else name


def _table(methods: dict[str, Any], result: dict[str, Any]) -> None:
    sizes = [str(budget) for budget in result["budgets"]]
    print_line("method", sizes, "seconds")
    for name, row in methods.items():
        seconds = f"{row['seconds']:.1f}" if "seconds" in row else ""
        print_line(name, [interval(row["recall"][size]) for size in sizes], seconds)
    if result["default"] in methods and len(methods) > 1:
        echo(f"\nby how much {result['default']}, the default, is ahead\n")
        for name, row in methods.items():
            if name != result["default"]:
                print_line(name, [interval(row["default_ahead"][size]) for size in sizes])
