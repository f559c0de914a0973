"""Records in the shapes both clouds really use: CloudTrail records and Cloud Audit Log entries. Pure.

Shapes: the CloudTrail user guide's record contents and S3 data event pages, google.cloud.audit.AuditLog, and
"Dataproc audit logging".
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from auditor.sandbox.estate_story import ident

Json = dict[str, Any]
GOOGLE = "accounts.google.com"
AUDIENCE = "sts.acme.example"
JOBS = "google.cloud.dataproc.v1.JobController"
CLUSTERS = "google.cloud.dataproc.v1.ClusterController"


def stamp(at: datetime) -> str:
    """Return a time as both clouds write it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def mark(prefix: str, *parts: object, length: int = 16) -> str:
    """Return an id in AWS's alphabet, such as ASIA and sixteen characters."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return prefix + base64.b32encode(digest).decode()[:length]


# ------------------------------------------------------------------------------------------ CloudTrail
def _record(
    source: str, name: str, *, account: str, region: str, at: datetime, who: Json, nonce: object
) -> Json:
    return {
        "eventVersion": "1.10",
        "userIdentity": who,
        "eventTime": stamp(at),
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": region,
        "sourceIPAddress": "34.76.110.24",
        "userAgent": "aws-sdk-java/2.29.52 Linux/6.1 OpenJDK_64-Bit_Server_VM/11.0.20",
        "requestID": ident("request", source, name, at, nonce),
        "eventID": ident("event", source, name, account, region, at, nonce),
        "eventType": "AwsApiCall",
        "recipientAccountId": account,
    }


def role_arn(account: str, name: str) -> str:
    """Return the ARN of a role."""
    return f"arn:aws:iam::{account}:role/{name}"


def session_identity(
    account: str, role: str, session: str, key: str, since: datetime, *, federated: bool = True
) -> Json:
    """Return the userIdentity of an assumed role."""
    principal = mark("AROA", "role", account, role, length=17)
    context: Json = {
        "sessionIssuer": {
            "type": "Role",
            "principalId": principal,
            "arn": role_arn(account, role),
            "accountId": account,
            "userName": role,
        },
        "attributes": {"creationDate": stamp(since), "mfaAuthenticated": "false"},
    }
    if federated:
        context["webIdFederationData"] = {"federatedProvider": GOOGLE, "attributes": {}}
    return {
        "type": "AssumedRole",
        "principalId": f"{principal}:{session}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
        "accountId": account,
        "accessKeyId": key,
        "sessionContext": context,
    }


def user_identity(account: str, name: str, key: str) -> Json:
    """Return the userIdentity of a user's long-term access key."""
    return {
        "type": "IAMUser",
        "principalId": mark("AIDA", "user", account, name, length=17),
        "arn": f"arn:aws:iam::{account}:user/{name}",
        "accountId": account,
        "accessKeyId": key,
        "userName": name,
    }


def person_identity(account: str, email: str, at: datetime) -> Json:
    """Return the userIdentity of a person who came through single sign-on."""
    role = "AWSReservedSSO_Operator_4f1d0c5e2b7a9d31"
    return session_identity(
        account, role, email, mark("ASIA", email, at.date()), at - timedelta(minutes=20), federated=False
    )


def _issued(account: str, role: str, session: str, key: str | None, at: datetime, duration_s: int) -> Json:
    credentials: Json = {
        "sessionToken": "HIDDEN_DUE_TO_SECURITY_REASONS",
        "expiration": (at + timedelta(seconds=duration_s)).strftime("%b %-d, %Y, %-I:%M:%S %p"),
    }
    if key:
        credentials = {"accessKeyId": key, **credentials}
    principal = mark("AROA", "role", account, role, length=17)
    return {
        "credentials": credentials,
        "assumedRoleUser": {
            "assumedRoleId": f"{principal}:{session}",
            "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
        },
    }


def web_identity(
    account: str,
    region: str,
    *,
    role: str,
    session: str,
    subject: str,
    key: str | None,
    at: datetime,
    duration_s: int = 3600,
) -> Json:
    """Return an AssumeRoleWithWebIdentity record; `key` None leaves the accessKeyId out, as AWS may."""
    who = {
        "type": "WebIdentityUser",
        "principalId": f"{GOOGLE}:{AUDIENCE}:{subject}",
        "userName": subject,
        "identityProvider": GOOGLE,
    }
    record = _record(
        "sts", "AssumeRoleWithWebIdentity", account=account, region=region, at=at, who=who,
        nonce=f"{session}/{subject}/{key}",
    )  # fmt: skip
    return record | {
        "requestParameters": {
            "roleArn": role_arn(account, role),
            "roleSessionName": session,
            "durationSeconds": duration_s,
        },
        "responseElements": {
            **_issued(account, role, session, key, at, duration_s),
            "subjectFromWebIdentityToken": subject,
            "provider": GOOGLE,
            "audience": AUDIENCE,
        },
        "readOnly": True,
        "resources": [{"accountId": account, "type": "AWS::IAM::Role", "ARN": role_arn(account, role)}],
        "managementEvent": True,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"sts.{region}.amazonaws.com",
        },
    }


