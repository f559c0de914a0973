"""The library's SCIM client over our own connection: its requests, our limits, our record of pages."""

from __future__ import annotations

from typing import Any

from scim2_client import BaseSyncSCIMClient, SCIMClientException
from scim2_models import Group, ResourceType, SCIMException, ScimProvider, SearchRequest, User

from auditor.sources._directory import Answer, Http, refusal
from auditor.sources.ask import Malformed

_MODELS: dict[str, Any] = {"User": User, "Group": Group}


class _Response:
    """An answer as the library reads it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.status_code = answer.status
        self.headers: Any = answer.headers

    @property
    def text(self) -> str:
        return self.answer.body.decode("utf-8", "replace")


class _Client(BaseSyncSCIMClient):
    """One call's client; GET is all it can do."""

    def __init__(self, http: Http, operation: str) -> None:
        kinds = tuple(ResourceType.from_resource(model) for model in _MODELS.values())
        provider = ScimProvider(models=tuple(_MODELS.values()), resource_types=kinds)
        super().__init__(provider=provider, check_response_payload=False)
        self._http = http
        self._operation = operation
        self.last: Answer | None = None

    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        """Send a GET below the base URL; whatever the answer says is the library's to judge."""
        if method != "GET":
            raise ValueError(f"a directory is only read: {method}")
        self.last = self._http.answered(url.lstrip("/"), kwargs.get("params"), operation=self._operation)
        if self.last.status != 200:
            raise refusal("scim", self._operation, self.last)
        return _Response(self.last)


def page(http: Http, kind: str, first: int, count: int, operation: str) -> tuple[Answer, dict[str, Any]]:
    """Return one page of a listing as it came; Malformed when the answer breaks the protocol."""
    client = _Client(http, operation)
    try:
        asked: SearchRequest[Any] = SearchRequest(start_index=first, count=count)
        found = client.query(_MODELS[kind], query_parameters=asked, raise_scim_errors=True)
    except (SCIMClientException, SCIMException) as error:
        raise Malformed(f"scim:{operation}: {type(error).__name__}: {error}") from None
    if not isinstance(found, dict) or client.last is None:
        raise Malformed(f"scim:{operation} answers no list")
    return client.last, found
