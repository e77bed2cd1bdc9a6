"""Validators that give dicts in place of models: the same checks, from the same models, without making an instance of each."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_core import CoreSchema, SchemaValidator

_OF_MODELS_ONLY = frozenset({"frozen", "init", "init_only", "kw_only"})
"""What a model's field may say and a dict's may not."""


def dict_validator(models: Any, levels: int) -> SchemaValidator:
    """Validates as `models` do (a model, or a union of some), but gives a dict of all fields by name, in the models' order, with the
    default of a field that was not sent.

    `levels`: of models within models that become dicts; what is deeper stays a model. Raises pydantic's ValidationError on what the
    models refuse, with the same places.
    """
    schema: Any = TypeAdapter(models).core_schema
    if schema["type"] != "definitions":
        return SchemaValidator(cast("CoreSchema", _plain(schema, levels, {})))
    # Pydantic 2.10 names models of unions there, and later ones what is used twice.
    named = {definition["ref"]: definition for definition in schema["definitions"]}
    return SchemaValidator(cast("CoreSchema", {**schema, "schema": _plain(schema["schema"], levels, named)}))


def _plain(schema: Any, levels: int, named: Mapping[str, Any]) -> Any:
    """A core schema (https://docs.pydantic.dev/latest/internals/architecture/) whose models are typed dicts."""
    if levels == 0:
        return schema
    if isinstance(schema, list):
        return [_plain(part, levels, named) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "definition-ref":
        return _plain(named[schema["schema_ref"]], levels, named)
    if schema.get("type") != "model":
        return {name: _plain(part, levels, named) for name, part in schema.items() if name != "ref"}
    fields = schema["schema"]["fields"]
    return {
        "type": "typed-dict",
        "fields": {name: _plain_field(field, levels - 1, named) for name, field in fields.items()},
        "config": schema["config"],
    }


def _plain_field(field: Mapping[str, Any], levels: int, named: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: part for name, part in field.items() if name not in _OF_MODELS_ONLY}
    has_default = field["schema"]["type"] == "default"
    plain = _plain(field["schema"], levels, named)
    return {**kept, "type": "typed-dict-field", "schema": plain, "required": not has_default}
