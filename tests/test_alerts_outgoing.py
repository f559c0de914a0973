"""No address, no name server and no receiver turns a message against the network it is sent from."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from alert_case import LOOPBACK, NAME, NOW, Receiver, certificates, out, receiving

from auditor.alerts.address import Limits, RefusedAddressError, canonical_host, refusal
from auditor.alerts.outgoing import Out, post, send, target
from auditor.config_alerts import Outgoing
from auditor.errors import ConfigError

METADATA = ("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::",
            "fd00:ec2::254", "fd20:ce::254", "2002:a9fe:a9fe::1", "168.63.129.16", "100.100.100.200")  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def told(url: str, way: Out) -> str:
    return send(url, b"{}", {"content-type": "application/json"}, way, NOW, timeout_s=60).detail


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "169.254.1.1", "192.0.0.8", "198.18.0.1", "240.0.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
        "ff02::1", "::ffff:169.254.169.254", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::7f00:1",
        "::ffff:0:127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::0808:0808", "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1", "2002:5db8:d822::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
        "5f00::1", "168.63.129.16", "100.100.100.200",
    ],
)  # fmt: skip
def test_an_inner_address_is_refused_in_every_disguise(address: str) -> None:
    assert refusal(address, Limits())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "8.8.8.8"])
def test_a_public_address_is_not(address: str) -> None:
    assert refusal(address, Limits()) == ""


@pytest.mark.parametrize("address", METADATA)
def test_no_setting_opens_a_metadata_service(address: str) -> None:
    everything = Limits.of(["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1", "internal"])
    assert refusal(address, everything, named=True) == "a metadata service"


def test_a_name_that_is_allowed_may_be_private_and_no_more() -> None:
    allowed = Limits.of(["hooks.internal.example"])
    assert refusal("10.0.0.1", allowed, named=True) == ""
    assert refusal("fc00::1", allowed, named=True) == ""
    for address in ("127.0.0.1", "::1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "::ffff:10.0.0.1"):
        assert refusal(address, allowed, named=True), address


def test_a_network_that_is_allowed_opens_itself_alone() -> None:
    allowed = Limits.of(["10.1.2.3/32", "64:ff9b::/96"])
    assert refusal("10.1.2.3", allowed) == ""
    assert refusal("10.1.2.4", allowed)
    assert refusal("::ffff:10.1.2.3", allowed)
    assert refusal("64:ff9b::0808:0808", allowed) == ""  # a public address behind a translator
    assert refusal("64:ff9b::0a01:0204", allowed)  # and a private one


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.1", "1.2.3.0x4", "a.0x", "a.1",
        "１２７.０.０.１", "127。0。0。1", "xn--.ⓔxample.com", "exam\u00adple.com", "bücher.example",
        "a..b", ".", "", "-a.example", "a-.example", "a b.example", "a%2eb", "fe80::1%25eth0", "x" * 64 + ".com",
        ".".join(["a" * 60] * 5), "a..",
    ],
)  # fmt: skip
def test_a_host_that_is_a_number_or_no_name_is_refused_before_anybody_is_asked(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        canonical_host(host)


def test_a_name_has_one_form_whatever_its_case_and_its_last_dot() -> None:
    assert canonical_host("Hooks.Internal.Example.") == "hooks.internal.example"
    assert canonical_host("127.0.0.1.") == "127.0.0.1"
    assert canonical_host("2606:2800:220:1:0:0:0:1") == "2606:2800:220:1::1"
    assert canonical_host("xn--bcher-kva.example") == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "//example.com/", "example.com", "https:///x", "https://",
        "https://user@example.com/", "https://user:pw@example.com/", "https://@example.com/",
        "https://example.com:99999/", "https://example.com:0/", "https://example.com:x/", "https://[::1/",
        "https://example.com\\@169.254.169.254/", "https://example.com/\\x", "https://example.com/ a", "https://example.com/\r\nHost: x",
        "https://2130706433/", "https://0x7f.1/", "https://１２７.０.０.１/", "https://[fe80::1%25eth0]/",
        "file:///etc/passwd", "gopher://x/", "https://example.com#@169.254.169.254/\n",
    ],
)  # fmt: skip
def test_an_address_that_is_not_plainly_one_is_a_mistake(url: str) -> None:
    with pytest.raises(ConfigError):
        target(url)


def test_what_is_wrong_with_an_address_is_said_without_its_path() -> None:
    with pytest.raises(ConfigError) as caught:
        target("https://hooks.example.com:x/services/T0/B0/hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_name_is_looked_up_once_and_that_address_is_used(receiver: Receiver) -> None:
    asked = []

    def flipping(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    url = f"https://{NAME.upper()}.:{receiver.port}/x"
    assert told(url, out(lookup=flipping)).startswith("HTTP 204")
    assert asked == [(NAME, receiver.port)]
    assert receiver.got[0][1]["host"] == f"{NAME}:{receiver.port}"
    assert "metadata" in told(url, out(lookup=flipping))  # the next message asks, and is judged, again
    assert len(receiver.got) == 1


def test_a_name_with_one_inner_address_is_refused_whole(receiver: Receiver) -> None:
    for addresses in (["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]):
        way = out(lookup=lambda *_, found=tuple(addresses): found)
        assert "10.0.0.1, not an address of the public internet" in told(
            receiver.url.replace("127.0.0.1", NAME), way
        )
    assert receiver.got == []


def test_this_machine_is_refused_unless_a_network_of_it_is_allowed(receiver: Receiver) -> None:
    local = receiver.url.replace("127.0.0.1", "localhost")
    assert "this machine itself" in told(receiver.url, out(allow=()))
    assert "this machine itself" in told(local, out(allow=("localhost",), lookup=lambda *_: ["127.0.0.1"]))
    assert receiver.got == []
    assert told(receiver.url, out()).startswith("HTTP 204")


def test_a_certificate_of_another_name_or_of_nobody_is_refused(receiver: Receiver) -> None:
    other = receiver.url.replace("127.0.0.1", "other.example.com")
    said = told(other, out(lookup=lambda *_: ["127.0.0.1"]))
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert "CERTIFICATE_VERIFY_FAILED" in told(receiver.url, Out(Outgoing((LOOPBACK,))))
    assert receiver.got == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_metadata_service_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.reply = lambda _: (status, {"Location": "http://169.254.169.254/latest/meta-data"}, b"")
    answer = send(receiver.url, b"{}", {}, out(), NOW, timeout_s=60)
    assert (answer.ended, len(receiver.got)) == ("dead", 1)
    assert "redirect" in answer.detail


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert told(receiver.url, out()).startswith("HTTP 204")


def speaking(said: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """Listen on this machine, and say something to whoever comes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with closing(connection), suppress(OSError):
                    said(connection)

    threading.Thread(target=serve, daemon=True).start()
    return listening, listening.getsockname()[1]


