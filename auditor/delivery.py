"""Puts the weekly report and bundle where they go: S3, under Object Lock where the bucket has it, and mail.

Whoever receives them has the ledger's head with them: a receipt that nobody of the house can change afterwards. What was
delivered is entered in the ledger as such a receipt, so that a delivery that is made again leaves out what arrived before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from auditor.alerts.channels import mail
from auditor.alerts.outgoing import Out, quoted
from auditor.config_service import Delivery
from auditor.errors import AuditorError, UsageError

LARGEST_ATTACHMENT = 10_000_000
"""Bytes of a report that is attached: base64 adds a third, and mail servers take little more."""
MAIL_TIMEOUT_S = 120
_UNLOCKED = frozenset(
    {"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "MethodNotAllowed"}
)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is delivered, and the head of the ledger that goes with it."""

    organisation: str
    from_at: datetime
    to_at: datetime
    report: Path
    bundle: Path | None
    """None: the period has no scan, and so no evidence."""
    seq: int
    """Entries of the ledger."""
    head: str
    """Hash of the last of them."""
    key: str | None
    """Fingerprint that the bundle is verified against; None: it is not signed."""
    complete: bool
    """The last scan of the period saw everything."""

    @property
    def receipt(self) -> str:
        """The head as receipts name it."""
        return f"{self.seq} \N{MIDDLE DOT} {self.head[:16]}"

    @property
    def week(self) -> str:
        return f"{self.from_at:%Y-%m-%d}..{self.to_at:%Y-%m-%d}"

    def files(self) -> list[Path]:
        return [self.report, *([self.bundle] if self.bundle else [])]

    def document(self) -> dict[str, Any]:
        """Return the receipt as a document of its own."""
        return {
            "schema": "auditor.receipt/1",
            "organisation": self.organisation,
            "from": self.from_at.isoformat(),
            "to": self.to_at.isoformat(),
            "entries": self.seq,
            "head": self.head,
            "key": self.key,
            "files": {path.name: sha256(path) for path in self.files()},
        }


@dataclass(frozen=True, slots=True)
class Put:
    """One place that has it."""

    kind: str
    """`object-lock`, `mail` or `other`: as `auditor receipts` names them."""
    place: str


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# S3


def s3_place(delivery: Delivery, parcel: Parcel) -> str:
    """Return the URI of the receipt among the objects of a parcel; what says that all of it is there."""
    return f"{delivery.s3.rstrip('/')}/receipt-{parcel.to_at:%Y-%m-%d}-{sha256(parcel.report)[:12]}.json"


def put(delivery: Delivery, parcel: Parcel, client: Any, now: datetime) -> Put:
    """Put report and bundle, then the receipt that names both; AuditorError says what could not be put.

    `client` is boto3's of S3. The receipt comes last: where it is, the others are.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = delivery.s3.removeprefix("s3://").partition("/")
    folder = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
    uri = s3_place(delivery, parcel)
    try:
        locked = _lock(client, bucket, delivery, now)
        shared = {
            "ChecksumAlgorithm": "SHA256",
            "Metadata": {"auditor-entries": str(parcel.seq), "auditor-head": parcel.head},
            **locked,
        }
        for path in parcel.files():
            kind = "text/html; charset=utf-8" if path.suffix == ".html" else "application/zip"
            metadata = {**shared["Metadata"], "auditor-sha256": sha256(path)}
            client.upload_file(
                str(path),
                bucket,
                folder + path.name,
                ExtraArgs={**shared, "Metadata": metadata, "ContentType": kind},
            )
        body = json.dumps(parcel.document(), sort_keys=True, indent=2).encode() + b"\n"
        key = folder + uri.rpartition("/")[2]
        client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **shared)
    except (ClientError, BotoCoreError, Boto3Error, OSError) as error:
        raise AuditorError(
            f"{delivery.s3}: the report could not be put there: {quoted(str(error))}",
            remedy="`auditor permissions --for delivery` prints what it takes; it is tried again.",
        ) from error
    return Put("object-lock" if locked else "other", uri)


def _lock(client: Any, bucket: str, delivery: Delivery, now: datetime) -> dict[str, Any]:
    """Return the headers of Object Lock where the bucket has it on: its own mode, else governance."""
    from botocore.exceptions import ClientError

    if not delivery.lock:
        return {}
    try:
        answer = client.get_object_lock_configuration(Bucket=bucket)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _UNLOCKED:
            return {}
        raise
    found: Mapping[str, Any] = answer.get("ObjectLockConfiguration") or {}
    if found.get("ObjectLockEnabled") != "Enabled":
        return {}
    default: Mapping[str, Any] = (found.get("Rule") or {}).get("DefaultRetention") or {}
    until = (now + timedelta(seconds=delivery.lock)).replace(microsecond=0)
    return {"ObjectLockMode": default.get("Mode") or "GOVERNANCE", "ObjectLockRetainUntilDate": until}


# Mail


def mail_place(settings: mail.Settings, delivery: Delivery, parcel: Parcel) -> str:
    """Return the message's id: the same report to the same people is the same message."""
    people = ",".join(sorted(_to(settings, delivery)))
    about = hashlib.sha256(f"{sha256(parcel.report)}/{people}".encode()).hexdigest()[:32]
    return f"mid:report-{about}@{settings.sender.rpartition('@')[2]}"


