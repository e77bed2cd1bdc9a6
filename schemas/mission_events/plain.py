"""Validators that give dicts in place of models: the same checks, from the same models, without making an instance of each."""

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
    return SchemaValidator(cast("CoreSchema", _plain(TypeAdapter(models).core_schema, levels)))


def _plain(schema: Any, levels: int) -> Any:
    """A core schema (https://docs.pydantic.dev/latest/internals/architecture/) whose models are typed dicts."""
    if isinstance(schema, list):
        return [_plain(part, levels) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") != "model":
        return {name: _plain(part, levels) for name, part in schema.items()}
    if levels == 0:
        return schema
    fields = schema["schema"]["fields"]
    return {
        "type": "typed-dict",
        "fields": {name: _plain_field(field, levels - 1) for name, field in fields.items()},
        "config": schema["config"],
    }


def _plain_field(field: dict[str, Any], levels: int) -> dict[str, Any]:
    kept = {name: part for name, part in field.items() if name not in _OF_MODELS_ONLY}
    has_default = field["schema"]["type"] == "default"
    return {**kept, "type": "typed-dict-field", "schema": _plain(field["schema"], levels), "required": not has_default}
