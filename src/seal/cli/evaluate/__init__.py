"""`seal eval`: a command for each benchmark, which prints a table or one JSON object."""

from __future__ import annotations

import click

from seal.cli.evaluate.haystack import haystack
from seal.cli.evaluate.qfvs import qfvs


@click.group()
def evaluate() -> None:
    """Measure how well tokens are chosen, on data with known answers.

    Every baseline and every objective is measured on the same tokens, with 95 % intervals.
    """


for _command in (qfvs, haystack):
    evaluate.add_command(_command)
