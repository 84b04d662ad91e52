"""Names, ARNs, account ids, sizes and tokens."""

import hashlib

import pytest

from kubelambda.core.account import identity, ownership
from kubelambda.core.account.identity import AccountClaim, FunctionReference, account_id, rightful_account_id
from kubelambda.core.environment import sizing, tokens

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", FunctionReference("hello")),
        ("hello:7", FunctionReference("hello", "7")),
        ("hello:$LATEST", FunctionReference("hello", "$LATEST")),
        ("function:hello", FunctionReference("hello")),
        (f"{ACCOUNT}:function:hello:live", FunctionReference("hello", "live", ACCOUNT)),
        (
            f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:hello:live",
            FunctionReference("hello", "live", ACCOUNT, "us-east-1"),
        ),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function", FunctionReference("function", None, ACCOUNT, "us-east-1")),
        (
            f"arn:aws-us-gov:lambda:us-gov-west-1:{ACCOUNT}:function:hello:$LATEST",
            FunctionReference("hello", "$LATEST", ACCOUNT, "us-gov-west-1"),
        ),
        ("a.b", FunctionReference("a.b")),
        ("f" * 65, FunctionReference("f" * 65)),
        ("", None),
        ("no blanks", None),
        ("hello\n", None),
        ("hello:$latest", None),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:hello:live:more", None),
        (f"arn:aws:lambda:us-east-1:{'\N{ARABIC-INDIC DIGIT ONE}' * 12}:function:hello", None),
        ("hello:", None),
        (f"{ACCOUNT[:-1]}:function:hello", None),
    ],
)
def test_every_form_of_a_name_is_understood(text: str, expected: FunctionReference | None) -> None:
    """§1.2.1."""
    assert identity.parse_reference(text) == expected


def test_an_account_id_is_the_annotation_or_follows_from_the_uid() -> None:
    """Twelve digits, always the same."""
    derived = identity.account_id("some-uid")
    assert len(derived) == 12
    assert derived.isdigit()
    assert identity.account_id("some-uid") == derived
    assert identity.account_id("some-uid", ACCOUNT) == ACCOUNT
    assert identity.account_id("some-uid", "12") == derived


def test_one_vcpu_comes_with_1769_mb() -> None:
    """§1.3."""
    assert sizing.cpu_milli(1769) == 1000
    assert sizing.cpu_milli(10_240) == 5789
    assert sizing.cpu_milli(128) == 73


def test_tokens_differ_by_purpose_and_only_the_digest_is_shown() -> None:
    """A pool's, an environment's, the store's."""
    key = b"key"
    found = {tokens.pool_token(key, "a"), tokens.environment_token(key, "a"), tokens.code_store_token(key)}
    assert len(found) == 3
    assert tokens.pool_token_sha256(key, "a") == hashlib.sha256(tokens.pool_token(key, "a").encode()).hexdigest()
    assert tokens.pool_token(b"other", "a") not in found


def test_a_member_that_goes_moves_only_what_it_owned() -> None:
    """Rendezvous hashing."""
    members = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    accounts = [f"namespace-{index}" for index in range(300)]
    before = {account: ownership.ranked(account, members) for account in accounts}
    for account in accounts:
        after = ownership.ranked(account, members[:-1])
        survivors = [member for member in before[account] if member != "10.0.0.3"]
        assert after == survivors
    owners = [before[account][0] for account in accounts]
    assert all(60 < owners.count(member) < 140 for member in members)


OWN = AccountClaim("uid-own", "2026-01-02T00:00:00Z", None)
COPY = AccountClaim("uid-copy", "2026-01-01T00:00:00Z", OWN.id)
FIRST = AccountClaim("uid-first", "2026-01-03T00:00:00Z", "123456789012")
SECOND = AccountClaim("uid-second", "2026-01-04T00:00:00Z", "123456789012")


@pytest.mark.parametrize(
    ("claim", "others", "expected"),
    [
        (OWN, [COPY], OWN.id),
        (COPY, [OWN], account_id(COPY.uid)),
        (COPY, [], OWN.id),
        (FIRST, [SECOND], "123456789012"),
        (SECOND, [FIRST], account_id(SECOND.uid)),
        (SECOND, [OWN, COPY], "123456789012"),
    ],
    ids=["derived", "copy of a derived one", "nobody else", "older", "younger", "others' business"],
)
def test_a_copied_account_id_stays_with_whom_it_belongs_to(
    claim: AccountClaim, others: list[AccountClaim], expected: str
) -> None:
    """The namespace that it is derived from, however old the other is; else the oldest one."""
    assert rightful_account_id(claim, others) == expected
