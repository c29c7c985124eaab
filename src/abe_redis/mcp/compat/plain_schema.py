"""JSON schemas that use only keywords that every vendor's client accepts.

What clients and models' interfaces were seen to refuse: a parameter whose type is a union with null (Gemini:
"Proto field is not repeating", "Invalid value at any_of"), `additionalProperties`, `$ref`, `const`, `oneOf`,
`default`, `format` and bounds (Gemini's older interface, OpenAI's strict one), an object without
`properties`, an empty `required`. So schemas use only the keywords below. Bounds are in the description, and
the server checks them.
"""

from typing import Any

WORDS = ("type", "description", "enum", "items", "properties", "required")
"""The strictest common subset."""


def plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A pydantic schema in these keywords; a parameter that may be null becomes optional."""
    return _plain(schema, schema.get("$defs", {}))


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    chosen = _one_of(schema, definitions)
    made = {word: chosen[word] for word in WORDS if word in chosen}
    if (described := _described(schema.get("description") or chosen.get("description"), chosen)) is not None:
        made["description"] = described
    if made.get("type") == "array":
        made["items"] = _plain(chosen.get("items", {"type": "string"}), definitions)
    if made.get("type") == "object":
        fields = chosen.get("properties", {})
        made["properties"] = {name: _plain(field, definitions) for name, field in fields.items()}
    if not made.get("required"):
        made.pop("required", None)
    return made


def _one_of(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference, or beside null."""
    if "$ref" in schema:
        return _one_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return _one_of(options[0], definitions) if options else schema


def _described(description: str | None, schema: dict[str, Any]) -> str | None:
    """A description with the bounds that it does not name."""
    bounds = ("minimum", "maximum"), ("minItems", "maxItems")
    said = [
        f"{schema[low]:g} to {schema[high]:g}" for low, high in bounds if low in schema and high in schema
    ]
    if not said:
        return description
    return f"{(description or '').rstrip('.')} ({said[0]}).".strip()
