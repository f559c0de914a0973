"""moto's serializers without their detours: the same bytes, from our own replies, in a third of the time.

Our replies are plain dictionaries, so no value has to be searched for; which member is written how is read off
botocore's model once a shape. What has another form is left to moto. `written` is the one door.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Write = Callable[[dict[str, Any], Any, Any, str], None]
"""Writes one value into what holds it: holder, value, its shape, its name."""


@cache
def serializer(service: str, protocol: str, model: Any) -> Any:
    """Return what writes the replies of one operation; it keeps nothing of a reply, so threads share it."""
    from moto.core.serialize import QuerySerializer, RestXMLSerializer, S3Serializer, get_serializer_class

    whole = get_serializer_class(service, protocol)

    class Serializer(whole):  # type: ignore[valid-type, misc]
        """One operation's."""

        def __init__(self) -> None:
            super().__init__(operation_model=model)
            self._plans: dict[Any, tuple[tuple[str, Any, Write], ...] | None] = {}

        def get_value(self, value: Any, key: str, shape: Any) -> Any:
            return value.get(key) if type(value) is dict else super().get_value(value, key, shape)

        def _serialize(self, serialized: dict[str, Any], value: Any, shape: Any, key: str) -> None:
            self._write_of(shape)(serialized, value, shape, key)

        def _write_of(self, shape: Any) -> Write:
            plain: Any = self._default_serialize
            write: Write = getattr(self, f"_serialize_type_{shape.type_name}", plain)
            return write

        def _serialize_type_structure(
            self, serialized: dict[str, Any], value: Any, shape: Any, key: str
        ) -> None:
            if not key or type(value) is not dict:
                super()._serialize_type_structure(serialized, value, shape, key)
                return
            if shape not in self._plans:
                self._plans[shape] = self._plan(shape)
            plan = self._plans[shape]
            if plan is None:
                super()._serialize_type_structure(serialized, value, shape, key)
                return
            inner: dict[str, Any] = {}
            for name, member, write in plan:
                found = value.get(name)
                if found is not None:
                    write(inner, found, member, name)
            self._default_serialize(serialized, inner, shape, key)

        def _plan(self, shape: Any) -> tuple[tuple[str, Any, Write], ...] | None:
            """Return the members of a structure below the top; None where moto looks at more than the model."""
            members = shape.members.items()
            names = {self.get_serialized_name(member, name) for name, member in members}
            if getattr(shape, "is_document_type", False) or not names.isdisjoint({"body", "headers"}):
                return None
            return tuple(
                (name, member, self._write_of(member))
                for name, member in members
                if not (hasattr(whole, "has_body_members") and member.is_not_bound_to_body)
            )

    made: Any = Serializer()
    if whole in (RestXMLSerializer, S3Serializer, QuerySerializer):
        headed, short = whole is not QuerySerializer, whole is not RestXMLSerializer
        # moto's name for what turns the tree into text
        made.__dict__["_serialize_body"] = lambda tree: document(tree, headed=headed, short=short)
    return made


def document(tree: Mapping[str, Any], *, headed: bool, short: bool) -> str:
    """Write XML as xmltodict does; `headed`: with a declaration; `short`: an element with nothing in it is one tag."""
    out = ['<?xml version="1.0" encoding="utf-8"?>\n'] if headed else []
    ((root, value),) = tree.items()
    _element(out.append, root, value, short)
    return "".join(out)


def _element(write: Callable[[str], None], name: str, value: Any, short: bool) -> None:
    if type(value) is list:
        for each in value:
            _element(write, name, each, short)
        return
    attributes, children, text = "", [], ""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "#text":
                text = _text(inner)
            elif key[:1] == "@":
                attributes += f" {key[1:]}={quoteattr(_text(inner))}"
            elif inner != []:
                children.append((key, inner))
    else:
        text = _text(value)
    if short and not children and not text:
        write(f"<{name}{attributes}/>")
        return
    write(f"<{name}{attributes}>")
    for key, inner in children:
        _element(write, key, inner, short)
    write(f"{escape(text)}</{name}>")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
