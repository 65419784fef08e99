"""Recall against the budget, as a picture."""

from __future__ import annotations

from typing import Any

from seal import backends
from seal.errors import OptionError
from seal.evaluate.methods import STREAMING
from seal.weights import require

_OURS = ("#d1495b", "#00798c", "#edae49", "#66418d", "#2e8b57", "#8c5a2b")
_MARKERS = "osv^Dx+*P"


def draw(result: dict[str, Any], path: str) -> None:
    """The recall of every method of `seal eval haystack`, to a .png, .svg or .pdf.

    Objectives are in colour, dashed where they stream, the default with its interval; baselines are
    grey.
    Raises BackendError without matplotlib, OptionError if the file cannot be written.
    """
    figure = require("matplotlib.figure", "eval").Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    budgets = result["budgets"]
    baselines = backends.names("baseline")
    colours = dict(zip(backends.names("objective"), _OURS, strict=False))
    for i, (name, row) in enumerate(result["methods"].items()):
        low, mean, high = (
            [row["recall"][str(budget)][key] for budget in budgets]
            for key in ("low", "mean", "high")
        )
        if name in baselines:
            marker = _MARKERS[i % len(_MARKERS)]
            axes.plot(budgets, mean, color="0.55", marker=marker, markersize=4, lw=0.8, label=name)
            continue
        colour = colours.get(name.removesuffix(STREAMING), "black")
        style = "--" if name.endswith(STREAMING) else "-"
        bold = name == result["default"]
        width, above = (2.4, 3) if bold else (1.4, 2)  # The default is drawn over the others.
        axes.plot(budgets, mean, style, color=colour, lw=width, zorder=above, label=name)
        if bold:
            axes.fill_between(budgets, low, high, color=colour, alpha=0.12, lw=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("tokens selected")
    axes.set_ylabel(f"recall of {len(result['needles'])} needles")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    try:
        figure.savefig(path, dpi=100)
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} cannot be written: {error}") from error
