"""What permissions.yaml cannot say: roles, users and a group with their permission policies, and who widens them when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from auditor.sandbox.estate_records import AUDIENCE, GOOGLE
from auditor.sandbox.estate_stage import Step
from auditor.sandbox.estate_story import Story
from auditor.sandbox.estate_world import BUILT, READER, World
from auditor.sandbox.estate_world import allow as trusting

_EU, _CENTRAL = "eu-west-1", "eu-central-1"
_BUCKET, _PREFIX = "base-claims-phi", "permissions/"
_INSIDE, _WHOLE = f"arn:aws:s3:::{_BUCKET}/{_PREFIX}*", f"arn:aws:s3:::{_BUCKET}"
_EXPORTERS = ("permissions-exporter", "permissions-reach", "permissions-office")
_OFFICE = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}


def _document(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(action: Any, resource: Any = "*", condition: Mapping[str, Any] | None = None) -> dict[str, Any]:
    found = {"Effect": "Allow", "Action": action, "Resource": resource}
    return found | ({"Condition": condition} if condition else {})


_WRITE = _document(_allow(["s3:GetObject", "s3:PutObject"], _INSIDE), _allow("s3:ListBucket", _WHOLE))
_ERASE = _document(*_WRITE["Statement"], _allow("s3:DeleteObjectVersion", _INSIDE))
_READ = _document(_allow(["s3:Get*", "s3:List*", "iam:Get*", "iam:List*"]))
_DENIES = _document(
    {"Effect": "Deny", "Principal": "*", "Action": "backup:DeleteRecoveryPoint", "Resource": "*"}
)


def config(story: Story) -> Mapping[str, Any]:
    """Declare the export roles, and the changes that were approved."""
    main = story.account("production")
    arn = f"arn:aws:iam::{main}:role/".__add__
    days = {"approved_by": "board@acme.example", "since": "2026-05-11", "until": "2026-05-18"}
    return {
        "federation": [
            {
                "role_arn": arn(name),
                "provider": GOOGLE,
                "audiences": [AUDIENCE],
                "bucket": _BUCKET,
                "prefix": _PREFIX,
            }
            for name in _EXPORTERS
        ],
        "params": {"DRF-007": {"pattern": ["CHG-*"]}},
        "changes": [
            {"id": "CHG-100", "subjects": [arn("permissions-exporter")], **days},
            {
                "id": "CHG-101",
                "subjects": ["*:policy/permissions-app"],
                "actors": ["*:assumed-role/deploy/*"],
                **days,
            },
        ],
    }


def steps(world: World) -> Iterator[Step]:
    """Yield what stands, what widens in the third week, and what is put back in the fourth."""
    at = world.stage.story.moment
    yield Step(BUILT, partial(_stand, world))
    yield Step(at("W03 Wed 10:00"), partial(_widen, world))
    yield Step(at("W04 Wed 10:00"), partial(_narrow, world))


def _role(world: World, name: str) -> str:
    return f"arn:aws:iam::{world.stage.story.account('production')}:role/{name}"


def _stand(world: World) -> None:
    story, aws = world.stage.story, world.stage.aws
    main, away = story.account("production"), story.account("recovery")
    fence = aws.put_policy(main, "permissions-fence", document=_document(_allow("s3:*")), at=BUILT)
    app = aws.put_policy(main, "permissions-app", document=_READ, at=BUILT)
    own = trusting({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole")
    for name in _EXPORTERS:
        aws.put_role(main, name, at=BUILT, trust=own, inline={"write": _WRITE})
    aws.set_role(
        _role(world, "permissions-office"), inline={"write": _document(_allow("s3:*", _INSIDE, _OFFICE))}
    )
    aws.put_role(main, "permissions-app", at=BUILT, trust=own, attached=(app,), boundary=fence)
    twice = '{"Version":"2012-10-17","Statement":[],"Statement":[]}'
    aws.put_role(main, "permissions-torn", at=BUILT, trust=own, inline={"twice": twice})
    # A scanner that reads, and one that may also write.
    read = aws.put_aws_policy("SecurityAudit", document=_READ)
    aws.set_role(f"arn:aws:iam::{away}:role/{READER}", attached=(read,))
    write = {"keep": _document(_allow("s3:PutObject", "arn:aws:s3:::reports/*"))}
    aws.set_role(f"arn:aws:iam::{main}:role/{READER}", attached=(read,), inline=write)
    for number, (name, inline) in enumerate(
        {
            "permissions-writer": {"write": _document(_allow("s3:Put*", f"{_WHOLE}/*"))},
            "permissions-reader": {"read": _READ},
            "permissions-remote": {"write": _document(_allow("s3:*", "*", _OFFICE))},
            "permissions-member": {},
        }.items()
    ):
        keys = ((f"AKIAPERMISSIONS{number:05d}", "Active", BUILT),)
        aws.put_user(main, name, at=BUILT, keys=keys, inline=inline)
    everything = {"all": _document(_allow("*"))}
    aws.put_group(main, "permissions-admins", at=BUILT, users=("permissions-member",), inline=everything)
    rules = [_rule(35)]
    plan = aws.put_plan(main, _CENTRAL, "permissions-daily", at=BUILT, rules=rules)
    role = f"arn:aws:iam::{main}:role/backup-service"
    aws.put_selection(plan, "tagged", at=BUILT, role=role, list_of_tags=[_tag("permissions")])
    world.plan_ids["permissions-daily"] = plan
    aws.put_vault(
        main, _CENTRAL, "permissions-vault", at=BUILT, lock={"min_d": 7}, policy=json.dumps(_DENIES)
    )


def _rule(days: int) -> dict[str, Any]:
    return {
        "RuleName": "daily",
        "TargetBackupVaultName": "permissions-vault",
        "ScheduleExpression": "cron(0 5 * * ? *)",
        "Lifecycle": {"DeleteAfterDays": days},
    }


def _tag(value: str) -> dict[str, str]:
    return {"ConditionType": "STRINGEQUALS", "ConditionKey": "backup", "ConditionValue": value}


def _vault(world: World) -> str:
    return (
        f"arn:aws:backup:{_CENTRAL}:{world.stage.story.account('production')}:backup-vault:permissions-vault"
    )


def _app(world: World) -> str:
    return f"arn:aws:iam::{world.stage.story.account('production')}:policy/permissions-app"


def _widen(world: World) -> None:
    """Let a writer erase, a role reach the whole bucket, an application pass any role, and backups keep less."""
    aws, at = world.stage.aws, world.stage.story.moment("W03 Wed 10:00")
    aws.set_role(_role(world, "permissions-exporter"), inline={"write": _ERASE})
    reach = _document(_allow(["s3:GetObject", "s3:PutObject"], f"{_WHOLE}/*"))
    aws.set_role(_role(world, "permissions-reach"), inline={"write": reach})
    aws.set_policy(_app(world), document=_document(_allow("iam:PassRole")), at=at)
    aws.set_role(_role(world, "permissions-app"), boundary=None)
    aws.set_plan(world.plan_ids["permissions-daily"], rules=[_rule(7)])
    aws.set_vault(_vault(world), policy=None)


def _narrow(world: World) -> None:
    """Put the writer and the backups back, and leave the application a right that hangs on a condition."""
    aws, at = world.stage.aws, world.stage.story.moment("W04 Wed 10:00")
    aws.set_role(_role(world, "permissions-exporter"), inline={"write": _WRITE})
    aws.set_policy(_app(world), document=_document(_allow("iam:PassRole", "*", _OFFICE)), at=at)
    aws.set_plan(world.plan_ids["permissions-daily"], rules=[_rule(35)])
    aws.set_vault(_vault(world), policy=json.dumps(_DENIES))
