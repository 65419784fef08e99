"""What the benchmarks have in common: options, the head of the JSON, the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal import backends
from seal.cli.options import data_option, json_option, query_settings, writable
from seal.cli.output import echo, tell
from seal.config import Options, WatchOptions, as_dict
from seal.errors import DataError
from seal.printing import printable

if TYPE_CHECKING:
    from seal.datacheck import Skipped

# The heavy imports stand inside the functions: `seal --help` must be instant.

method_option = click.option(
    "--method",
    "wanted",
    multiple=True,
    metavar="NAME",
    help="Only this one; can be given several times.  ["
    + ", ".join(backends.names("baseline") + backends.names("objective"))
    + "; and, window by window, objectives followed by (streaming)]",
)


def _drawable(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The picture to write. What would stop it is an error before the work, not after."""
    if value is not None:
        from seal.weights import require

        require("matplotlib", "eval")
    return writable(context, parameter, value)


plot_option = click.option(
    "--plot",
    callback=_drawable,
    metavar="FILE",
    help="Draw the figures against the budget, as .png or .svg.",
)

mode_options = [
    click.option(
        "--mode",
        type=click.Choice(["global", "streaming"]),
        default="global",
        show_default=True,
        help="streaming: also choose window by window, with the same budget, beside all at once.",
    ),
    click.option(
        "--window",
        "window_s",
        type=float,
        help=f"With --mode streaming: seconds at a time.  [{WatchOptions.window_s:g}]",
    ),
]


def add_mode_options(command: Callable[..., None]) -> Callable[..., None]:
    """`mode` and `window_s`: see `stream_window`."""
    for option in reversed(mode_options):
        command = option(command)
    return command


def stream_window(mode: str, window_s: float | None) -> float | None:
    """The length of the windows of `--mode streaming`, or None for the mode global.

    Raises UsageError for a window without streaming, OptionError for one of less than a second.
    """
    if mode == "streaming":
        return WatchOptions(WatchOptions.window_s if window_s is None else window_s).window_s
    if window_s is not None:
        raise click.UsageError("--window has no effect without --mode streaming")
    return None


def benchmark_options(holds: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options that these benchmarks share: `data_option`, `settings` and `as_json`."""
    return lambda command: data_option(holds)(query_settings(json_option(command)))


def query_options(settings: tuple[str, ...], task: str) -> Options:
    """The options of a run, of which `settings` may change those that its task reads."""
    return Options.load(settings=settings, task=task)


def head(benchmark: str, data: str, options: Options, settings: dict[str, Any]) -> dict[str, Any]:
    """How the JSON of every benchmark begins; `settings` are those that only this one has."""
    from seal.evaluate.bootstrap import RESAMPLES

    fixed = {"data": data, "attention": as_dict(options.attention), "resamples": RESAMPLES}
    return {"benchmark": benchmark, "settings": fixed | settings}


def folder_of(data: str, name: str = ".") -> Path:
    """The folder `name` in the folder `data`, or `data` itself if it holds no such folder."""
    folder = Path(data)
    if not folder.is_dir():
        raise DataError(f"--data {data} is not a folder")
    return folder / name if (folder / name).is_dir() else folder


LISTED = 20
"""So many entries that were left out, or videos, are named on a terminal; the JSON has all."""


def left_out(skipped: Sequence[Skipped]) -> dict[str, Any]:
    """The entries of a data set that were left out, for the JSON; stderr is told of them too."""
    from seal.datacheck import reasons

    counts = reasons(skipped)
    for one in skipped[:LISTED]:
        tell(f"left out: {one.message}")
    if len(skipped) > LISTED:
        tell(f"left out: {len(skipped) - LISTED:,} more; --json names them all")
    if skipped:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        tell(f"{len(skipped):,} entries of the data set cannot be used: {listed}")
    messages = [one.message for one in skipped]
    return {"count": len(skipped), "reasons": counts, "entries": messages}


def interval(estimate: dict[str, float]) -> str:
    """The cell of an estimate: its value and its 95 % interval."""
    from seal.evaluate.bootstrap import Estimate

    return str(Estimate(**estimate))


def print_line(name: str, cells: list[str], seconds: str = "", width: int = 24) -> None:
    """A row of a table; `width` is that of its first column."""
    # Two spaces stay where a heading is longer than its column.
    row = f"{name:{width}s}" + "".join(f"  {cell:>25s}" for cell in cells) + f"{seconds:>9s}"
    echo(printable(row))
