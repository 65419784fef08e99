"""`seal eval`: a command for each benchmark, which prints a table or one JSON object."""

from __future__ import annotations

import click

from seal.cli.command import Group
from seal.cli.evaluate import choices
from seal.cli.evaluate.evidence import evidence
from seal.cli.evaluate.haystack import haystack
from seal.cli.evaluate.moviechat import moviechat
from seal.cli.evaluate.nlq import nlq
from seal.cli.evaluate.nouns import nouns
from seal.cli.evaluate.qfvs import qfvs
from seal.cli.evaluate.qmsum import qmsum


@click.group(cls=Group)
def evaluate() -> None:
    """Measure how well tokens are chosen and moments are found, on data with known answers.

    All figures are means with 95 % intervals; every way to choose tokens sees the same ones.
    """


for _command in (qfvs, qmsum, haystack, evidence, nouns, *choices.COMMANDS, moviechat, nlq):
    evaluate.add_command(_command)