def chained(account: str, region: str, *, who: Json, role: str, session: str, key: str, at: datetime) -> Json:
    """Return an AssumeRole record made with the credentials of another session."""
    record = _record("sts", "AssumeRole", account=account, region=region, at=at, who=who, nonce=key)
    return record | {
        "requestParameters": {"roleArn": role_arn(account, role), "roleSessionName": session},
        "responseElements": _issued(account, role, session, key, at, 3600),
        "readOnly": True,
        "resources": [{"accountId": account, "type": "AWS::IAM::Role", "ARN": role_arn(account, role)}],
        "managementEvent": True,
        "eventCategory": "Management",
    }


def object_event(
    account: str,
    region: str,
    name: str,
    *,
    bucket: str,
    key: str,
    version: str | None,
    size: int,
    who: Json,
    at: datetime,
    encryption: str = "aws:kms",
    kms_key: str | None = None,
) -> Json:
    """Return an S3 data event: PutObject, CompleteMultipartUpload or DeleteObject.

    `encryption`: what the object came to be encrypted by, SSE-C among them; `kms_key` names a key of KMS.
    """
    record = _record(
        "s3", name, account=account, region=region, at=at, who=who, nonce=f"{bucket}/{key}@{version}"
    )
    sse = "x-amz-server-side-encryption"
    response: Json = {sse: encryption}
    if kms_key:
        response[f"{sse}-aws-kms-key-id"] = kms_key
    if encryption == "SSE-C":
        response = {f"{sse}-customer-algorithm": "AES256"}
    if version and version != "null":
        response["x-amz-version-id"] = version
    if name == "DeleteObject":
        response = {"x-amz-delete-marker": "true", **({"x-amz-version-id": version} if version else {})}
    return record | {
        "requestParameters": {
            "bucketName": bucket,
            "Host": f"{bucket}.s3.{region}.amazonaws.com",
            "key": key,
        },
        "responseElements": response,
        "additionalEventData": {
            "SignatureVersion": "SigV4",
            "AuthenticationMethod": "AuthHeader",
            "bytesTransferredIn": float(size) if name == "PutObject" else 0.0,
            "bytesTransferredOut": 0.0,
        },
        "readOnly": False,
        "resources": [
            {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"},
            {"accountId": account, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"},
        ],
        "managementEvent": False,
        "eventCategory": "Data",
    }


def data_key(account: str, region: str) -> str:
    """Return the key that the buckets of an account and region are encrypted with, where the story names no other."""
    return f"arn:aws:kms:{region}:{account}:key/{ident('key', account, region, 'data')}"


def change(
    account: str,
    region: str,
    call: str,
    *,
    who: Json,
    at: datetime,
    request: Json,
    resource: str = "",
    response: Json | None = None,
) -> Json:
    """Return a management write record; `call` is `service:EventName`."""
    source, _, name = call.partition(":")
    record = _record(
        source, name, account=account, region=region, at=at, who=who, nonce=sorted(map(str, request.items()))
    )
    if resource:
        record["resources"] = [{"accountId": account, "ARN": resource}]
    return record | {
        "sourceIPAddress": "198.51.100.17",
        "userAgent": "aws-cli/2.22.35 md/awscrt#0.23.4",
        "requestParameters": request,
        "responseElements": response,
        "readOnly": False,
        "managementEvent": True,
        "eventCategory": "Management",
    }


# ------------------------------------------------------------------------------------------ Cloud Logging
def audit_entry(
    project: str,
    region: str,
    method: str,
    *,
    at: datetime,
    arrives: datetime | None = None,
    email: str,
    resource_name: str,
    nonce: object,
    cluster: str = "",
    static_key: str = "",
    delegation: Sequence[str] = (),
    request: Mapping[str, Any] | None = None,
    response: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    operation: tuple[str, str] | None = None,
    permission: str = "dataproc.jobs.create",
) -> Json:
    """Return an Admin Activity entry; `operation` is (id, first or last) of a long-running pair."""
    kind = "serviceAccount" if email.endswith(".iam.gserviceaccount.com") else "user"
    who: Json = {"principalEmail": email, "principalSubject": f"{kind}:{email}"}
    if static_key:
        who["serviceAccountKeyName"] = static_key
    if delegation:
        who["serviceAccountDelegationInfo"] = [
            {"principalSubject": f"user:{each}", "firstPartyPrincipal": {"principalEmail": each}}
            for each in delegation
        ]
    payload: Json = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "serviceName": "dataproc.googleapis.com",
        "methodName": method,
        "resourceName": resource_name,
        "authenticationInfo": who,
        "authorizationInfo": [{"resource": f"projects/{project}", "permission": permission, "granted": True}],
        "requestMetadata": {
            "callerIp": "198.51.100.40",
            "callerSuppliedUserAgent": "google-cloud-sdk gcloud/504.0.1",
        },
    }
    for part, value in (("request", request), ("response", response), ("metadata", metadata)):
        if value is not None:
            payload[part] = dict(value)
    labels = {"project_id": project, "region": region, "cluster_name": cluster}
    entry: Json = {
        "logName": f"projects/{project}/logs/cloudaudit.googleapis.com%2Factivity",
        "insertId": mark("", "entry", project, method, at, nonce, operation).lower(),
        "timestamp": stamp(at),
        "receiveTimestamp": stamp(arrives or at + timedelta(seconds=2)),
        "severity": "NOTICE",
        "resource": {
            "type": "cloud_dataproc_cluster" if cluster else "audited_resource",
            "labels": {name: value for name, value in labels.items() if value},
        },
        "protoPayload": payload,
    }
    if operation:
        name, which = operation
        entry["operation"] = {"id": name, "producer": "dataproc.googleapis.com", which: True}
    return entry
