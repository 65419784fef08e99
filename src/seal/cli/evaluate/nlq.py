"""`seal eval nlq`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from seal.cli.evaluate.common import (
    add_mode_options,
    interval,
    print_line,
    query_options,
    stream_window,
)
from seal.cli.options import (
    features_options,
    json_option,
    query_settings,
    store_option,
    writable,
)
from seal.cli.output import echo, print_json
from seal.config import as_dict
from seal.config.querying import read_by_heads
from seal.settings import split as split_setting

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
    "heads",
    multiple=True,
    metavar="HEAD",
    help="Ask this trained head as well: a folder, or on the hub; can be given several times."
    " `seal find` stands beside it.",
)
@features_options
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
    heads: tuple[str, ...],
    features: str | None,
    words: str | None,
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
    from seal.files import write_json_lines
    from seal.store import Store

    if files and (submission or settings or heads):
        raise click.UsageError(
            "--head, --submission and --set are about `seal find`: leave out --predictions"
        )
    window_s = stream_window(mode, window_s)
    if features is not None and (not heads or folder is None):
        raise click.UsageError("--features are what --head looks at, of the videos of --data")
    if window_s is not None and (not heads or features is not None):
        raise click.UsageError("--mode streaming is about the tokens that --head looks at")
    about_tokens = [each for each in settings if split_setting(each)[0].startswith("head.")]
    if features is not None and about_tokens:
        raise click.UsageError(f"{about_tokens[0]} has no effect with --features: leave it out")
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
        used |= {
            "store": store_path,
            "heads": list(heads),
            "features": features,
            "words": words,
            "options": {},
        }
        asked_of = _by_head(heads, settings, window_s)
        if features is None:
            own = [each for each in settings if not read_by_heads(split_setting(each)[0])]
            asked_of["find"] = tuple(own) if heads else settings
        for name, chosen in asked_of.items():
            if features is None:
                finder = nlq.IndexedLocaliser(Store(store_path), chosen)
                by_profile = finder.options(queries)
                answer = partial(nlq.localise, queries, finder)
            else:
                options = query_options(chosen, "find")
                by_profile = {options.profile: options}
                source = dataset, str(folder), split, features, words
                answer = partial(nlq.localise_in_features, queries, *source, options.find)
            with click.progressbar(length=len(queries), label="queries", file=sys.stderr) as bar:
                methods[name] = answer(on_query=partial(bar.update, 1))
            used["options"][name] = {
                profile: {"find": as_dict(each.find), "head": as_dict(each.head)}
                for profile, each in by_profile.items()
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


def _by_head(
    heads: tuple[str, ...], settings: tuple[str, ...], window_s: float | None
) -> dict[str, tuple[str, ...]]:
    """The settings of `seal find` with each head, all at once and window by window."""
    from seal.evaluate.methods import STREAMING

    found = {}
    for head in heads:
        name = "head" if len(heads) == 1 else head
        found[name] = (*settings, f"find.head={head}")
        if window_s is not None:
            found[name + STREAMING] = (*found[name], f"head.stream_s={window_s}")
    return found


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
