"""The keys that sign evidence: Ed25519, in the form that ssh-keygen reads.

A key is pinned by its fingerprint, outside of what it signs. When one key takes another's place, both sign that; the
statement is an entry of the ledger, and `auditor.verify` follows it.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor import verify
from auditor.errors import ConfigError, UsageError
from auditor.ledger.values import stamp

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from auditor.ledger import Entry, Ledger


@dataclass(frozen=True, slots=True)
class Key:
    """A private key at hand; what it shows of itself is its public half."""

    public: bytes
    """The 32 bytes of RFC 8032."""
    _private: Ed25519PrivateKey = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`, as `ssh-keygen -lf` prints it."""
        return fingerprint(self.public)

    @property
    def openssh(self) -> str:
        """The public key as one OpenSSH line."""
        return verify.openssh(self.public)

    @property
    def pem(self) -> str:
        """The public key as PEM."""
        return verify.pem(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the raw Ed25519 signature of a message, 64 bytes."""
        return self._private.sign(message)

    def ssh_signature(self, message: bytes) -> str:
        """Return the SSHSIG signature of a message, for `ssh-keygen -Y verify -n auditor-evidence`."""
        return verify.ssh_signature(self.public, self.sign(verify.ssh_signed(message)))


def new(path: Path) -> str:
    """Make a key and keep it at `path`, readable by its owner alone; returns its fingerprint.

    The public half is written beside it, as `<path>.pub`. UsageError when either is there already.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    beside = path.with_name(f"{path.name}.pub")
    key = Key(private.public_key().public_bytes_raw(), private)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    if beside.exists():
        raise _taken(beside)
    path.parent.mkdir(parents=True, exist_ok=True)
    _create(path, secret, 0o600)
    _create(beside, f"{key.openssh} auditor-evidence\n".encode(), 0o644)
    return key.fingerprint


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet: never through a link, never over another."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)


def _taken(path: Path) -> UsageError:
    return UsageError(
        f"{path} is there already",
        remedy="A key is never overwritten: what it signed could not be verified any more. Name another file.",
    )


def load(ref: str | Path) -> Key:
    """Load a private key from a path, `file:PATH` or `env:NAME`; ConfigError says why one cannot be used."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    from auditor.config import secret

    named = str(ref)
    if "PRIVATE KEY" in named:
        raise ConfigError(
            "a private key stands where its reference must stand",
            remedy="Keep it in a file of mode 0600 and name that, file:PATH. Whoever saw it may sign with it: rotate it.",
        )
    text = (
        secret(named if named.startswith(("env:", "file:")) else f"file:{named}").replace("\r\n", "\n") + "\n"
    )
    read: Any = load_ssh_private_key if "BEGIN OPENSSH PRIVATE KEY" in text else load_pem_private_key
    try:
        private = read(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        locked = isinstance(error, TypeError) or "password" in str(error).lower()
        said = "it is locked with a passphrase" if locked else "it is no private key"
        raise ConfigError(
            f"{named}: the key cannot be used: {said}", remedy="`auditor key new FILE` makes one."
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(
            f"{named}: the key is not an Ed25519 key", remedy="`auditor key new FILE` makes one."
        )
    return Key(private.public_key().public_bytes_raw(), private)


def fingerprint(public: bytes) -> str:
    """Return the fingerprint of a raw public key."""
    return verify.fingerprint(public)


def public_of(path: Path) -> bytes:
    """Return the raw public key of a file that holds an OpenSSH line or a PEM; UsageError when it holds neither."""
    try:
        return verify.public_key(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from None


def rotate(ledger: Ledger, old: Key, new: Key, now: datetime) -> Entry:
    """Enter that `new` takes the place of `old`, signed by both; bundles are signed by `new` from now on."""
    if old.public == new.public:
        raise UsageError("a key cannot take its own place")
    gone = {entry.body["old"]: entry for entry in ledger.entries(kind="key")}
    if old.openssh in gone:
        raise UsageError(
            f"{old.fingerprint} gave its place to another key at {stamp(gone[old.openssh].at)}",
            remedy="Rotate the key that has it now.",
        )
    if new.openssh in gone:
        raise UsageError(f"{new.fingerprint} gave its place to another key before; make a new one")
    message = verify.rotation(stamp(now), old.openssh, new.openssh)
    body = {
        "at": stamp(now),
        "old": old.openssh,
        "new": new.openssh,
        "old_fingerprint": old.fingerprint,
        "new_fingerprint": new.fingerprint,
        "signed_by_old": base64.b64encode(old.sign(message)).decode(),
        "signed_by_new": base64.b64encode(new.sign(message)).decode(),
    }
    return ledger.note("key", body, now)
