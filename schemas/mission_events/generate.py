"""Writes the JSON Schemas and the AsyncAPI document from the models: `python -m mission_events.generate [--check]`."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from mission_events.dead_letter import HEADERS, PREFIX
from mission_events.envelope import Envelope
from mission_events.fields import IDENTIFIER_PATTERN
from mission_events.learning import LEARNING_EVENTS
from mission_events.missions import MISSION_EVENTS
from mission_events.testing import iter_examples
from mission_events.topics import TOPICS_IN, TOPICS_OUT, Topic

LANGUAGE_VERSION = "1.0.0"
"""Of the contract as a whole: the first number changes with the `.v1` of event types, which is hoped never."""

KAFKA_BINDING = "0.5.0"
MODELS: dict[str, type[Envelope]] = {**LEARNING_EVENTS, **MISSION_EVENTS}


def json_schema(event_type: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of a whole event in structured mode."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:mission-events:{event_type}",
        **MODELS[event_type].model_json_schema(),
    }


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0 from the mission system's side: it receives the topics in and sends the topics out."""
    topics = TOPICS_IN + TOPICS_OUT
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Mission system events",
            "version": LANGUAGE_VERSION,
            "description": "CloudEvents 1.0 on Kafka. Structured mode is canonical; binary mode is read too.",
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {
            topic.name: {
                "action": "receive" if topic in TOPICS_IN else "send",
                "channel": {"$ref": f"#/channels/{topic.name}"},
                "summary": topic.description,
            }
            for topic in topics
        },
        "components": {"messages": {topic.name: _message(topic) for topic in topics}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"{topic.description} From: {', '.join(topic.producers)}. "
        f"To: {', '.join(topic.consumers)}. Key: {topic.key}.",
        "messages": {topic.name: {"$ref": f"#/components/messages/{topic.name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup_policy],
                    "retention.ms": int(topic.config()["retention.ms"]),
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _message(topic: Topic) -> dict[str, Any]:
    if topic.event_type is None:
        properties = {PREFIX + name: {"type": "string", "description": text} for name, text in HEADERS.items()}
        return {
            "name": topic.name,
            "summary": topic.description,
            "contentType": "application/octet-stream",
            "headers": {"type": "object", "required": list(properties), "properties": properties},
        }
    key = {"type": "string", "pattern": IDENTIFIER_PATTERN}
    structured = (example for example in iter_examples(topic.name) if example.good and not example.headers)
    return {
        "name": topic.event_type,
        "summary": topic.description,
        "payload": {"$ref": f"./jsonschema/{topic.event_type}.json"},
        "bindings": {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING}},
        "examples": [
            {"name": example.situation, "payload": json.loads(example.value or b"")} for example in structured
        ],
    }


def documents() -> dict[str, str]:
    """All generated files: text by path below this package."""
    schemas = {
        f"jsonschema/{event_type}.json": json.dumps(json_schema(event_type), indent=2) + "\n" for event_type in MODELS
    }
    text = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=110)
    return {**schemas, "asyncapi.yaml": "# Written by python -m mission_events.generate\n" + text}


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` only say which are out of date; the exit code."""
    root = Path(__file__).parent
    stale = 0
    for name, text in documents().items():
        path = root / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if "--check" in arguments:
            sys.stderr.write(f"{name} is out of date; run python -m mission_events.generate\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
