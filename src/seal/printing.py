"""Text for people and machines: what could steer a terminal or break a file is shown, not sent.

Names of files, words from files and answers of models may hold anything. Examples are an escape
sequence that sets the title of a terminal, a line feed, a mark that turns the reading direction, or
half of a character. UTF-8 cannot hold the last, which is Python's form of a file name that is not
UTF-8. Each such character is printed as Python writes it, such as \\x1b, \\n, \\u202e, \\udcff.
"""

from __future__ import annotations

import json
import re
from typing import Any

# The control characters, the separators of lines and paragraphs, what turns the reading direction,
# and the surrogates.
_REST = "\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_A_LINE = re.compile(f"[\x00-\x0a{_REST}]")
_IN_LINES = re.compile(f"[\x00-\x08{_REST}]")

# In JSON that is plain ASCII, a backslash begins each of these and nothing else: a character
# beyond U+FFFF as a pair of surrogates, a surrogate alone, another escape.
_JSON_ESCAPE = re.compile(r"\\(?:ud[89ab]..\\ud[c-f]..|(ud[89a-f]..)|.)")


def printable(text: str) -> str:
    """The text on one line, with visible escapes."""
    return _IN_A_LINE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The text with visible escapes; line feeds and tabs stay as they are."""
    return _IN_LINES.sub(_escape, text)


def json_line(value: Any) -> str:
    """One JSON value on one line, in plain ASCII.

    Strings come back as they were, but for a surrogate, which no UTF-8 can hold: its escape is six
    characters of the string, as in `printable`. Raises ValueError for a number that is not finite.
    """
    text = json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f")
    return _JSON_ESCAPE.sub(lambda found: f"\\{found[0]}" if found[1] else found[0], text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
