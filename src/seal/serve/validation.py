"""What is wrong with the values that a client has sent: pydantic's errors as sentences.

Each sentence says what came and what is expected, with both limits, and then what the value is for.
What is expected comes from the JSON schema that clients read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from seal.printing import json_line, printable

Schema = Mapping[str, Any]

_SHOWN = 40
"""Characters of a value, or of a name, that its sentence repeats."""
_MOST = 8
"""Sentences about one request; a list of a thousand wrong values is wrong in one way."""
_TYPES = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
_TYPES |= {"object": "an object", "null": "null"}
_MEMBERS = "dict[", "list["
"""How pydantic's names of the members of a union begin."""
_JSON = "send JSON, with the header Content-Type: application/json"


class Wrong(NamedTuple):
    """A value that is wrong."""

    where: str
    """Its place, such as "body.budget"."""
    what: str
    """A sentence that says what came, what is expected, and what the value is for."""


def wrong(
    errors: Iterable[Mapping[str, Any]], root: Schema, document: Schema, *, places: bool = False
) -> list[Wrong]:
    """What pydantic finds wrong with values, each place once.

    `root` is the JSON schema of all values; `document` holds what its references point to. With
    `places`, the members of `root` are the parts of a request, such as "body" and "query".
    """
    found = dict[str, str]()
    for error in errors:
        where, what = _told(error, root, document, places)
        found.setdefault(where, what)
    return [Wrong(where, what) for where, what in list(found.items())[:_MOST]]


def whole(found: Sequence[Wrong]) -> str:
    """All that is wrong as one text."""
    return " ".join(each.what for each in found)


def _told(
    error: Mapping[str, Any], root: Schema, document: Schema, places: bool
) -> tuple[str, str]:
    """Where an error is, and its sentence."""
    kind, value, more = error["type"], error.get("input"), error.get("ctx", {})
    if kind == "json_invalid":
        return "body", f"the body is no JSON ({more.get('error', '')}): {_JSON}."
    steps, schema = list[str](), root
    for step in error["loc"]:
        if kind == "extra_forbidden" and step == error["loc"][-1]:
            steps.append(_short(str(step)))
            break
        schema, is_named = _inside(schema, step, document)
        steps += [_short(str(step))] if is_named else []
    where, name = ".".join(steps), _short(".".join(steps[places:]))
    if places and len(steps) < min(len(error["loc"]), 2):  # Nothing describes a page.
        name = ".".join(map(str, error["loc"][1:]))
        return name, f"{_short(name)} is {_came(value)}: {error['msg']}."
    if kind == "extra_forbidden":
        known = ", ".join(_names(schema, document))
        return where, f"{name} is not supported: leave it out; supported: {known}."
    expected = _expected(schema, document)
    if kind == "finite_number":
        expected = expected.replace("a number", "a finite number")
    if not name:
        if isinstance(value, (str, bytes)):
            return where, f"the body was not sent as JSON: {_JSON}."
        return where, f"the body is {_came(value)}; expected {expected}: {_JSON}."
    if kind == "union_tag_invalid":
        tag, tags = json_line(more["tag"]), more["expected_tags"].replace("'", '"')
        return where, f"{name}.type is {_short(tag)}; expected one of {tags}."
    came = "missing" if kind == "missing" else _came(value)
    about = schema.get("description", "")
    return where, f"{name} is {came}; expected {expected}.{about and ' '}{about}"


def _inside(schema: Schema, step: str | int, document: Schema) -> tuple[Schema, bool]:
    """What a step of a place leads to, and whether a client has written this step: pydantic also
    names the member of a union that a value was taken for."""
    if str(step).startswith(_MEMBERS):
        return schema, False
    for each in [schema, *_alternatives(schema, document)]:
        chosen = each.get("discriminator", {}).get("mapping", {}).get(step)
        if chosen is not None:
            return {"$ref": chosen}, False
        if isinstance(step, int):
            inner = each.get("items")
        else:
            inner = each.get("properties", {}).get(step) or each.get("additionalProperties")
        if isinstance(inner, Mapping):
            return inner, True
    return schema, False


def _alternatives(schema: Schema, document: Schema) -> Iterator[Schema]:
    """The schemas of which a value has to fit one."""
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        yield from _alternatives(found, document)
    elif several := schema.get("anyOf") or schema.get("oneOf"):
        for each in several:
            yield from _alternatives(each, document)
    else:
        yield schema


def _names(schema: Schema, document: Schema) -> list[str]:
    """The names that an object may have."""
    return [name for each in _alternatives(schema, document) for name in each.get("properties", {})]


def _expected(schema: Schema, document: Schema) -> str:
    """What a value has to be, in words."""
    said = [_described(each, document) for each in _alternatives(schema, document)]
    return " or ".join(dict.fromkeys(each for each in said if each != "null")) or "null"


def _described(schema: Schema, document: Schema) -> str:
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if values:
        shown = ", ".join(json_line(value) for value in values)
        return f"one of {shown}" if len(values) > 1 else shown
    kind = schema.get("type", "")
    if kind == "string":
        pattern = f" that matches {schema['pattern']}" if "pattern" in schema else ""
        examples = "".join(
            f", such as {json_line(each)}" for each in schema.get("examples", [])[:1]
        )
        return f"a text{_limits(schema, 'Length', ' characters')}{pattern}{examples}"
    if kind == "array":
        return (
            "an empty list"
            if schema.get("maxItems") == 0
            else (f"a list{_limits(schema, 'Items', ' items')}")
        )
    if kind == "object":
        names = _names(schema, document)
        return f"an object with {', '.join(names)}" if names else "an object"
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and least == most:
        return f"{least:g}"
    return f"{_TYPES.get(kind, 'another value')}{_limits(schema, 'imum', '')}"


def _limits(schema: Schema, name: str, unit: str) -> str:
    """Both limits of a number or of a length, as far as there are any."""
    # OpenAPI writes whole numbers as 1.0.
    least, most = (
        f"{schema[of]:,.12g}" if of in schema else "" for of in (f"min{name}", f"max{name}")
    )
    if least and most:
        return f" of {least} to {most}{unit}" if unit else f" from {least} to {most}"
    if most:
        return f" of at most {most}{unit}"
    return f" of at least {least}{unit}" if least else ""


def _came(value: Any) -> str:
    """A value as its sentence repeats it."""
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value):,} item{'' if len(value) == 1 else 's'}"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"a text of {len(value):,} characters"
    try:
        return _short(json_line(value))
    except (TypeError, ValueError):
        return _short(str(value))


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
