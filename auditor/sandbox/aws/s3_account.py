"""S3 Control's answers: the account's public access block."""

from __future__ import annotations

from auditor.sandbox.aws.books import Here, Params, Record, Refused


def _own(here: Here, asked: Params) -> str:
    if asked["AccountId"] != here.account:
        raise Refused("AccessDenied", "Access Denied", 403)
    return here.account


def get_public_access_block(here: Here, asked: Params) -> Record:
    """Give the account's public access block; an account without says so by an error."""
    found = here.books.public_blocks.get(_own(here, asked))
    if found is None:
        code = "NoSuchPublicAccessBlockConfiguration"
        raise Refused(code, "The public access block configuration was not found", 404)
    return {"PublicAccessBlockConfiguration": found}


def put_public_access_block(here: Here, asked: Params) -> Record:
    """Set the account's public access block."""
    here.books.public_blocks[_own(here, asked)] = asked["PublicAccessBlockConfiguration"]
    return {}


def delete_public_access_block(here: Here, asked: Params) -> Record:
    """Take the account's public access block away."""
    here.books.public_blocks.pop(_own(here, asked), None)
    return {}