def send(
    settings: mail.Settings, delivery: Delivery, parcel: Parcel, out: Out, *, put_to: str, now: datetime
) -> Put:
    """Mail the report, and say where the bundle is; AuditorError says why it could not be."""
    settings = replace(settings, to=_to(settings, delivery), timeout_s=MAIL_TIMEOUT_S)
    place = mail_place(settings, delivery, parcel)
    answer = mail.sent(settings, out, message(settings, parcel, place, put_to, now))
    if answer.ended != "delivered":
        raise AuditorError(
            f"the report could not be mailed by {settings.host}: {answer.detail}", remedy="It is tried again."
        )
    return Put("mail", place)


def _to(settings: mail.Settings, delivery: Delivery) -> tuple[str, ...]:
    return delivery.to or settings.to


def message(settings: mail.Settings, parcel: Parcel, place: str, put_to: str, now: datetime) -> bytes:
    """Return the mail: what it is about, the receipt, how to verify, and the report where it is not too large."""
    made = EmailMessage(policy=SMTP)
    whole = "" if parcel.complete else " (incomplete)"
    made["Subject"] = f"[auditor] Weekly report {parcel.week}{whole}"
    made["From"] = Address("auditor", addr_spec=settings.sender)
    made["To"] = [Address(addr_spec=each) for each in settings.to]
    made["Date"] = now
    made["Message-ID"] = f"<{place.removeprefix('mid:')}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834
    made["X-Auditor-Head"] = parcel.head
    made["X-Auditor-Entries"] = str(parcel.seq)
    size = parcel.report.stat().st_size
    made.set_content("\n".join(_lines(parcel, put_to, attached=size <= LARGEST_ATTACHMENT)) + "\n")
    if size <= LARGEST_ATTACHMENT:
        data = parcel.report.read_bytes()
        made.add_attachment(
            data, maintype="text", subtype="html", filename=parcel.report.name, params={"charset": "utf-8"}
        )
        made.set_boundary(f"=_{sha256(parcel.report)[:32]}")
    return made.as_bytes()


def _lines(parcel: Parcel, put_to: str, *, attached: bool) -> list[str]:
    signed = f" --key {parcel.key}" if parcel.key else ""
    files = [f"  {path.name}  sha256 {sha256(path)}" for path in parcel.files()]
    lines = [
        f"The weekly report of {parcel.organisation or 'this estate'}, {parcel.week}, "
        + ("is attached." if attached else "is too large to attach."),
        *(
            []
            if parcel.complete
            else ["", "The last scan was incomplete: the report says what could not be seen."]
        ),
        "",
        *files,
        *([f"  both at {put_to}"] if put_to else []),
        "",
        f"Receipt: entries {parcel.seq}, head {parcel.head}",
        "Keep this mail: it shows that the ledger had this head now. `auditor bundle verify --expect-head` compares.",
    ]
    if parcel.bundle:
        lines += ["", f"auditor bundle verify {parcel.bundle.name}{signed}"]
    return lines


# All of it


def deliver(
    delivery: Delivery,
    parcel: Parcel,
    *,
    mailer: mail.Settings | None,
    out: Out,
    s3: Callable[[], Any],
    known: set[str],
    enter: Callable[[Put], None],
    now: datetime,
) -> list[Put]:
    """Put a parcel wherever it goes and is not yet; `enter` is told of each place as soon as it has it.

    AuditorError once all were tried, when one of them failed: the others are not made to wait for it.
    """
    done: list[Put] = []
    wrong: list[str] = []
    place = s3_place(delivery, parcel) if delivery.s3 else ""
    steps: list[tuple[str, Callable[[], Put]]] = []
    if place:
        steps.append((place, lambda: put(delivery, parcel, s3(), now)))
    if mailer is not None:
        steps.append(
            (
                mail_place(mailer, delivery, parcel),
                lambda: send(mailer, delivery, parcel, out, put_to=place.rpartition("/")[0], now=now),
            )
        )
    for at, step in steps:
        if at in known:
            continue
        try:
            one = step()
        except UsageError:
            raise
        except AuditorError as error:
            wrong.append(error.what)
            continue
        enter(one)
        done.append(one)
    if wrong:
        raise AuditorError("; ".join(wrong), remedy="The rest was delivered; what failed is tried again.")
    return done


def s3_client(delivery: Delivery, endpoint: str) -> Any:
    """Return a client of S3 by the credentials at hand: those of whoever runs auditor, not of the accounts it reads."""
    import boto3
    from botocore.config import Config

    style: Any = {"addressing_style": "path"} if endpoint else {}
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 4}, user_agent_extra="auditor", s3=style
    )
    session: Any = boto3.session.Session()
    region = delivery.region or session.region_name or "us-east-1"
    return session.client("s3", region_name=region, endpoint_url=endpoint or None, config=config)
