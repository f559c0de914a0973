"""Where log files stand: a bucket of Cloud Storage, a bucket of S3, or a folder; listed and read in one way."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from auditor.canonical import canonical, safe_text
from auditor.sources.ask import Malformed, Refused, need
from auditor.sources.pages import Page

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

CHUNK = 1 << 22
"""Bytes of a file that are in memory at once, but for a line that is longer."""


@dataclass(frozen=True, slots=True)
class Named:
    """One file as it was listed."""

    name: str
    """Its key in the bucket, or its path below the folder."""
    delivered_at: datetime
    size: int
    version: str = ""
    """What names these very bytes: a generation, an entity tag."""
    crc32c: str = ""


class Place(Protocol):
    """A place of files."""

    url: str

    def files(self, under: str, first: str) -> Iterator[Named]:
        """Yield the files under a prefix whose names are `first` or later, in their order."""

    def chunks(self, file: Named) -> Iterator[bytes]:
        """Yield what is in a file; Malformed when it is not what was listed."""


def place(ask: Ask, url: str) -> Place:
    """Return the place of a URL; Refused when it is of no known kind."""
    parts = urlsplit(url)
    prefix = unquote(parts.path).lstrip("/").rstrip("/")
    prefix += "/" if prefix else ""
    if parts.scheme == "gs" and parts.netloc:
        return _Storage(ask, url, parts.netloc, prefix)
    if parts.scheme == "s3" and parts.netloc:
        return _S3(ask, url, parts.netloc, prefix)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return _Folder(ask, url, Path(unquote(parts.path)))
    raise Refused(
        "failed", f"{url} is no place of files: gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///FOLDER"
    )


class _Storage:
    """A bucket of Cloud Storage."""

    def __init__(self, ask: Ask, url: str, bucket: str, prefix: str) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        self.url, self._ask, self._bucket, self._prefix = url, ask, bucket, prefix
        endpoint = ask.settings.storage_endpoint
        options = {"api_endpoint": endpoint} if endpoint else None
        if endpoint.startswith("http://"):  # a sandbox gets no credentials, as elsewhere
            self._client = Client("sandbox", AnonymousCredentials(), client_options=options)  # type: ignore[no-untyped-call]
        else:
            self._client = Client(client_options=options)

    @property
    def _patience(self) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        patience = self._ask.settings.patience
        return {"timeout": patience.call_s, "retry": DEFAULT_RETRY.with_timeout(patience.retry_s)}

    def files(self, under: str, first: str) -> Iterator[Named]:
        """Yield the objects; each page is recorded."""
        listing = {"prefix": self._prefix + under, "start_offset": self._prefix + first}
        with _spoken():
            pages = self._client.list_blobs(self._bucket, **listing, **self._patience).pages
            for page in pages:
                found = [_of_blob(blob, self._prefix) for blob in page]
                names = canonical([[each.name, each.version] for each in found]).encode()
                self._record("objects.list", canonical(listing), names)
                yield from found

    def chunks(self, file: Named) -> Iterator[bytes]:
        """Read the generation that was listed, and check its length and CRC32C."""
        from google_crc32c import Checksum

        name, size, sha = self._prefix + file.name, 0, hashlib.sha256()
        sum_: Any = Checksum()  # type: ignore[no-untyped-call]
        with _spoken():
            blob = self._client.bucket(self._bucket).blob(name, generation=int(file.version or 0) or None)
            with blob.open("rb", chunk_size=CHUNK, **self._patience) as reader:
                while chunk := reader.read(CHUNK):
                    size += len(chunk)
                    sum_.update(chunk)
                    sha.update(chunk)
                    yield chunk
        whole = b64encode(sum_.digest()).decode()
        if size != file.size or file.crc32c not in ("", whole):
            raise Malformed(f"{size} bytes with CRC32C {whole}, listed with {file.size} and {file.crc32c}")
        self._recorded(
            Page(
                *self._about, "objects.get", canonical({"object": name}), "", "", None, size, sha.hexdigest()
            )
        )

    @property
    def _about(self) -> tuple[str, str, str]:
        return self._ask.source, "gcp", "storage"

    def _record(self, operation: str, params: str, body: bytes) -> None:
        page = Page(*self._about, operation, params, self._bucket, "", None, 0, "")
        self._ask.clients.pages.answered(page, body)
        self._ask.clients.check()

    def _recorded(self, page: Page) -> None:
        self._ask.clients.pages.streamed(page)
        self._ask.clients.check()


def _of_blob(blob: Any, prefix: str) -> Named:
    if blob.updated is None or blob.size is None:
        raise Malformed(f"the object {blob.name} has no time or no size")
    name = str(blob.name).removeprefix(prefix)
    return Named(name, blob.updated.astimezone(UTC), blob.size, str(blob.generation or ""), blob.crc32c or "")


@contextmanager
def _spoken() -> Iterator[None]:
    """Put what the transport of Cloud Storage throws in the words of gaps."""
    from google.resumable_media.common import DataCorruption, InvalidResponse
    from requests.exceptions import RequestException, Timeout

    try:
        yield
    except (DataCorruption, InvalidResponse) as error:
        raise Malformed(safe_text(str(error))[:300]) from error
    except RequestException as error:
        raise Refused(
            "hung" if isinstance(error, Timeout) else "failed", safe_text(str(error))[:300]
        ) from error


class _S3:
    """A bucket of S3, read with the role of the first account in scope."""

    def __init__(self, ask: Ask, url: str, bucket: str, prefix: str) -> None:
        self.url, self._bucket, self._prefix = url, bucket, prefix
        accounts = ask.accounts()
        if not accounts:
            raise Refused("not_configured", f"{url} is in S3, and no AWS account is in scope")
        self._client = ask.clients.aws("s3", accounts[0], (ask.regions(accounts[0]) or ("us-east-1",))[0])

    def files(self, under: str, first: str) -> Iterator[Named]:
        from auditor.sources._marked import marked

        # StartAfter leaves out the key itself; a key one character shorter comes before it.
        listing = {"Prefix": self._prefix + under, "StartAfter": (self._prefix + first)[:-1]}
        pages = marked(
            self._client.list_objects_v2,
            {"NextContinuationToken": "ContinuationToken"},
            "Name",
            "IsTruncated",
            Bucket=self._bucket,
            **listing,
        )
        for page in pages:
            for one in page.get("Contents", ()):
                name = str(need(one, "Key")).removeprefix(self._prefix)
                if name >= first:
                    yield Named(name, need(one, "LastModified"), need(one, "Size"), str(need(one, "ETag")))

    def chunks(self, file: Named) -> Iterator[bytes]:
        name = self._prefix + file.name
        body = self._client.get_object(Bucket=self._bucket, Key=name, IfMatch=file.version)["Body"]
        size = 0
        while chunk := body.read(CHUNK):
            size += len(chunk)
            yield chunk
        if size != file.size:
            raise Malformed(f"{size} bytes, listed with {file.size}")


class _Folder:
    """A folder of this machine, into which something copies the files."""

    def __init__(self, ask: Ask, url: str, folder: Path) -> None:
        self.url, self._folder, self._ask = url, folder, ask

    def files(self, under: str, first: str) -> Iterator[Named]:
        try:
            if not self._folder.is_dir():
                raise Refused("failed", f"{self._folder} is no folder")
            below = self._folder / under
            found = sorted(
                path.relative_to(self._folder).as_posix() for path in below.rglob("*") if path.is_file()
            )
            for name in found:
                if name >= first:
                    stat = (self._folder / name).stat()
                    yield Named(name, datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size)
        except OSError as error:
            raise Refused("failed", f"{self._folder} cannot be listed: {error.strerror}") from error

    def chunks(self, file: Named) -> Iterator[bytes]:
        size, sha = 0, hashlib.sha256()
        try:
            with (self._folder / file.name).open("rb") as reader:
                while chunk := reader.read(CHUNK):
                    size += len(chunk)
                    sha.update(chunk)
                    yield chunk
        except OSError as error:
            raise Refused("failed", f"it cannot be read: {error.strerror}") from error
        if size != file.size:
            raise Malformed(f"{size} bytes, listed with {file.size}: it is still being written")
        page = Page(
            self._ask.source,
            "gcp",
            "file",
            "read",
            canonical({"file": file.name}),
            "",
            "",
            None,
            size,
            sha.hexdigest(),
        )
        self._ask.clients.pages.streamed(page)
        self._ask.clients.check()


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file; the last one may have no line feed."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        yield from whole
    if left:
        yield left
