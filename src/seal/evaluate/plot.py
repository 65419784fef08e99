"""Figures against the budget, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seal import backends
from seal.errors import OptionError
from seal.evaluate.methods import STREAMING
from seal.weights import require

_OURS = ("#d1495b", "#00798c", "#edae49", "#66418d", "#2e8b57", "#8c5a2b")
_MARKERS = "osv^Dx+*P"

Curves = Mapping[str, Sequence[Mapping[str, float]]]
"""By method, the estimate at each budget."""


def draw(
    panels: Mapping[str, Curves], budgets: Sequence[float], unit: str, default: str, path: str
) -> None:
    """Every panel of curves, by what it shows, side by side, to a .png, .svg or .pdf.

    `unit` is what the budgets are. Objectives are in colour, dashed where they stream, the
    `default` with its interval; all else is grey. Raises BackendError without matplotlib,
    OptionError if the file cannot be written.
    """
    size = (2.3 + 4.7 * len(panels), 4.2)
    figure = require("matplotlib.figure", "eval").Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (title, curves) in zip(axes, panels.items(), strict=True):
        _panel(place, curves, budgets, default)
        place.set_xlabel(unit)
        place.set_ylabel(title)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8
    )
    try:
        figure.savefig(path, dpi=100)
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} cannot be written: {error}") from error


def _panel(axes: Any, curves: Curves, budgets: Sequence[float], default: str) -> None:
    colours = dict(zip(backends.names("objective"), _OURS, strict=False))
    for i, (name, estimates) in enumerate(curves.items()):
        low, mean, high = ([each[key] for each in estimates] for key in ("low", "mean", "high"))
        colour = colours.get(name.removesuffix(STREAMING))
        if colour is None:
            marker = _MARKERS[i % len(_MARKERS)]
            axes.plot(budgets, mean, color="0.55", marker=marker, markersize=4, lw=0.8, label=name)
            continue
        style = "--" if name.endswith(STREAMING) else "-"
        bold = name == default
        width, above = (2.4, 3) if bold else (1.4, 2)  # The default is drawn over the others.
        axes.plot(budgets, mean, f".{style}", color=colour, lw=width, zorder=above, label=name)
        if bold:
            axes.fill_between(budgets, low, high, color=colour, alpha=0.12, lw=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    axes.set_ylim(0, min(1.02, axes.get_ylim()[1]))
    axes.spines[["top", "right"]].set_visible(False)
