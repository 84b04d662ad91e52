"""Access keys as Secrets hold them."""

import base64
import json
from typing import Any

import pytest

from kubelambda.core.account.access_key import KEYS_MAX, AccessKey, access_keys


def secret(**values: Any) -> dict[str, Any]:
    """The Secret, with texts or JSON."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    return {"metadata": {"name": "kubelambda-access-keys", "namespace": "team"}, "data": data}


def test_a_text_is_the_secret_key_itself() -> None:
    """Without the line end that an editor leaves."""
    found, wrong = access_keys(secret(AKIDONE="s3cr3t/+=\n"))
    assert found == {"AKIDONE": AccessKey("AKIDONE", "s3cr3t/+=", "team", "AKIDONE")}
    assert wrong == {}


def test_credentials_as_the_aws_cli_prints_them() -> None:
    """Of create-access-key and of get-session-token."""
    made = {"UserName": "ci", "AccessKeyId": "AKIDONE", "Status": "Active", "SecretAccessKey": "s", "CreateDate": "…"}
    session = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "1970-01-01T00:01:00Z"}
    found, wrong = access_keys(secret(AKIDONE=made, ASIA=session, OFF=made | {"Status": "Inactive"}))
    assert wrong == {}
    assert found["AKIDONE"] == AccessKey("AKIDONE", "s", "team", "ci")
    assert found["ASIA"] == AccessKey("ASIA", "s", "team", "ASIA", "t", 60.0)
    assert "OFF" not in found


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "no SecretAccessKey"),
        ("{", "begins as JSON"),
        ({}, "no SecretAccessKey"),
        ({"SecretAccessKey": 5}, "no SecretAccessKey"),
        ({"SecretAccessKey": "hidden", "Policy": "x"}, "members that no access key has: Policy"),
        ({"SecretAccessKey": "hidden", "UserName": "a b"}, "UserName"),
        ({"SecretAccessKey": "hidden", "SessionToken": ""}, "SessionToken"),
        ({"SecretAccessKey": "hidden", "Expiration": "tomorrow"}, "Expiration"),
        ({"SecretAccessKey": "hidden", "Actions": ["invoke"]}, "Actions"),
        ({"SecretAccessKey": "hidden", "Actions": {}}, "Actions"),
    ],
)
def test_what_is_no_key_is_said_and_never_repeated(value: Any, why: str) -> None:
    """And the good keys beside it stay."""
    found, wrong = access_keys(secret(BAD=value, GOOD="s"))
    assert list(found) == ["GOOD"]
    assert why in wrong["BAD"]
    assert "hidden" not in wrong["BAD"]


def test_names_and_bytes_that_are_no_keys() -> None:
    """A name with dots, a value that is no text."""
    body = secret()
    body["data"] = {"tls.crt": "czEK", "AKIDONE": base64.b64encode(b"\xff").decode(), "AKIDTWO": "%"}
    found, wrong = access_keys(body)
    assert (found, sorted(wrong)) == ({}, ["AKIDONE", "AKIDTWO", "tls.crt"])


def test_a_secret_has_so_many_keys_and_no_more() -> None:
    """One account cannot fill the memory of all."""
    found, wrong = access_keys(secret(**{f"AKID{number:05}": "s" for number in range(KEYS_MAX + 2)}))
    assert (len(found), len(wrong)) == (KEYS_MAX, 2)


def test_a_key_does_not_print_its_secrets() -> None:
    """Whatever log it gets into."""
    found, _ = access_keys(secret(AKIDONE={"SecretAccessKey": "hidden", "SessionToken": "hidden too"}))
    assert "hidden" not in repr(found)
