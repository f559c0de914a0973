"""Seed IAM: roles, users with their keys, and identity providers, every time given by the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.sandbox.aws.books import Books


class IamSeeds:
    """Put and change identities, without a request."""

    books: Books

    def put_role(
        self,
        account: str,
        name: str,
        *,
        trust: Mapping[str, Any] | str,
        at: datetime,
        max_session_s: int = 3600,
        inline: Mapping[str, Mapping[str, Any] | str] | None = None,
        attached: Sequence[str] = (),
        boundary: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Make a role and return its ARN; a document given as text is kept byte for byte."""
        raise NotImplementedError

    def set_role(self, arn: str, **changes: Any) -> str:
        """Change trust, max_session_s, inline, attached, boundary or tags of a role."""
        raise NotImplementedError

    def drop_role(self, arn: str) -> None:
        """Delete a role."""
        raise NotImplementedError

    def put_policy(
        self, account: str, name: str, *, document: Mapping[str, Any] | str, at: datetime
    ) -> str:
        """Make a managed policy and return its ARN."""
        raise NotImplementedError

    def put_user(
        self,
        account: str,
        name: str,
        *,
        at: datetime,
        keys: Sequence[tuple[str, str, datetime]] = (),
        inline: Mapping[str, Mapping[str, Any] | str] | None = None,
        attached: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Make a user and return its ARN; each key is (access key id, Active or Inactive, created at)."""
        raise NotImplementedError

    def put_provider(
        self,
        account: str,
        url: str,
        *,
        client_ids: Sequence[str],
        thumbprints: Sequence[str],
        at: datetime,
    ) -> str:
        """Make an OIDC provider and return its ARN."""
        raise NotImplementedError
