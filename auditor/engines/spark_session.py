"""A Spark session that means what DuckDB means, and that never keeps a scan waiting without an end.

The master may be away, no worker may come, a worker may be lost for good: Spark itself waits for ever then. Every call
has a limit here, after which its jobs are cancelled and `EngineError` says what did not answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any, Self, TypeVar

from auditor.errors import EngineError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from auditor.config_engine import Engine as Settings

_T = TypeVar("_T")

MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.caseSensitive": "false",
    # A file that is gone or damaged is never an empty one.
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
}
"""What a session is told, whatever the cluster's own defaults are: results may not depend on them."""
_QUIET = {
    "spark.ui.showConsoleProgress": "false",
    # Else the end of a session may wait two minutes for a broadcast to be forgotten.
    "spark.cleaner.referenceTracking.blocking": "false",
}
_OLDEST = 4
"""The first major version of Spark whose SQL was compared."""
_LAUNCHES = 3
_REMEDY = "See docs/spark.md; the next scan that reaches it completes, and DuckDB judges any snapshot too."


class Session:
    """A session of Spark, and the limits within which it has to answer."""

    def __init__(self, settings: Settings) -> None:
        """Open it; EngineError when nothing answers within `settings.wait`, UsageError without pyspark."""
        self._settings = settings
        self.where = settings.remote or settings.master or "the session of this job"
        self._own = self._hung = False
        self._channel: Any = None
        """What Spark Connect talks over."""
        self._failures = _failures(connect=bool(settings.remote))
        _reach(self.where)
        self.spark: SparkSession = self.within(
            settings.wait, "opening a session", self._connect if settings.remote else self._open
        )
        try:
            self.within(settings.wait, "the first job", self._begin)
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        """Say what the session's SQL means, and see that it has a worker."""
        version = self.spark.version
        if int(version.partition(".")[0]) < _OLDEST:
            raise OSError(f"it is Spark {version}, and {_OLDEST} or newer is needed")
        for key, value in MEANING.items():
            if self.spark.conf.get(key) != value:
                self.spark.conf.set(key, value)
        self.spark.range(1).count()

    def _open(self) -> SparkSession:
        from pyspark import SparkContext
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession

        if SparkContext._active_spark_context is not None:  # noqa: SLF001
            return SparkSession.builder.getOrCreate().newSession()  # whose it is, ends it
        builder = SparkSession.builder.appName("auditor")
        for key, value in sorted({**_QUIET, **self._settings.options}.items()):
            builder = builder.config(key, value)
        if self._settings.master:
            builder = builder.master(self._settings.master)
        self._own = True
        launches = 0
        while True:
            launches += 1
            try:
                return builder.getOrCreate()
            except PySparkException as error:
                # A JVM that ended before it named its port began nothing. Now and then one does where threads of gRPC ran
                # in this process when it was forked.
                if "JAVA_GATEWAY_EXITED" not in str(error) or launches == _LAUNCHES:
                    raise

    def _connect(self) -> Any:
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.session import SparkSession

        session = self

        class Kept(DefaultChannelBuilder):
            """A channel that can be closed: whatever waits on it ends then, at the end of the process too."""

            def toChannel(self) -> Any:  # noqa: N802
                session._channel = super().toChannel()
                return session._channel

        builder = SparkSession.builder.channelBuilder(Kept(self._settings.remote))
        for key, value in sorted(self._settings.options.items()):
            builder = builder.config(key, value)
        self._own = True
        return builder.create()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, if it was opened here and still answers."""
        if self._own and not self._hung and hasattr(self, "spark"):
            ending = Thread(target=self._quietly, args=(self.spark.stop,), daemon=True)
            ending.start()
            ending.join(_END_S)
        self._own = False

    def _quietly(self, call: Callable[[], object]) -> None:
        try:
            call()
        except self._failures:
            return  # it is gone already

    def step(self, what: str, call: Callable[[], _T]) -> _T:
        """Return what a call about a step returns; EngineError after `settings.step` seconds."""
        return self.within(self._settings.step, what, call)

    def within(self, seconds: int, what: str, call: Callable[[], _T]) -> _T:
        """Return what `call` returns; EngineError when it fails, or has not within so many seconds."""
        found: list[_T] = []
        failed: list[Exception] = []

        def run() -> None:
            try:
                found.append(call())
            except self._failures as error:
                failed.append(error)

        worker = Thread(target=run, daemon=True, name="spark")
        worker.start()
        worker.join(seconds)
        if found:
            return found[0]
        if failed:
            raise EngineError(f"Spark ({self.where}) failed in {what}: {_said(failed[0])}", remedy=_REMEDY)
        if worker.is_alive():
            self._hung = True
            self._cancel()
            raise EngineError(
                f"Spark ({self.where}) did not answer within {seconds} s: {what} has not ended",
                remedy=_REMEDY,
            )
        raise EngineError(f"Spark ({self.where}) gave nothing back from {what}", remedy=_REMEDY)

    def _cancel(self) -> None:
        """Cancel what runs, without waiting for an answer."""
        if self._channel is not None:
            Thread(target=self._quietly, args=(self._give_up,), daemon=True).start()
        elif hasattr(self, "spark"):
            Thread(target=self._quietly, args=(self.spark.sparkContext.cancelAllJobs,), daemon=True).start()

    def _give_up(self) -> None:
        self._channel.close()


def _failures(*, connect: bool) -> tuple[type[Exception], ...]:
    """Return what Spark raises when it fails; UsageError when what it needs here is not installed."""
    import warnings

    found: list[type[Exception]] = [OSError]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of versions of pandas that we hand nothing to
            from py4j.protocol import Py4JError
            from pyspark.errors import PySparkException

            found += [Py4JError, PySparkException]
            if connect:
                import pyspark.sql.connect.session  # noqa: F401
                from grpc import RpcError

                found += [RpcError, ValueError]  # what a closed channel says
    except ImportError as error:
        extra = "spark-connect" if connect else "spark"
        raise UsageError(
            f'[engine] name is "spark", and what it needs is not installed: {_said(error)}',
            remedy=f'Install it: pip install "auditor[{extra}]".',
        ) from None
    return tuple(found)


def _reach(where: str) -> None:
    """See that something listens where the master or the server is; EngineError when nothing does.

    Spark asks a master three times, twenty seconds apart, before it says so.
    """
    scheme, separator, rest = where.partition("://")
    if not separator or scheme not in ("spark", "sc"):
        return
    said = []
    for address in rest.split("/", 1)[0].split(";", 1)[0].split(","):
        host, _, port = address.rpartition(":")
        host, port = (
            (host, port) if host and port.isdigit() else (address, "15002" if scheme == "sc" else "7077")
        )
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
        except OSError as error:
            said.append(f"{address}: {error.strerror or error}")
        else:
            return
    raise EngineError(f"Spark is not reached at {where} ({'; '.join(said)})", remedy=_REMEDY)


_CONNECT_S = 10
_END_S = 60


def _said(error: Exception) -> str:
    """Return what went wrong in a line: the cause that Java names, without its stack."""
    told = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in told if line.startswith(("Caused by:", ": "))), told[0] if told else "")
    return (cause.removeprefix("Caused by:").removeprefix(":").strip() or type(error).__name__)[:300]


def java_of(spark: Any) -> Any:
    """Return the Java side of a session that is not Spark Connect."""
    return spark.sparkContext._jvm  # noqa: SLF001
