"""What is said before TLS, protocol by protocol."""

from __future__ import annotations

import pytest
from halfclose.cli.preambles import PREAMBLES, Refused

LDAP_REQUEST = b"0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037"
LDAP_OID = b"\x8a\x161.3.6.1.4.1.1466.20037"
XMPP_HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' to='they' version='1.0'>"
)
XMPP_TLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def perform(protocol: str, *said: bytes, piece: int = 1 << 20) -> bytes:
    """Hold the dialogue with a server that says *said*, and give what the client has said.

    The server says the next thing once the client has answered all before it.

    :param piece: in pieces of how many bytes the client receives.
    """
    preamble = PREAMBLES[protocol]
    dialogue = preamble.talk("[192.0.2.1]", "they")
    sent = next(dialogue)
    pending = b""
    for each in said:
        for start in range(0, len(each), piece):
            pending += each[start : start + piece]
            while size := preamble.measure(pending):
                reply, pending = pending[:size], pending[size:]
                try:
                    sent += dialogue.send(reply)
                except StopIteration:
                    assert each is said[-1]
                    assert start + piece >= len(each)
                    assert not pending
                    return sent
    raise AssertionError(f"it goes on after {sent!r}")


GOOD = {
    "smtp": (
        b"EHLO [192.0.2.1]\r\nSTARTTLS\r\n",
        b"220-mail.example.org\r\n220 ready\r\n",
        b"250-mail.example.org\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 HELP\r\n",
        b"220 2.0.0 go ahead\r\n",
    ),
    "smtp, barely": (b"EHLO [192.0.2.1]\r\nSTARTTLS\r\n", b"220\n", b"250 starttls\n", b"220\r\n"),
    "imap": (
        b"a STARTTLS\r\n",
        b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n",
        b"* 3 EXISTS\r\na OK begin\r\n",
    ),
    "pop3": (b"STLS\r\n", b"+OK ready <1@example.org>\r\n", b"+OK begin\r\n"),
    "ftp": (b"AUTH TLS\r\n", b"220-hello\r\n 220 more\r\nmore\r\n220 ready\r\n", b"234 begin\r\n"),
    "postgres": (b"\0\0\0\x08\x04\xd2\x16/", b"S"),
    "ldap": (LDAP_REQUEST, b"0\x0c\x02\x01\x01x\x07\x0a\x01\0\x04\0\x04\0"),
    "ldap, with the name": (
        LDAP_REQUEST,
        b"0\x24\x02\x01\x01x\x1f\x0a\x01\0\x04\0\x04\0" + LDAP_OID,
    ),
    "ldap, long lengths": (
        LDAP_REQUEST,
        b"0\x84\0\0\0\x10\x02\x01\x01x\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0",
    ),
    "xmpp": (
        XMPP_HEADER + XMPP_TLS,
        b"<?xml version='1.0'?><stream:stream id='x' version='1.0'>",
        b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>"
        b"</starttls></stream:features>",
        b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ),
    "xmpp, at length": (
        XMPP_HEADER + XMPP_TLS,
        b"<stream:stream>\n<stream:features >" + XMPP_TLS + b"</stream:features>",
        b"\n<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>",
    ),
}


@pytest.mark.parametrize("piece", [1 << 20, 1])
@pytest.mark.parametrize("name", GOOD)
def test_tls_begins(name: str, piece: int) -> None:
    sent, *said = GOOD[name]
    assert perform(name.partition(",")[0], *said, piece=piece) == sent


@pytest.mark.parametrize(
    ("protocol", "said", "why"),
    [
        ("smtp", [b"554 no service\r\n"], "'554 no service'"),
        ("smtp", [b"SSH-2.0-OpenSSH_9\r\n"], "'SSH-2.0-OpenSSH_9'"),
        ("smtp", [b"220 x\r\n", b"502 no EHLO\r\n"], "'502 no EHLO'"),
        ("smtp", [b"220 x\r\n", b"250-x\r\n250 SIZE\r\n"], "does not offer STARTTLS"),
        ("smtp", [b"220 x\r\n", b"250 STARTTLS\r\n", b"454 \x1b[2J\xff\r\n"], "454 \\\\x1b[2J"),
        ("imap", [b"* BYE busy\r\n"], "'* BYE busy'"),
        ("imap", [b"* PREAUTH x\r\n"], "'* PREAUTH x'"),
        ("imap", [b"* OK x\r\n", b"* 1 EXISTS\r\na NO never\r\n"], "'a NO never'"),
        ("pop3", [b"-ERR busy\r\n"], "'-ERR busy'"),
        ("pop3", [b"+OK\r\n", b"-ERR no\r\n"], "'-ERR no'"),
        ("ftp", [b"220 x\r\n", b"530 log in\r\n"], "'530 log in'"),
        ("postgres", [b"N"], "does not offer TLS"),
        ("postgres", [b"E"], "'E'"),
        ("ldap", [b"0\x0c\x02\x01\x01x\x07\x0a\x01\x34\x04\0\x04\0"], "LDAP result 52"),
        ("ldap", [b"HTTP/1.0 400\r\n"], "does not speak LDAP"),
        ("ldap", [b"0\0"], "does not speak LDAP"),
        ("ldap", [b"0\xff"], "does not speak LDAP"),
        ("ldap", [b"0\x02\x02\x7f"], "does not speak LDAP"),
        ("xmpp", [b"<html>"], "'<html>'"),
        ("xmpp", [b"<stream:stream><stream:error><x/>"], "stream:error"),
        ("xmpp", [b"<stream:stream><stream:features/>"], "does not offer STARTTLS"),
        (
            "xmpp",
            [b"<stream:stream><stream:features>" + XMPP_TLS + b"</stream:features>", b"<failure/>"],
            "'<failure/>'",
        ),
    ],
)
def test_a_server_that_does_not(protocol: str, said: list[bytes], why: str) -> None:
    with pytest.raises(Refused) as caught:
        perform(protocol, *said)
    assert why in str(caught.value)


def test_the_name_of_the_server_is_escaped() -> None:
    header = next(PREAMBLES["xmpp"].talk("we", "a'&<b"))
    assert b"to='a&apos;&amp;&lt;b'" in header
