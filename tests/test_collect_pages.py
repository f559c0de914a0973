"""What was asked is in the manifest, and kept whole when the configuration says so."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditor.collect import collect
from auditor.errors import VerificationError
from auditor.model import Window
from auditor.sandbox.aws import AwsCloud
from auditor.snapshot import Snapshot
from auditor.sources import aws_backup
from auditor.sources.clients import Access, Clients

NOW = datetime(2026, 1, 26, 6, tzinfo=UTC)
ACCOUNT, REGION = "111111111111", "eu-west-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsCloud]:
    cloud = AwsCloud(account=ACCOUNT)
    cloud.start()
    cloud.clock(NOW)
    cloud.put_vault(ACCOUNT, REGION, "main", at=NOW - timedelta(days=9))
    cloud.put_bucket(ACCOUNT, REGION, "exports-a", at=NOW - timedelta(days=9))
    cloud.put_object("exports-a", "a/_SUCCESS", b"whole body", at=NOW - timedelta(days=2))
    yield cloud
    cloud.stop()


def scan(aws: AwsCloud, into: Path, *, keep_raw: bool = False) -> Snapshot:
    account = SimpleNamespace(id=ACCOUNT, role_arn="", regions=(REGION,))
    config: Any = SimpleNamespace(
        aws=SimpleNamespace(endpoint=aws.endpoint, accounts=(account,)),
        gcp=SimpleNamespace(endpoint=""),
        sources={"aws_backup": aws_backup.Settings()},
        limits=SimpleNamespace(keep_raw=keep_raw),
    )
    window = Window(NOW - timedelta(days=7), NOW)
    sources: Any = {"aws_backup": aws_backup}
    return collect(config, now=NOW, window=window, into=into, sources=sources)


def test_two_scans_of_the_same_estate_have_the_same_id(aws: AwsCloud, tmp_path: Path) -> None:
    first, second = scan(aws, tmp_path / "a"), scan(aws, tmp_path / "b")
    assert first.id == second.id
    first.joined({}).verify()


def test_the_manifest_says_what_was_asked_where_and_what_came(aws: AwsCloud, tmp_path: Path) -> None:
    manifest = scan(aws, tmp_path).manifest
    (query,) = [q for q in manifest["queries"] if q["operation"] == "ListBackupVaults"]
    assert (query["account"], query["region"], query["rows"]) == (ACCOUNT, REGION, 1)
    assert manifest["calls"]["backup:ListBackupVaults"] == 1
    assert manifest["refused"] == {
        "backup:GetBackupVaultAccessPolicy": 1,
        "backup:GetBackupVaultNotifications": 1,
    }
    assert manifest["endpoints"] == {"aws": "http://127.0.0.1", "gcp": ""}
    assert manifest["window"]["until"] == "2026-01-26T06:00:00.000000Z"
    assert manifest["gaps"] == 0


def test_pages_kept_whole_are_named_by_what_they_are_and_checked(aws: AwsCloud, tmp_path: Path) -> None:
    assert not (scan(aws, tmp_path / "without").dir / "raw").exists()
    snapshot = scan(aws, tmp_path / "with", keep_raw=True).joined({})
    kept = sorted((snapshot.dir / "raw").iterdir())
    assert len(kept) > 3
    for path in kept:
        body = gzip.decompress(path.read_bytes())
        assert hashlib.sha256(body).hexdigest() == path.name.removesuffix(".gz")
    snapshot.verify()
    kept[0].write_bytes(gzip.compress(b"forged"))
    with pytest.raises(VerificationError, match=f"raw/{kept[0].name} has changed"):
        snapshot.verify()


def test_a_streamed_body_is_recorded_as_it_is_read(aws: AwsCloud) -> None:
    clients = Clients(Access(aws_endpoint=aws.endpoint), source="aws_s3")
    s3 = clients.aws("s3", ACCOUNT, REGION)
    body = s3.get_object(Bucket="exports-a", Key="a/_SUCCESS")["Body"].read()
    assert body == b"whole body"
    (query,) = clients.pages.queries()
    assert (query["operation"], query["bytes"]) == ("GetObject", 10)


def test_one_client_serves_all_threads_of_a_place() -> None:
    clients = Clients(Access(aws_endpoint="http://127.0.0.1:9"))
    first = clients.aws("backup", ACCOUNT, REGION)
    assert clients.aws("backup", ACCOUNT, REGION) is first
    assert clients.aws("backup", ACCOUNT, "eu-central-1") is not first
    assert clients.for_source("other").aws("backup", ACCOUNT, REGION) is not first
