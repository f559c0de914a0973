"""Seed IAM: roles, users with their keys, and identity providers, every time given by the caller."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from auditor.sandbox.aws.books import Books, derived_id
from auditor.sandbox.aws.moto_world import MotoWorld, moto


class IamSeeds:
    """Put and change identities, without a request."""

    books: Books
    world: MotoWorld

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
        with self.world.entered():
            backend = _backend(account)
            role = moto("iam.models").Role(
                account_id=account,
                partition="aws",
                role_id=derived_id("AROA", account, name),
                name=name,
                assume_role_policy_document="",
                path="/",
                permissions_boundary=None,
                description="",
                tags=[],
                max_session_duration="3600",
            )
            role.create_date = _naive(at)
            backend.roles[role.id] = role
            arn = str(role.arn)
        return self.set_role(
            arn,
            trust=trust,
            max_session_s=max_session_s,
            inline=inline or {},
            attached=attached,
            boundary=boundary,
            tags=tags or {},
        )

    def set_role(self, arn: str, **changes: Any) -> str:
        """Change trust, max_session_s, inline, attached, boundary or tags of a role."""
        with self.world.entered():
            backend = _backend(arn.split(":")[4])
            role = backend.get_role_by_arn(arn)
            for setting, value in changes.items():
                if setting == "trust":
                    role.assume_role_policy_document = _text(value)
                elif setting == "max_session_s":
                    role.max_session_duration = str(value)
                elif setting == "inline":
                    role.policies = {name: _text(document) for name, document in value.items()}
                elif setting == "attached":
                    role.managed_policies = {policy: _policy(backend, policy) for policy in value}
                elif setting == "boundary":
                    role.permissions_boundary_arn = value
                elif setting == "tags":
                    role.tags = [{"Key": key, "Value": text} for key, text in sorted(value.items())]
                else:
                    raise TypeError(f"a role has no setting {setting!r}")
        return arn

    def drop_role(self, arn: str) -> None:
        """Delete a role."""
        with self.world.entered():
            backend = _backend(arn.split(":")[4])
            del backend.roles[backend.get_role_by_arn(arn).id]

    def put_policy(self, account: str, name: str, *, document: Mapping[str, Any] | str, at: datetime) -> str:
        """Make a managed policy and return its ARN."""
        with self.world.entered():
            policy = moto("iam.models").ManagedPolicy(
                name,
                account_id=account,
                region="us-east-1",
                document=_text(document),
                create_date=_naive(at),
                update_date=_naive(at),
            )
            policy.id = derived_id("ANPA", account, name)
            _backend(account).managed_policies[policy.arn] = policy
            return str(policy.arn)

    def set_policy(self, arn: str, *, document: Mapping[str, Any] | str, at: datetime) -> None:
        """Give a managed policy a new default version."""
        with self.world.entered():
            policy = _backend(arn.split(":")[4]).managed_policies[arn]
            for version in policy.versions:
                version.is_default = False
            policy.update_date = _naive(at)
            number = f"v{policy.next_version_num}"
            policy.versions.append(
                moto("iam.models").PolicyVersion(
                    arn, _text(document), is_default=True, version_id=number, create_date=_naive(at)
                )
            )
            policy.default_version_id = number
            policy.next_version_num += 1

    def put_aws_policy(self, name: str, *, document: Mapping[str, Any] | str) -> str:
        """Show the document of a policy of AWS's own wherever it is attached, and return its ARN."""
        arn = f"arn:aws:iam::aws:policy/{name}"
        self.books.aws_policies[arn] = _text(document)
        return arn

    def put_group(
        self,
        account: str,
        name: str,
        *,
        at: datetime,
        users: Sequence[str] = (),
        inline: Mapping[str, Mapping[str, Any] | str] | None = None,
        attached: Sequence[str] = (),
    ) -> None:
        """Make a group of users that are there."""
        with self.world.entered():
            backend = _backend(account)
            group = moto("iam.models").Group(account, "us-east-1", name)
            group.id = derived_id("AGPA", account, name)
            group.create_date = _naive(at)
            group.policies = {policy: _text(document) for policy, document in (inline or {}).items()}
            group.managed_policies = {policy: _policy(backend, policy) for policy in attached}
            group.users = [backend.users[user] for user in users]
            backend.groups[name] = group

    def put_user(
        self,
        account: str,
        name: str,
        *,
        at: datetime,
        keys: Sequence[tuple[str, str, datetime]] = (),
        inline: Mapping[str, Mapping[str, Any] | str] | None = None,
        attached: Sequence[str] = (),
        boundary: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Make a user and return its ARN; each key is (access key id, Active or Inactive, created at)."""
        with self.world.entered():
            backend = _backend(account)
            user = moto("iam.models").User(account, "us-east-1", name)
            user.id = derived_id("AIDA", account, name)
            user.create_date = _naive(at)
            user.policies = {policy: _text(document) for policy, document in (inline or {}).items()}
            user.managed_policies = {policy: _policy(backend, policy) for policy in attached}
            user.permissions_boundary_arn = boundary
            backend.users[name] = user
            backend.tagger.tag_resource(
                user.arn,
                [{"Key": key, "Value": text} for key, text in sorted((tags or {}).items())],
            )
            for key_id, status, created_at in keys:
                key = moto("iam.models").AccessKey(name, prefix="AKIA", account_id=account, status=status)
                key.access_key_id = key_id
                key.create_date = _naive(created_at)
                user.access_keys.append(key)
                backend.access_keys[key_id] = key
                self.books.user_keys[key_id] = account
            return str(user.arn)

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
        with self.world.entered():
            provider = moto("iam.models").OpenIDConnectProvider(
                account, "us-east-1", url, list(thumbprints), list(client_ids), {}
            )
            provider.create_date = _naive(at)
            _backend(account).open_id_providers[provider.arn] = provider
            return str(provider.arn)

    def use_key(self, key_id: str, *, at: datetime, service: str = "s3", region: str = "us-east-1") -> None:
        """Say when a user's access key was last used."""
        self.books.keys_used[key_id] = {
            "LastUsedDate": at,
            "ServiceName": service,
            "Region": region,
        }


def _backend(account: str) -> Any:
    return moto("iam.models").iam_backends[account]["aws"]


def _policy(backend: Any, arn: str) -> Any:
    """Return a managed policy to attach; AWS's own are known by their ARN alone."""
    if arn in backend.managed_policies:
        return backend.managed_policies[arn]
    if not arn.startswith("arn:aws:iam::aws:policy/"):
        raise KeyError(f"no managed policy {arn}; put it first")
    path, name = ("/" + arn.split(":policy/", 1)[1]).rsplit("/", 1)
    return moto("iam.models").ManagedPolicy(
        name, account_id="aws", region="us-east-1", path=f"{path}/", document="{}"
    )


def _text(document: Mapping[str, Any] | str) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _naive(at: datetime) -> datetime:
    """Return a time as moto keeps it: UTC without saying so."""
    return at.astimezone(UTC).replace(tzinfo=None)
