"""Amazon SNS and EventBridge through the real client, against moto behind TLS, judged by botocore's own models."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from alert_case import NOW, certificates, out, served
from botocore.stub import Stubber
from test_alerts_channels import HOSTILE, sending, told

from auditor.alerts.aws_client import ended
from auditor.alerts.channels import eventbridge, sns
from auditor.alerts.text import LARGEST_BYTES

REGION = "eu-west-1"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:alerts"
BUS = f"arn:aws:events:{REGION}:123456789012:event-bus/alerts"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server(
        "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True, ssl_context=served()
    )
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def aws(endpoint: str) -> Callable[[str], Any]:
    def client(service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service, region_name=REGION, endpoint_url=endpoint, verify=str(certificates()[0])
        )

    return client


@pytest.fixture
def queue(aws: Callable[[str], Any]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    sqs = aws("sqs")
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]

    def heard() -> list[dict[str, Any]]:
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(each["Body"]) for each in got]

    yield heard
    sqs.delete_queue(QueueUrl=url)


def test_sns_gives_each_kind_of_subscriber_its_form(
    endpoint: str, aws: Callable[[str], Any], queue: Callable[[], list[dict[str, Any]]]
) -> None:
    topic = aws("sns").create_topic(Name="alerts")["TopicArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:heard")
    message = told(3)
    answer = sns.channel(sns.Settings(topic=topic, endpoint=endpoint), out())(sending(message), NOW)
    assert answer.ended == "delivered", answer
    (heard,) = queue()
    assert json.loads(heard["Message"]) == message.body
    assert heard["MessageAttributes"]["alert_id"]["Value"] == message.alert_id
    assert heard["MessageAttributes"]["severity"]["Value"] == "high"
    assert heard["Subject"].startswith("[HIGH] ")


@pytest.mark.parametrize("count", [1, 300])
@pytest.mark.parametrize("fifo", ["", ".fifo"])
def test_what_sns_is_sent_is_what_its_model_and_its_limits_allow(count: int, fifo: str) -> None:
    given = sns.message(sending(told(count, HOSTILE)), TOPIC + fifo)
    assert len(given["Subject"]) < 100
    assert given["Subject"].isprintable()
    forms = json.loads(given["Message"])
    assert all(isinstance(each, str) for each in forms.values())
    assert {len(each.encode()) <= LARGEST_BYTES for each in forms.values()} == {True}
    assert "https://evil" not in forms["email"]
    assert "\r" not in forms["email"]
    assert ("MessageDeduplicationId" in given) is bool(fifo)
    client = boto3.client("sns", region_name=REGION)
    with Stubber(client) as stub:
        stub.add_response("publish", {"MessageId": "m"}, {"TopicArn": TOPIC + fifo, **given})
        client.publish(TopicArn=TOPIC + fifo, **given)


def test_a_topic_that_is_not_there_is_a_dead_letter(endpoint: str) -> None:
    settings = sns.Settings(topic=f"{TOPIC}-none", endpoint=endpoint)
    answer = sns.channel(settings, out())(sending(told()), NOW)
    assert answer.ended == "dead"
    assert "NotFound" in answer.detail


def test_eventbridge_gets_the_message_as_an_event(
    endpoint: str, aws: Callable[[str], Any], queue: Callable[[], list[dict[str, Any]]]
) -> None:
    events = aws("events")
    bus = events.create_event_bus(Name="alerts")["EventBusArn"]
    events.put_rule(Name="all", EventBusName="alerts", EventPattern=json.dumps({"source": ["auditor"]}))
    target = {"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:123456789012:heard"}
    events.put_targets(Rule="all", EventBusName="alerts", Targets=[target])
    message = told(3)
    settings = eventbridge.Settings(bus=bus, endpoint=endpoint)
    answer = eventbridge.channel(settings, out())(sending(message), NOW)
    assert answer.ended == "delivered", answer
    (heard,) = queue()
    assert heard["detail"] == {**message.body, "alert_id": message.alert_id}
    assert (heard["source"], heard["detail-type"]) == ("auditor", "auditor.opened")


def test_what_eventbridge_is_sent_is_what_its_model_allows() -> None:
    given = eventbridge.entry(eventbridge.Settings(bus=BUS), sending(told(300)))
    assert len(given["DetailType"]) <= 128
    assert len(given["Detail"]) <= LARGEST_BYTES + 100
    client = boto3.client("events", region_name=REGION)
    with Stubber(client) as stub:
        stub.add_response("put_events", {"FailedEntryCount": 0, "Entries": []}, {"Entries": [given]})
        client.put_events(Entries=[given])


@pytest.mark.parametrize(
    ("entry", "how"),
    [
        ({"EventId": "1"}, "delivered"),
        ({"ErrorCode": "ThrottlingException", "ErrorMessage": "slow"}, "retry"),
        ({"ErrorCode": "InternalFailure"}, "retry"),
        ({"ErrorCode": "AccessDeniedException"}, "dead"),
        ({"ErrorCode": "MalformedDetail"}, "dead"),
        ({}, "retry"),
    ],
)
def test_an_event_that_failed_within_an_answer_that_did_not_is_not_delivered(
    entry: dict[str, str], how: str
) -> None:
    failed = 0 if "EventId" in entry else 1
    assert eventbridge._answered({"FailedEntryCount": failed, "Entries": [entry]}).ended == how


def test_an_error_that_passes_is_tried_again_and_every_other_one_is_final() -> None:
    assert [ended(code) for code in ("ExpiredToken", "ThrottlingException", "AuthorizationError", "NotFound")] == [
        "retry", "retry", "dead", "dead",
    ]  # fmt: skip
    assert ended("Anything", 503) == "retry"


@pytest.mark.parametrize("way", [out(allow=()), out(lookup=lambda *_: ["169.254.169.254"])])
def test_the_client_of_aws_leaves_by_the_guarded_way_alone(endpoint: str, way: Any) -> None:
    url = endpoint if way.outgoing.allow == () else "https://sns.eu-west-1.amazonaws.com"
    answer = sns.channel(sns.Settings(topic=TOPIC, endpoint=url), way)(sending(told()), NOW)
    assert answer.ended == "dead"
    assert answer.detail.startswith("refused:")


def test_a_region_is_asked_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def nowhere(host: str, port: int) -> list[str]:
        asked.append((host, port))
        raise OSError("no such name")

    for settings, channel in (
        (sns.Settings(topic=TOPIC), sns.channel),
        (eventbridge.Settings(bus=BUS), eventbridge.channel),
    ):
        assert channel(settings, out(lookup=nowhere))(sending(told()), NOW).ended == "retry"  # type: ignore[operator]
    assert asked == [("sns.eu-west-1.amazonaws.com", 443), ("events.eu-west-1.amazonaws.com", 443)]


def test_without_credentials_the_message_waits_and_says_so(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    answer = sns.channel(sns.Settings(topic=TOPIC, endpoint=endpoint), out())(sending(told()), NOW)
    assert (answer.ended, "NoCredentialsError" in answer.detail) == ("retry", True)
