"""CloudEvents in Kafka headers: which mode a record is in, and the attributes of one in binary mode."""

from collections.abc import Sequence

from mission_events.reasons import Reason, Rejected, reject

Headers = Sequence[tuple[str, bytes | None]]

PREFIX = "ce_"
REQUIRED = frozenset({"specversion", "id", "source", "type"})
CONTENT_TYPE = "content-type"
STRUCTURED_MEDIA_TYPE = "application/cloudevents"


def is_json(content_type: str) -> bool:
    """Whether a media type, with or without parameters, is JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def binary_attributes(headers: Headers) -> dict[str, str] | Rejected | None:
    """The envelope's attributes from `ce_` headers; None if the record is in structured mode.

    A content type that starts with application/cloudevents means structured, whatever else there is; else a
    required attribute as a header means binary; else it is structured. Of a header sent twice the last counts.
    """
    content_type = ""
    attributes: dict[str, bytes] = {}
    for raw_name, header in headers:
        name = raw_name.lower()
        if name == CONTENT_TYPE and header is not None:
            content_type = header.decode("ascii", "replace").strip().lower()
        elif name.startswith(PREFIX) and header is not None:
            attributes[name.removeprefix(PREFIX)] = header
    if content_type.startswith(STRUCTURED_MEDIA_TYPE):
        media_type = content_type.partition(";")[0].strip()
        if media_type in (STRUCTURED_MEDIA_TYPE, STRUCTURED_MEDIA_TYPE + "+json"):
            return None
        return reject(Reason.BAD_DATA_CONTENT_TYPE, what=f"header content-type is {media_type!a}")
    if not attributes.keys() & REQUIRED:
        return None
    if content_type and not is_json(content_type):
        return reject(Reason.BAD_DATA_CONTENT_TYPE, what=f"header content-type is {content_type!a}")
    return _as_text(attributes)


def _as_text(attributes: dict[str, bytes]) -> dict[str, str] | Rejected:
    texts: dict[str, str] = {}
    for name, header in attributes.items():
        try:
            texts[name] = header.decode()
        except UnicodeDecodeError as error:
            return reject(Reason.BAD_UTF8, f"/{name}", f"byte {error.start} of header ce_{name} is not UTF-8")
    return texts
