"""Writes what the models say of keys and fields as Markdown tables."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from services.missions.fields import Field, Kind


class IncompleteReference(Exception):
    """Words or examples do not fit the models; the message says which are missing and which are left over."""


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; a bar in a cell is escaped."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def keys(schema: Mapping[str, Any], definitions: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """The keys of an object of the definition's JSON Schema, each with its values, its default and a line on it."""
    properties: Mapping[str, Any] = schema["properties"]
    fits("keys of " + schema["title"], properties, words)
    required = set(schema.get("required", ()))
    rows = [
        (f"`{name}`", _values(value, definitions), "needed" if name in required else _default(value), words[name])
        for name, value in properties.items()
    ]
    return table(("key", "value", "default", "meaning"), rows)


def fields(known: Mapping[str, Field], words: Mapping[str, str]) -> str:
    """Fields or facts that conditions may name."""
    rows = [(f"`{name}`", str(field.kind), _range(field), words.get(name, "")) for name, field in known.items()]
    return table(("field", "kind", "values", "meaning"), rows)


def fits(what: str, known: Iterable[str], told: Iterable[str]) -> None:
    """Raises `IncompleteReference` unless each known word is told of, and no other."""
    missing, left_over = sorted(set(known) - set(told)), sorted(set(told) - set(known))
    if missing or left_over:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"left over: {', '.join(left_over)}"] * bool(
            left_over
        )
        raise IncompleteReference(
            f"{what}: {'; '.join(parts)}. Mend services/cli/reference/words.py or its examples/*.yaml."
        )


def _range(field: Field) -> str:
    if field.values is not None:
        return ", ".join(f"`{value}`" for value in sorted(field.values))
    if field.kind is Kind.DATE:
        return "`YYYY-MM-DD`"
    if field.least is None and field.most is None:
        return ""
    return _bounds(field.least, field.most)


def _bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{_number(least)} to {_number(most)}"
    return f"≥ {_number(least)}" if least is not None else "" if most is None else f"≤ {_number(most)}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def _values(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema or "oneOf" in schema:
        options = schema.get("anyOf") or schema["oneOf"]
        return " or ".join(dict.fromkeys(_values(o, definitions) for o in options if o.get("type") != "null"))
    named = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
    if named:
        return ", ".join(f"`{value}`" for value in named)
    kind: str = schema.get("type", "")
    if kind == "array":
        return f"list of {_values(schema['items'], definitions)}" + _sizes(schema)
    return _plain(kind, schema)


def _plain(kind: str, schema: Mapping[str, Any]) -> str:
    if kind == "integer":
        return "integer " + _bounds(schema.get("minimum"), schema.get("maximum"))
    if kind == "string":
        return (
            "time"
            if schema.get("format") == "date-time"
            else "id"
            if "A-Za-z0-9_" in schema.get("pattern", "")
            else "text"
        )
    return {"boolean": "`true` or `false`", "object": "map"}.get(kind, kind)


def _sizes(schema: Mapping[str, Any]) -> str:
    return f", {schema.get('minItems', 0)} to {schema['maxItems']}" if "maxItems" in schema else ""


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default")
    if value is None or value in ({}, []):
        return "none"
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False).removesuffix("...\n").strip()
    return f"`{text}`"
