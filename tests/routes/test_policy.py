import math
from typing import Any

import pytest

from pad19.protocol.client import Client, Identity
from pad19.protocol.failure import CertificateNotAuthorised, CertificateRequired, Failure
from pad19.routes.policy import Policy
from pad19.testing import identity

ADA, BOB = identity("Ada"), identity("Bob")
ADA_LATER = identity("Ada 2", key="Ada")  # renewed, with the same key


def policy(**options: Any) -> Policy:
    return Policy.of(**{"certificate": False, "allow": None, "rate": None, "timeout": 30, **options})


WRONG = [
    ({"timeout": 0}, "timeout must be a number of seconds, more than 0"),
    ({"timeout": -1}, "timeout must be a number of seconds, more than 0"),
    ({"timeout": math.nan}, "timeout must be a number of seconds, more than 0"),
    ({"timeout": "10"}, "timeout must be a number of seconds, more than 0"),
    ({"timeout": None}, "timeout must be a number of seconds, more than 0"),
    ({"max_size": 0}, "max_size must be a whole number of bytes, at least 1"),
    ({"max_size": "1"}, "max_size must be a whole number"),
    ({"max_size": 1.5}, "max_size must be a whole number"),
    ({"rate": 5}, 'rate must be a number, a slash and a time such as "10s"'),
    ({"rate": "often"}, 'rate must be a number, a slash and a time such as "10s"'),
    ({"allow": {"Ada"}}, "allow has 'Ada': a fingerprint is sha256: and 64 lower-case hex digits"),
    ({"allow": [ADA.fingerprint.upper()]}, "allow has 'SHA256:"),
    ({"allow": [ADA.fingerprint + "\n"]}, "allow has 'sha256:"),
    ({"allow": [None]}, "allow has 'None'"),
    ({"allow": 3}, "allow must be fingerprints, as in allow={"),
    ({"allow": [[ADA.fingerprint]]}, "allow must be fingerprints, as in allow={"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_no_policy(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^(timeout|rate|allow|max_size) ") as refusal:
        policy(**options)
    assert str(refusal.value).startswith(message)


ADMITTED: list[tuple[dict[str, Any], Identity | None, type[Failure] | None]] = [
    ({}, None, None),
    ({}, ADA, None),
    ({"certificate": True}, None, CertificateRequired),
    ({"certificate": True}, BOB, None),
    ({"allow": {ADA.fingerprint}}, None, CertificateRequired),
    ({"allow": {ADA.fingerprint}}, BOB, CertificateNotAuthorised),
    ({"allow": {ADA.fingerprint}}, ADA, None),
    ({"allow": {ADA.fingerprint}}, ADA_LATER, CertificateNotAuthorised),
    ({"allow": [ADA.key_fingerprint]}, ADA, None),
    ({"allow": [ADA.key_fingerprint]}, ADA_LATER, None),
    ({"allow": ADA.fingerprint}, ADA, None),
    ({"allow": set()}, None, CertificateRequired),
    ({"allow": set()}, ADA, CertificateNotAuthorised),
]


@pytest.mark.parametrize(("options", "certificate", "failure"), ADMITTED)
def test_who_is_admitted(
    options: dict[str, Any], certificate: Identity | None, failure: type[Failure] | None
) -> None:
    client = Client(certificate=certificate)
    if failure is None:
        policy(**options).admit(client)
    else:
        with pytest.raises(failure):
            policy(**options).admit(client)


def test_the_visitor_learns_what_to_tell_the_owner() -> None:
    with pytest.raises(CertificateNotAuthorised) as refusal:
        policy(allow={ADA.fingerprint}).admit(Client(certificate=BOB))
    assert str(refusal.value) == f"your certificate is not on the list: {BOB.fingerprint}"


VISITORS: list[tuple[dict[str, Any], Identity | None, str]] = [
    ({}, None, "192.0.2.1"),
    ({}, ADA, "192.0.2.1"),
    ({"certificate": True}, ADA, "192.0.2.1"),  # whoever wants to has a new one each time
    ({"allow": {ADA.fingerprint}}, ADA, ADA.key_fingerprint),
]


@pytest.mark.parametrize(("options", "certificate", "visitor"), VISITORS)
def test_whom_a_rate_counts_for(options: dict[str, Any], certificate: Identity | None, visitor: str) -> None:
    client = Client("192.0.2.1", certificate=certificate)
    assert policy(**options).visitor(client) == visitor
