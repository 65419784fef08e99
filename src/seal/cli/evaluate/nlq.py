"""`seal eval nlq`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from seal.cli.command import Command
from seal.cli.evaluate.common import (
    add_mode_options,
    interval,
    left_out,
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
from seal.cli.output import echo, print_json, steps_bar
from seal.config import as_dict
from seal.config.querying import read_by_heads
from seal.settings import split as split_setting

_MEAN = "mean IoU"


@click.command(cls=Command)
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
@click.option(
    "--kinds",
    "kind_sets",
    metavar="KINDS|...",
    help='Ablation: with tokens of these kinds alone, such as "scene|scene,object|all".',
)
@click.option(
    "--alpha",
    "alphas",
    metavar="FIRST:LAST:STEP",
    help="Ablation: heads with each of these weights of relevance, such as 0:1:0.1; with"
    " --set head.select=paper.",
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
    kind_sets: str | None,
    alphas: str | None,
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

    if files and (submission or settings or heads or kind_sets or alphas):
        raise click.UsageError(
            "--head, --submission, --kinds, --alpha and --set are about `seal find`: leave out"
            " --predictions"
        )
    window_s = stream_window(mode, window_s)
    if features is not None and (not heads or folder is None):
        raise click.UsageError("--features are what --head looks at, of the videos of --data")
    if features is not None and kind_sets is not None:
        raise click.UsageError("--kinds is about tokens, and --features have none")
    if window_s is not None and (not heads or features is not None):
        raise click.UsageError("--mode streaming is about the tokens that --head looks at")
    if alphas is not None and (not heads or "head.select=paper" not in settings):
        raise click.UsageError("--alpha is about --head with --set head.select=paper")
    about_tokens = [each for each in settings if split_setting(each)[0].startswith("head.")]
    if features is not None and about_tokens:
        raise click.UsageError(f"{about_tokens[0]} has no effect with --features: leave it out")
    rules = Rules(top or Rules.top, iou or Rules.iou, inclusive)
    where: dict[str, Any]
    if annotations is not None and folder is None:
        asked = read_annotations(annotations)
        where = {"annotations": annotations}
    elif folder is not None and annotations is None:
        asked = nlq.read(dataset, folder, split)
        where = {"data": folder, "dataset": dataset, "split": split}
    else:
        raise click.UsageError("where are the queries: either --annotations FILE or --data DIR")
    queries = asked.queries
    methods = {file: read_predictions(file) for file in files}
    used = {**where, "resamples": RESAMPLES, **as_dict(rules)}
    if not files:
        settings = (f"find.top={max(rules.top)}", *settings)
        used |= {
            "store": store_path,
            "heads": list(heads),
            "features": features,
            "words": words,
            "options": {},
        }
        compared = _compared(heads, settings, window_s, kind_sets, alphas, features is None)
        for name, (chosen, kinds) in compared.items():
            if features is None:
                finder = nlq.IndexedLocaliser(Store(store_path), chosen, kinds or None)
                by_profile = finder.options(queries)
                answer = partial(nlq.localise, queries, finder)
            else:
                options = query_options(chosen, "find")
                by_profile = {options.profile: options}
                source = dataset, str(folder), split, features, words
                answer = partial(nlq.localise_in_features, queries, *source, options.find)
            with steps_bar(len(queries), f"{name}, queries") as on_step:
                methods[name] = answer(on_query=_counting(on_step))
            used["options"][name] = {
                profile: {"find": as_dict(each.find), "head": as_dict(each.head)}
                for profile, each in by_profile.items()
            }
    first = next(iter(methods))
    if submission is not None:
        write_submission(submission, methods[first])
    result = {"benchmark": "nlq", "settings": used, **nlq.describe(asked)}
    result["left_out"] = left_out(asked.skipped)
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


def _counting(on_step: Callable[[int], None]) -> Callable[[], None]:
    """Says how many calls there were."""
    numbers = itertools.count(1)
    return lambda: on_step(next(numbers))


def _compared(
    heads: tuple[str, ...],
    settings: tuple[str, ...],
    window_s: float | None,
    kind_sets: str | None,
    alphas: str | None,
    with_find: bool,
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """By name, the settings of `seal find` and the kinds of token it looks at. These are each head,
    all at once and window by window, and with each ablation; and without a head."""
    from seal.evaluate.methods import STREAMING
    from seal.evaluate.ways import ablations, variant_name

    found = {}
    for head in heads:
        for kinds, alpha in ablations(kind_sets, alphas):
            name = variant_name("head" if len(heads) == 1 else head, kinds, alpha)
            chosen = (*settings, f"find.head={head}")
            chosen += () if alpha is None else (f"head.alpha={alpha}",)
            found[name] = chosen, kinds
            if window_s is not None:
                found[name + STREAMING] = (*chosen, f"head.stream_s={window_s}"), kinds
    if with_find:
        own = [each for each in settings if not read_by_heads(split_setting(each)[0])]
        for kinds, _ in ablations(kind_sets, None):
            chosen = tuple(own) if heads else settings
            found[variant_name("find", kinds, None)] = chosen, kinds
    return found


def _print(result: dict[str, Any]) -> None:
    counted = result["queries"] - sum(result["not_counted"].values())
    echo(f"{result['queries']} queries of {result['clips']} clips, {counted} of them counted")
    for reason, count in result["corrected"].items():
        echo(f"corrected: {count:,} times, {reason}")
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
