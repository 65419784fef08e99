"""The rules of English that a program can check, over all that a reader of SEAL sees.

    python tools/prose.py [FILE...]

reads the pages, the help of the command line, and the docstrings and comments of the package. Each
finding is a line `FILE:LINE: RULE: sentence`; the exit code is 1 if there is any. The rules:

long: A sentence has at most 30 words. Code counts as one word.

passive: A definition does not begin with a participle, and does not say "is meant to".

banned: Words of advertising, words that hedge, and a dash in place of a full stop are not used.

opener: A paragraph does not begin with "It" or "This" and a verb. The noun that the pronoun stands
for is further up, where a tired reader does not look.

Code in backticks is not English, and neither are cells of tables with fewer than six words.
CONTRIBUTING.md says how to write instead.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_WORDS = 30
PAGES = ("*.md", "docs/*.md", "benchmarks/README.md", "examples/**/*.md", "training/**/*.md")
CODE = ("src/seal/**/*.py", "tools/*.py", "examples/**/*.py")

_BANNED = re.compile(
    r"\b(seamless(ly)?|effortless(ly)?|blazing(ly)?|cutting[- ]edge|state[- ]of[- ]the[- ]art|"
    r"powerful|leverag(e|es|ing)|utili[sz](e|es|ing)|simply|obviously|basically|"
    r"of course|very unique|in order to|please note|and/or)\b| [—–] | -- ",
    re.IGNORECASE,
)
_PASSIVE = re.compile(
    r"^(Used (to|for|by|as|when)|Given by|Meant (to|for)|Defined (as|by)|Called (by|when|with) |"
    r"\S+ (is|are) (meant to|used to (?!be)|used for|defined as|understood as|said to be)\b)"
)
_OPENER = re.compile(
    r"^(It|This|They|These|Those|That) "
    r"(is|are|was|were|has|have|does|do|can|will|may|must|says?|gives?|takes?|makes?|means?|needs?|"
    r"holds?|comes?|goes|shows?|keeps?|stands?|asks?|finds?|reads?|writes?|runs?|works?)\b"
)
_END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=[\"'(\[*]*[A-Z0-9`~<>])")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|cf|vs|Fig|Eq|Sec|al|etc|No)\.\s")


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph; code, links and emphasis as plain words."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    text = re.sub(r"``.+?``|`[^`]+`", "CODE", text)
    text = re.sub(r":\w+:`[^`]+`", "CODE", text)
    text = text.replace("**", "").replace("&nbsp;", " ")
    text = _ABBREVIATION.sub(lambda found: found.group().replace(".", "") + " ", text)
    return [part.strip() for part in _END.split(" ".join(text.split())) if part.strip()]


def words(sentence: str) -> int:
    """How many words a sentence has; what holds no letter is no word."""
    return sum(bool(re.search(r"[A-Za-z]{1}", word)) for word in sentence.split())


def findings(paragraph: str) -> Iterator[tuple[str, str]]:
    """Rule and sentence of everything that is wrong in a paragraph."""
    for number, sentence in enumerate(sentences(paragraph)):
        if words(sentence) > MOST_WORDS:
            yield f"long ({words(sentence)} words)", sentence
        if found := _BANNED.search(sentence):
            yield f"banned ({found.group().strip()})", sentence
        if _PASSIVE.search(sentence):
            yield "passive", sentence
        if not number and _OPENER.search(sentence):
            yield "opener", sentence


def of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every paragraph, list item and cell of a page; code and headings are not."""
    held: list[str] = []
    start, fenced, after_blank = 1, False, True
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith(("```", "~~~")):
            fenced = not fenced
            if held:
                yield start, " ".join(held)
            held = []
            continue
        if fenced:
            continue
        # In the docstring of a package a row names modules and, after spaces, what they do.
        row = re.match(r" *\S.*?( {2,})\S", line)
        table = stripped.startswith("|") or row
        item = re.match(r"([-*+]|\d+\.) ", stripped)
        code = line.startswith("    ") and after_blank and not item and not held
        if not stripped or table or item or code or stripped.startswith(("#", "<", "---", "$")):
            if held:
                yield start, " ".join(held)
            held = []
        if table:
            for cell in re.split(r"(?<!\\)\||   +", stripped):
                if words(" ".join(sentences(cell))) >= 6:
                    yield number, cell.strip()
        elif stripped and not code and not stripped.startswith(("#", "<", "---", "$")):
            if not held:
                start = number
            held.append(stripped[item.end() :] if item else stripped.removeprefix("> "))
        after_blank = not stripped or code or stripped.startswith("#")
    if held:
        yield start, " ".join(held)


def of_python(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every paragraph of the docstrings, help texts and comments of a module."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
        elif isinstance(node, ast.keyword) and node.arg in ("help", "short_help", "epilog"):
            text = _constant(node.value)
        else:
            continue
        if isinstance(text, str):
            for line, paragraph in of_markdown(_dedented(text)):
                yield node.value.lineno + line - 1, paragraph
    held: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        own_line = token.line.strip().startswith("#")
        if token.type == tokenize.COMMENT and own_line:
            start = start if held else token.start[0]
            held.append(token.string.lstrip("#: "))
        elif token.type not in (tokenize.NL, tokenize.NEWLINE) and held:
            yield start, " ".join(held)
            held = []


def _constant(value: ast.expr) -> str | None:
    try:
        found = ast.literal_eval(value)
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def _dedented(text: str) -> str:
    first, _, rest = text.partition("\n")
    margins = [len(line) - len(line.lstrip()) for line in rest.splitlines() if line.strip()]
    cut = min(margins, default=0)
    return "\n".join([first.strip(), *(line[cut:] for line in rest.splitlines())])


def check(path: Path) -> list[str]:
    """All findings of one file, as lines."""
    text = path.read_text(encoding="utf-8")
    paragraphs = of_python(text) if path.suffix == ".py" else of_markdown(text)
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return [
        f"{shown}:{line}: {rule}: {sentence}"
        for line, paragraph in paragraphs
        for rule, sentence in findings(paragraph)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    given = [path.resolve() for path in parser.parse_args().files]
    found = [path for pattern in (*PAGES, *CODE) for path in sorted(ROOT.glob(pattern))]
    lines = [line for path in given or found for line in check(path)]
    print("\n".join(lines))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
