"""Policy documents as IAM sent them: text first, JSON only where it says one thing."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote_to_bytes

from auditor.canonical import canonical
from auditor.policy.once import once


def keep_documents(client: Any) -> None:
    """Stop botocore from decoding policy documents of this client: a dict loses duplicate keys."""
    from botocore.handlers import json_decode_policies

    client.meta.events.unregister("after-call.iam", json_decode_policies)


def text_of(sent: str) -> str:
    """Return a document byte for byte: IAM sends it URL-encoded (RFC 3986), where no brace is left."""
    if "{" in sent:
        return sent
    octets = unquote_to_bytes(sent)
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("utf-8", "surrogateescape")


def parsed(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return a document and "", or None and why nobody can say what it means."""
    try:
        document = json.loads(text, object_pairs_hook=once, parse_constant=_no_constant)
        canonical(document)
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as error:
        return None, str(error)
    if not isinstance(document, dict):
        return None, "not a JSON object"
    return document, ""


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