def secured(said: Callable[[ssl.SSLSocket], None]) -> tuple[socket.socket, int]:
    from alert_case import served

    def after(connection: socket.socket) -> None:
        with served().wrap_socket(connection, server_side=True) as tls:
            tls.recv(65_536)
            said(tls)

    return speaking(after)


def test_a_configured_proxy_is_asked_for_a_tunnel_and_the_receivers_certificate_still_counts(
    receiver: Receiver,
) -> None:
    asked = []

    def tunnel(connection: socket.socket) -> None:
        asked.append(connection.recv(65_536).partition(b"\r\n")[0].decode())
        connection.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
        with socket.create_connection(("127.0.0.1", receiver.port)) as far:
            pairs = [(connection, far), (far, connection)]
            running = [threading.Thread(target=copy, args=pair, daemon=True) for pair in pairs]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join(5)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    listening, port = speaking(tunnel)
    with closing(listening):
        url = receiver.url.replace("127.0.0.1", NAME)
        unknown = out(proxy=f"http://127.0.0.1:{port}", lookup=nowhere)
        assert told(url, unknown).startswith("HTTP 204")
        inner = out(allow=(), proxy=f"http://127.0.0.1:{port}", lookup=lambda *_: ["10.0.0.1"])
        assert "refused" in told(url, inner)
        assert "refused" in told("https://169.254.169.254/latest", inner)
    assert asked == [f"CONNECT {NAME}:{receiver.port} HTTP/1.1"]


def nowhere(host: str, port: int) -> list[str]:
    raise socket.gaierror(-2, "Name or service not known")


def test_an_answer_of_a_gigabyte_is_not_read() -> None:
    sent: list[int] = []

    def flood(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 1000000000\r\n\r\n")
        sent.extend(tls.send(b"x" * 65_536) for _ in range(16_000))

    listening, port = secured(flood)
    with closing(listening):
        answer = send(f"https://127.0.0.1:{port}/", b"{}", {}, out(), NOW, timeout_s=10)
    assert (answer.ended, len(answer.detail) < 300) == ("retry", True)
    assert sum(sent) < 100_000_000


@pytest.mark.parametrize(
    ("where", "ended_as", "seconds"),
    [("handshake", "retry", 1), ("head", "retry", 1), ("hundreds", "retry", 1), ("body", "delivered", 4)],
)
def test_a_receiver_that_talks_for_ever_is_cut_off(where: str, ended_as: str, seconds: int) -> None:
    ended = threading.Event()

    def drip(tls: socket.socket) -> None:
        begun = {
            "head": b"HTTP/1.1 200 ok\r\nX: ",
            "body": b"HTTP/1.1 200 ok\r\nContent-Length: 9999\r\n\r\n",
        }
        tls.sendall(begun.get(where, b""))
        while not ended.wait(0.02):
            tls.sendall(b"HTTP/1.1 100 go on\r\n\r\n" if where == "hundreds" else b"x")

    def silent(connection: socket.socket) -> None:
        ended.wait(30)

    listening, port = speaking(silent) if where == "handshake" else secured(drip)
    with closing(listening):
        answer = send(f"https://127.0.0.1:{port}/", b"{}", {}, out(), NOW, timeout_s=seconds)
    ended.set()
    assert answer.ended == ended_as


def test_a_name_server_that_never_answers_ends_with_the_attempt(receiver: Receiver) -> None:
    never = threading.Event()

    def hanging(host: str, port: int) -> list[str]:
        never.wait(30)
        return ["127.0.0.1"]

    said = send("https://hooks.example.com/", b"{}", {}, out(lookup=hanging), NOW, timeout_s=1).detail
    never.set()
    assert "no answer from the name server" in said


def test_what_a_receiver_says_is_quoted_in_one_safe_line_without_our_secret(receiver: Receiver) -> None:
    receiver.reply = lambda _: (400, {}, "no\r\n\x1b[31m \u202eevil hunter2hunter2".encode())
    answer = send(receiver.url, b"{}", {}, out(), NOW, timeout_s=60, secrets=["hunter2hunter2"])
    assert answer.detail == "HTTP 400: no [31m evil [left out]"


def test_a_file_of_certificates_that_is_not_there_is_named(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="ca_file cannot be read"):
        post(receiver.url, b"", {}, Out(Outgoing((LOOPBACK,), "/nowhere/ca.pem")), timeout_s=5)
    assert certificates()[0].exists()
