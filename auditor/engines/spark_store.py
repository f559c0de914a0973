"""The folder that Spark's workers and this machine both see: a shared file system, or an object store.

<store>/tables/<sha256>.parquet   what was put there, named by its content; never put twice
<store>/runs/<id>/<table>/        what the steps of one judgement made; gone at its end
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from auditor.engines.spark_session import Session, java_of
from auditor.errors import EngineError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def opened(url: str, session: Session, *, connect: bool) -> Store:
    """Return the store at a URL: `file:` is a folder that every worker sees, anything else is Spark's to reach."""
    if urlsplit(url).scheme == "file":
        return SharedFolder(url, session)
    return ConnectStore(url, session) if connect else HadoopStore(url, session)


class Store:
    """Puts files where Spark reads them and brings back what it wrote."""

    def __init__(self, url: str, session: Session) -> None:
        self.url = url.rstrip("/")
        self._session = session
        self._run = f"{self.url}/runs/{uuid4().hex}"

    def result(self, table: str) -> str:
        """Return where Spark writes a table of this judgement."""
        return f"{self._run}/{table}"

    def put(self, path: Path) -> str:
        """Return the URL of a file's content in the store, put there if it was not."""
        with path.open("rb") as file:
            sha = hashlib.file_digest(file, "sha256").hexdigest()
        url = f"{self.url}/tables/{sha}.parquet"
        size = path.stat().st_size
        if self._size(url) != size:
            self._copy(path, url)
            if (there := self._size(url)) != size:
                raise EngineError(f"{path.name} is {size} bytes here and {there} in {self.url}")
        return url

    def bring(self, table: str, into: Path) -> Sequence[Path]:
        """Return the Parquet files of a result as files on this machine, some of them perhaps in `into`."""
        raise NotImplementedError

    def _size(self, url: str) -> int | None:
        """Return the bytes of what is there; None when nothing is."""
        raise NotImplementedError

    def _copy(self, path: Path, url: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Remove what this judgement made."""


class SharedFolder(Store):
    """A folder under the same path on this machine and on every worker."""

    def __init__(self, url: str, session: Session) -> None:
        super().__init__(url, session)
        self.folder = _path(url)

    def put(self, path: Path) -> str:
        """Return the URL of a file: where it lies, when that is in the store already."""
        if path.resolve().is_relative_to(self.folder.resolve()):
            return path.resolve().as_uri()
        return super().put(path)

    def bring(self, table: str, into: Path) -> Sequence[Path]:
        """Return the files where Spark wrote them."""
        del into
        return sorted(_path(self.result(table)).glob("*.parquet"))

    def _size(self, url: str) -> int | None:
        path = _path(url)
        return path.stat().st_size if path.exists() else None

    def _copy(self, path: Path, url: str) -> None:
        target = _path(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}.partial")
        try:
            shutil.copyfile(path, unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what this judgement made."""
        shutil.rmtree(_path(self._run), ignore_errors=True)


class HadoopStore(Store):
    """Whatever the cluster's own file systems reach: s3a, s3, gs, abfs, hdfs."""

    def __init__(self, url: str, session: Session) -> None:
        super().__init__(url, session)
        self._java = java_of(session.spark)
        self._configuration = session.spark.sparkContext._jsc.hadoopConfiguration()  # noqa: SLF001
        self._files: Any = session.step(
            f"opening {self.url}", lambda: self._at(self.url).getFileSystem(self._configuration)
        )

    def _at(self, url: str) -> Any:
        return self._java.org.apache.hadoop.fs.Path(url)

    def bring(self, table: str, into: Path) -> Sequence[Path]:
        """Copy the files of a result here."""

        def copy() -> list[Path]:
            found = []
            for status in self._files.listStatus(self._at(self.result(table))):
                name = str(status.getPath().getName())
                if name.endswith(".parquet"):
                    # Without a checksum file beside it.
                    self._files.copyToLocalFile(
                        False, status.getPath(), self._at((into / name).as_uri()), True
                    )
                    found.append(into / name)
            return sorted(found)

        return self._session.step(f"bringing {table}", copy)

    def _size(self, url: str) -> int | None:
        def size() -> int | None:
            at = self._at(url)
            return int(self._files.getFileStatus(at).getLen()) if self._files.exists(at) else None

        return self._session.step(f"looking for {url}", size)

    def _copy(self, path: Path, url: str) -> None:
        def copy() -> None:
            self._files.copyFromLocalFile(False, True, self._at(path.resolve().as_uri()), self._at(url))

        self._session.step(f"putting {path.name}", copy)

    def close(self) -> None:
        """Remove what this judgement made; what cannot be removed is left to the store's own lifecycle."""
        try:
            self._session.step("cleaning up", lambda: self._files.delete(self._at(self._run), True))
        except EngineError:
            return


class ConnectStore(Store):
    """An object store that only the cluster behind Spark Connect reaches: rows go through the connection."""

    def put(self, path: Path) -> str:
        """Write a file's rows by way of the server, unless all of them are there: a part is begun anew."""
        from pyarrow import Table
        from pyarrow.parquet import ParquetFile

        spark = self._session.spark
        with path.open("rb") as file:
            url = f"{self.url}/tables/{hashlib.file_digest(file, 'sha256').hexdigest()}"
        with ParquetFile(path) as parquet:
            if self._size(url) == parquet.metadata.num_rows:
                return url
            mode = "overwrite"
            for batch in parquet.iter_batches(_ROWS):
                frame = spark.createDataFrame(Table.from_batches([batch]))
                self._session.step(f"putting {path.name}", partial(frame.write.mode(mode).parquet, url))
                mode = "append"
        return url

    def _size(self, url: str) -> int | None:
        """Return the rows of what is there; None when nothing can be read."""
        try:
            return self._session.step(
                f"looking for {url}", lambda: self._session.spark.read.parquet(url).count()
            )
        except EngineError:
            return None

    def arrived(self, table: str) -> Any:
        """Return the rows of a result as an Arrow table."""
        frame: DataFrame = self._session.spark.read.parquet(self.result(table))
        return self._session.step(f"bringing {table}", frame.toArrow)


_ROWS = 100_000
"""Rows that one message to Spark Connect holds."""


def _path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))
