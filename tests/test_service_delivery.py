"""The weekly report and bundle reach S3 and mail with the ledger's head as a receipt, and once."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
import report_world
from alert_case import certificates, out
from cli_case import answer, run
from test_alerts_mail import Mailbox, serving

from auditor import delivery, keys, verify
from auditor.alerts.channels import mail
from auditor.config_service import Delivery
from auditor.delivery import Parcel, Put
from auditor.errors import AuditorError
from auditor.ledger import Ledger

pytest.importorskip("moto")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NOW = datetime(2026, 2, 9, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Any]:
    from sandbox_aws_clients import client

    from auditor.sandbox.aws import AwsCloud

    started = AwsCloud(judged=False)
    started.start()
    s3 = client(started, "s3", region="us-east-1")
    s3.create_bucket(Bucket="plain")
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket="strict", ObjectLockEnabledForBucket=True)
    s3.put_object_lock_configuration(
        Bucket="locked", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket="strict", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    yield started, s3
    started.stop()


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    (tmp_path / "weekly-2026-02-09.html").write_text("<p>report é")
    (tmp_path / "evidence.zip").write_bytes(b"PK")
    return Parcel(
        "Acme",
        NOW - timedelta(days=7),
        NOW,
        tmp_path / "weekly-2026-02-09.html",
        tmp_path / "evidence.zip",
        17,
        "ab" * 32,
        "SHA256:key",
        complete=True,
    )


@pytest.mark.parametrize(
    ("bucket", "lock", "mode"),
    [
        ("locked", 40 * 86400, "GOVERNANCE"),
        ("strict", 40 * 86400, "COMPLIANCE"),
        ("plain", 40 * 86400, None),
        ("locked", 0, None),
    ],
)
def test_what_is_put_carries_the_head_and_is_locked_where_the_bucket_has_object_lock(
    cloud: Any, parcel: Parcel, bucket: str, lock: int, mode: str | None
) -> None:
    _, s3 = cloud
    done = delivery.put(Delivery(s3=f"s3://{bucket}/audit/{lock}/", lock=lock), parcel, s3, NOW)
    assert done.kind == ("object-lock" if mode else "other")
    for name in ("weekly-2026-02-09.html", "evidence.zip"):
        head = s3.head_object(Bucket=bucket, Key=f"audit/{lock}/{name}")
        assert head["Metadata"]["auditor-head"] == "ab" * 32
        assert head["Metadata"]["auditor-entries"] == "17"
        assert head.get("ObjectLockMode") == mode
        if mode:
            assert head["ObjectLockRetainUntilDate"] == NOW + timedelta(days=40)
    key = done.place.removeprefix(f"s3://{bucket}/")
    receipt = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert (receipt["entries"], receipt["head"], receipt["key"]) == (17, "ab" * 32, "SHA256:key")
    assert receipt["files"]["evidence.zip"] == delivery.sha256(cast("Path", parcel.bundle))


def test_a_bucket_that_is_not_there_is_a_sentence(cloud: Any, parcel: Parcel) -> None:
    with pytest.raises(
        AuditorError, match="s3://nowhere-at-all: the report could not be put there"
    ) as raised:
        delivery.put(Delivery(s3="s3://nowhere-at-all", lock=0), parcel, cloud[1], NOW)
    assert "auditor permissions --for delivery" in raised.value.remedy


def settings(port: int) -> mail.Settings:
    return mail.Settings(host="localhost", port=port, sender="auditor@example.com", to=("a@example.com",))


def test_a_mail_has_the_report_the_receipt_and_how_to_verify(parcel: Parcel) -> None:
    box = Mailbox()
    with serving(box) as port:
        wanted = Delivery(mail="people", to=("board@example.com",))
        done = delivery.send(
            settings(port), wanted, parcel, out(("127.0.0.1/32", "localhost")), put_to="s3://b/p", now=NOW
        )
    (envelope,) = box.got
    assert envelope.rcpt_tos == ["board@example.com"]
    made = cast(
        "EmailMessage", email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
    )
    assert made["Subject"] == "[auditor] Weekly report 2026-02-02..2026-02-09"
    assert made["X-Auditor-Head"].strip() == "ab" * 32
    assert f"mid:{made['Message-ID'].strip('<>')}" == done.place
    text = made.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert f"Receipt: entries 17, head {'ab' * 32}" in text
    assert "both at s3://b/p" in text
    assert "auditor bundle verify evidence.zip --key SHA256:key" in text
    (attached,) = made.iter_attachments()
    assert attached.get_filename() == "weekly-2026-02-09.html"
    assert "report é" in attached.get_content()


def test_a_report_that_is_too_large_or_incomplete_says_so(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LARGEST_ATTACHMENT", 3)
    half = replace(parcel, complete=False, bundle=None)
    made = email.message_from_bytes(
        delivery.message(settings(1), half, "mid:x@y", "", NOW), policy=email.policy.default
    )
    assert made["Subject"].endswith("(incomplete)")
    text = cast("EmailMessage", made).get_content()
    assert "is too large to attach" in text
    assert "what could not be seen" in text


def test_one_place_that_fails_does_not_hold_up_the_other_and_what_arrived_is_not_sent_again(
    cloud: Any, parcel: Parcel
) -> None:
    entered: list[Put] = []
    box = Mailbox()
    with serving(box) as port:

        def deliver(bucket: str) -> list[Put]:
            return delivery.deliver(
                Delivery(mail="people", s3=f"s3://{bucket}/once"),
                parcel,
                mailer=settings(port),
                out=out(("127.0.0.1/32", "localhost")),
                s3=lambda: cloud[1],
                known={one.place for one in entered},
                enter=entered.append,
                now=NOW,
            )

        with pytest.raises(AuditorError, match="nowhere"):
            deliver("nowhere")
        assert [one.kind for one in entered] == ["mail"]
        assert [one.kind for one in deliver("locked")] == ["object-lock"]
        assert deliver("locked") == []
    assert len(box.got) == 1


def test_a_week_is_written_once_delivered_once_and_its_receipts_are_in_the_chain(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "111111111111")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    place = report_world.empty(tmp_path / "world")
    place.scan(report_world.hostile(), report_world.FIRST)
    place.ledger.backup(tmp_path / "world" / "state" / "ledger.sqlite3")
    place.ledger.close()
    pin = keys.new(tmp_path / "key")
    config = tmp_path / "config.toml"
    box = Mailbox()
    with serving(box) as port:
        config.write_text(
            f'[state]\ndir = "{tmp_path}/world/state"\n[report]\ndir = "{tmp_path}/reports"\n'
            f'[signing]\nkey = "file:{tmp_path}/key"\nbundles = "{tmp_path}/bundles"\n'
            f'[aws]\nendpoint = "{cloud[0].endpoint}"\n'
            f'[alerts]\nallow = ["127.0.0.1/32", "localhost"]\nca_file = "{certificates()[0]}"\n'
            f'[alerts.people]\nchannel = "mail"\nhost = "localhost"\nport = {port}\nsender = "auditor@example.com"\n'
            'to = ["a@example.com"]\n[delivery]\nmail = "people"\ns3 = "s3://locked/acme"\n'
        )
        words = ["report", "deliver", "--to", "2026-01-13"]
        (row,) = answer(*words, config=config)["rows"]
        (again,) = answer(*words, config=config)["rows"]
    assert [one["kind"] for one in row["delivered"]] == ["object-lock", "mail"]
    assert again["delivered"] == []
    assert (again["report"], again["bundle"]) == (row["report"], row["bundle"])
    assert len(box.got) == 1
    with Ledger.open(tmp_path / "world" / "state" / "ledger.sqlite3") as ledger:
        assert ledger.verify().because == ""
        receipts = ledger.receipts(datetime(2027, 1, 1, tzinfo=UTC))
        assert [(one["kind"], one["in_chain"], one["seq"]) for one in receipts] == [
            ("object-lock", True, row["entries"]),
            ("mail", True, row["entries"]),
        ]
        assert len(ledger.reports(datetime(2027, 1, 1, tzinfo=UTC))) == 1
    found = verify.verify(Path(row["bundle"]), pinned=[pin])
    assert found.ok, found.text
    granted = run("permissions", "--for", "delivery", "--format", "aws-policy", config=config).stdout
    for action in ("s3:PutObject", "s3:PutObjectRetention", "s3:GetBucketObjectLockConfiguration"):
        assert f'"{action}"' in granted
    assert "arn:aws:s3:::locked/acme/*" in granted
