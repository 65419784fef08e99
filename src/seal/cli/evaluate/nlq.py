"""`seal eval nlq`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from seal.cli.evaluate.common import add_mode_options, interval, print_line, stream_window
from seal.cli.options import json_option, query_settings, store_option, writable
from seal.cli.output import echo, print_json
from seal.config import as_dict

if TYPE_CHECKING:
    from seal.evaluate.ego4d import NlqQuery, Prediction
    from seal.evaluate.nlq import Localiser

_MEAN = "mean IoU"


@click.command()
@click.option("--annotations", metavar="FILE", help="Those of Ego4D-NLQ, such as nlq_val.json.")
@click.option(
    "--data", "folder", metavar="DIR", help="Instead of a file: a data set laid out as published."
)
@click.option(
    "--dataset",
    default="ego4d-nlq-v2",
    show_default=True,
    metavar="NAME",
    help="Which data set is in --data; see `seal data list`.",
)
@click.option("--split", default="val", show_default=True, help="Which split of --data.")
@click.option(
    "--predictions",
    "files",
    multiple=True,
    metavar="FILE",
    help="A submission to score; can be given several times. Without any, `seal find` is asked.",
)
@click.option(
    "--head",
    metavar="HEAD",
    help="Ask this trained head as well: a folder, or on the hub. `seal find` stands beside it.",
)
@click.option(
    "--top", multiple=True, type=int, help="k of R@k; can be given several times.  [1, 3, 5]"
)
@click.option(
    "--iou",
    multiple=True,
    type=float,
    help="IoU of a hit; can be given several times.  [0.01, 0.3, 0.5]",
)
@click.option("--inclusive", is_flag=True, help="A hit is an IoU of at least --iou, not above it.")
@click.option(
    "--submission", callback=writable, metavar="FILE", help="Write what was found, for the server."
)
@click.option(
    "--log", "log_path", callback=writable, metavar="FILE", help="Write a JSON line for each query."
)
@add_mode_options
@query_settings
@store_option
@json_option
def nlq(
    annotations: str | None,
    folder: str | None,
    dataset: str,
    split: str,
    files: tuple[str, ...],
    head: str | None,
    top: tuple[int, ...],
    iou: tuple[float, ...],
    inclusive: bool,
    submission: str | None,
    log_path: str | None,
    mode: str,
    window_s: float | None,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Ego4D-NLQ: recall and mean IoU of the moments that answer questions about egocentric clips.

    Every query counts, one without predictions as missed; what the official script says of those
    with predictions stands beside. `seal find` is asked of the indexed files CLIP_UID.mp4. Other
    data sets of queries about videos can be given by --dataset.
    """
    from seal.evaluate import nlq
    from seal.evaluate.bootstrap import RESAMPLES
    from seal.evaluate.ego4d import read_annotations, read_predictions, write_submission
    from seal.evaluate.localisation import Rules
    from seal.evaluate.methods import STREAMING
    from seal.evaluate.nlq import IndexedLocaliser
    from seal.files import write_json_lines
    from seal.store import Store

    if files and (submission or settings or head):
        raise click.UsageError(
            "--head, --submission and --set are about `seal find`: leave out --predictions"
        )
    window_s = stream_window(mode, window_s)
    if window_s is not None and head is None:
        raise click.UsageError("--mode streaming is about the tokens that --head looks at")
    rules = Rules(top or Rules.top, iou or Rules.iou, inclusive)
    asked: dict[str, Any]
    if annotations is not None and folder is None:
        queries, left_out = read_annotations(annotations), dict[str, int]()
        asked = {"annotations": annotations}
    elif folder is not None and annotations is None:
        queries, left_out = nlq.read(dataset, folder, split)
        asked = {"data": folder, "dataset": dataset, "split": split}
    else:
        raise click.UsageError("where are the queries: either --annotations FILE or --data DIR")
    methods = {file: read_predictions(file) for file in files}
    used = {**asked, "resamples": RESAMPLES, **as_dict(rules)}
    if not files:
        settings = (f"find.top={max(rules.top)}", *settings)
        # What a head reads has no effect on `seal find` without it.
        plain = tuple(each for each in settings if not each.startswith("head."))
        asked_of = {} if head is None else {"head": (*settings, f"find.head={head}")}
        if window_s is not None:
            asked_of["head" + STREAMING] = (*asked_of["head"], f"head.stream_s={window_s}")
        used |= {"store": store_path, "head": head, "options": {}}
        for name, chosen in {**asked_of, "find": settings if head is None else plain}.items():
            finder = IndexedLocaliser(Store(store_path), chosen)
            methods[name] = _find(queries, finder)
            used["options"][name] = {
                profile: {"find": as_dict(each.find), "head": as_dict(each.head)}
                for profile, each in finder.options(queries).items()
            }
    first = next(iter(methods))
    if submission is not None:
        write_submission(submission, methods[first])
    result = {"benchmark": "nlq", "settings": used, **nlq.describe(queries, left_out)}
    if submission is not None and not any(query.truth for query in queries):
        # A test split: only the server can score it.
        result["methods"] = {first: {"predicted": len(methods[first])}}
    else:
        result["methods"] = nlq.evaluate(queries, methods, rules)
        if log_path is not None:
            write_json_lines(log_path, nlq.log(queries, methods, rules))
    if as_json:
        print_json(result)
    else:
        _print(result)


def _find(queries: list[NlqQuery], finder: Localiser) -> list[Prediction]:
    from seal.evaluate.nlq import localise

    with click.progressbar(length=len(queries), label="queries", file=sys.stderr) as bar:
        return localise(queries, finder, on_query=lambda: bar.update(1))


def _print(result: dict[str, Any]) -> None:
    counted = result["queries"] - sum(result["not_counted"].values())
    echo(f"{result['queries']} queries of {result['clips']} clips, {counted} of them counted")
    for name, row in result["methods"].items():
        if "predicted" in row:
            echo(f"{name}: {row['predicted']} queries answered; the answers are withheld")
            continue
        echo(f"\n{name}: {row['missing']} without predictions, counted as missed\n")
        _print_figures(row)


def _print_figures(row: dict[str, Any]) -> None:
    official = {**row["official"]["recall"], _MEAN: row["official"]["mIoU"]}
    columns = {
        "with 95 % interval": _cells(row),
        f"official, of {row['official']['evaluated']}": {
            metric: f"{float(value):.3f}" for metric, value in official.items()
        },
    }
    if "first_ahead" in row:
        columns["the first is ahead by"] = _cells(row["first_ahead"])
    print_line("", list(columns))
    for metric in official:
        print_line(metric, [column[metric] for column in columns.values()])


def _cells(row: dict[str, Any]) -> dict[str, str]:
    estimates = {**row["recall"], _MEAN: row["mean_iou"]}
    return {metric: interval(estimate) for metric, estimate in estimates.items()}
