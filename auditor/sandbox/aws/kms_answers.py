"""KMS's answers about the keys in our books."""

from __future__ import annotations

from auditor.sandbox.aws.books import Here, Params, Record, Refused
from auditor.sandbox.aws.judge import only


def _key(here: Here, name: str) -> Record:
    """Return a key by any of its names; raises Refused."""
    if name.count(":") < 5:
        kind = "" if name.startswith("alias/") else "key/"
        name = f"arn:aws:kms:{here.region}:{here.account}:{kind}{name}"
    found = here.books.keys.get(name)
    for key in () if found else here.books.keys.values():
        if name in key["aliases"]:
            found = key
    if found is None:
        word = "Alias" if ":alias/" in name else "Key"
        raise Refused("NotFoundException", f"{word} '{name}' does not exist", 400)
    if found["AWSAccountId"] != here.account and here.account not in found["policy"]:
        words = f"User: {here.account} is not authorized to perform this on {found['Arn']}"
        raise Refused("AccessDeniedException", words, 400)
    return found


def describe_key(here: Here, asked: Params) -> Record:
    """Give a key's metadata."""
    return {"KeyMetadata": only("kms", "KeyMetadata", _key(here, asked["KeyId"]))}


def get_key_rotation_status(here: Here, asked: Params) -> Record:
    """Give whether a key rotates; KMS refuses to say of a key that cannot."""
    key = _key(here, asked["KeyId"])
    if key["KeySpec"] != "SYMMETRIC_DEFAULT":
        raise Refused("UnsupportedOperationException", f"{key['Arn']} is not a symmetric key", 400)
    if key["KeyState"] == "PendingDeletion":
        raise Refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion.", 400)
    return {"KeyRotationEnabled": bool(key["rotation"]), "KeyId": key["Arn"]}


def get_key_policy(here: Here, asked: Params) -> Record:
    """Give the policy of a key."""
    return {"Policy": _key(here, asked["KeyId"])["policy"], "PolicyName": "default"}
