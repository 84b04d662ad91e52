"""Who may do what, with keys, tokens and resource policies (§1.3, §2.1.4)."""

from typing import Any

import pytest

from kubelambda.core.account.access_decision import INVOKE, AccessQuestion, denial, policy_statements, url_denial
from kubelambda.core.account.caller import (
    ANYBODY,
    PLATFORM,
    Caller,
    CallerKind,
    KubernetesUser,
    key_holder,
    service,
    token_holder,
)

HOME, AWAY = "111111111111", "222222222222"
ARN = f"arn:aws:lambda:us-east-1:{HOME}:function:f"
OWNER = key_holder("owner", "home", HOME, rightful=True, actions=("*",))
GUEST = key_holder("guest", "away", AWAY, rightful=True, actions=("*",))
ROBOT = token_holder(KubernetesUser("system:serviceaccount:away:robot"), AWAY, rightful=True)
BUCKET = service("s3.amazonaws.com", source_arn="arn:aws:s3:::photos", source_account=HOME)


def asked(*permissions: dict[str, Any], action: str = INVOKE, qualifier: str | None = None) -> AccessQuestion:
    """About a function of the home account with these permissions."""
    given = [{"action": action, "principal": "*", "statementId": "s", **each} for each in permissions]
    return AccessQuestion(action, ARN, "home", qualifier, policy_statements(given))


def test_within_an_account_a_key_is_enough() -> None:
    """Whatever the policy says; our own components were asked already."""
    assert denial(OWNER, asked()) is None
    assert denial(PLATFORM, asked()) is None


@pytest.mark.parametrize(
    ("principal", "caller", "fits"),
    [
        ("*", GUEST, True),
        (AWAY, GUEST, True),
        (AWAY, ROBOT, True),
        (f"arn:aws:iam::{AWAY}:root", GUEST, True),
        (f"arn:aws:iam::{AWAY}:user/guest", GUEST, True),
        (f"arn:aws:iam::{AWAY}:role/robot", ROBOT, True),
        (f"arn:aws:iam::{AWAY}:user/other", GUEST, False),
        (f"arn:aws:iam::{AWAY}:role/guest", GUEST, False),
        (HOME, GUEST, False),
        (f"arn:aws:iam::{HOME}:root", GUEST, False),
        ("s3.amazonaws.com", GUEST, False),
        ("s3.amazonaws.com", BUCKET, True),
        ("sns.amazonaws.com", BUCKET, False),
        (HOME, BUCKET, False),
    ],
)
def test_a_principal_is_who_it_names(principal: str, caller: Caller, fits: bool) -> None:
    """An account with all in it, one user or role, a service, or everybody."""
    found = denial(caller, asked({"principal": principal}))
    assert (found is None) == fits
    if found is not None and caller is GUEST:
        assert found == (
            f"User: arn:aws:iam::{AWAY}:user/guest is not authorized to perform: {INVOKE} on resource: {ARN} "
            f"because no resource-based policy allows the {INVOKE} action"
        )
    if found is not None and caller is BUCKET:
        assert found.startswith("User: s3.amazonaws.com is not authorized to perform: ")


@pytest.mark.parametrize(
    ("statement", "fits"),
    [
        ({"sourceArn": "arn:aws:s3:::photos"}, True),
        ({"sourceArn": "arn:aws:s3:::ph?t*"}, True),
        ({"sourceArn": "arn:aws:s3:::photo"}, False),
        ({"sourceArn": "arn:aws:sns:::photos"}, False),
        ({"sourceArn": "*"}, False),  # ArnLike compares six parts
        ({"sourceAccount": HOME}, True),
        ({"sourceAccount": AWAY}, False),
        ({"sourceArn": "arn:aws:s3:::photos", "sourceAccount": AWAY}, False),
        ({"principalOrgId": "o-1234567890"}, False),
        ({"eventSourceToken": "t"}, False),
        ({"functionUrlAuthType": "NONE"}, False),
        ({"invokedViaFunctionUrl": True}, False),
    ],
)
def test_every_condition_of_a_statement_holds(statement: dict[str, Any], fits: bool) -> None:
    """What no caller of ours can show never does."""
    assert (denial(BUCKET, asked({"principal": "s3.amazonaws.com", **statement})) is None) == fits


def test_a_statement_is_about_one_qualifier() -> None:
    """The unqualified one is about $LATEST too, and about no alias."""
    unqualified, live = {"principal": AWAY}, {"principal": AWAY, "qualifier": "live"}
    assert denial(GUEST, asked(unqualified, qualifier="$LATEST")) is None
    assert denial(GUEST, asked(unqualified, qualifier="live")) is not None
    assert denial(GUEST, asked(live, qualifier="live")) is None
    assert denial(GUEST, asked(live)) is not None


@pytest.mark.parametrize(("allowed", "fits"), [("lambda:*", True), ("*", True), (INVOKE, True), ("lambda:Get", False)])
def test_a_statement_allows_its_action_alone(allowed: str, fits: bool) -> None:
    """With a wildcard all of Lambda's."""
    statements = policy_statements([{"action": allowed, "principal": AWAY}])
    assert (denial(GUEST, AccessQuestion(INVOKE, ARN, "home", None, statements)) is None) == fits


PUBLIC: list[dict[str, Any]] = [
    {"action": "lambda:InvokeFunctionUrl", "principal": "*", "functionUrlAuthType": "NONE"},
    {"action": INVOKE, "principal": "*", "invokedViaFunctionUrl": True},
]


def through_url(permissions: list[dict[str, Any]], kind: str = "NONE", qualifier: str | None = None) -> AccessQuestion:
    """A call of the home account's function through a URL of that kind."""
    return AccessQuestion(INVOKE, ARN, "home", qualifier, policy_statements(permissions), kind)


@pytest.mark.parametrize(
    ("permissions", "fits"),
    [
        (PUBLIC, True),
        (PUBLIC[:1], False),
        (PUBLIC[1:], False),
        ([], False),
        ([PUBLIC[0] | {"functionUrlAuthType": "AWS_IAM"}, PUBLIC[1]], False),
        ([PUBLIC[0] | {"principal": HOME}, PUBLIC[1]], False),
        ([PUBLIC[0], {"action": INVOKE, "principal": "*"}], True),
        ([PUBLIC[0], PUBLIC[1] | {"invokedViaFunctionUrl": False}], False),
        ([{"action": "lambda:*", "principal": "*"}], True),
        ([each | {"qualifier": "live"} for each in PUBLIC], False),
    ],
)
def test_everybody_needs_both_permissions_of_a_url(permissions: list[dict[str, Any]], fits: bool) -> None:
    """The one to the URL, of its kind, and the one to the function (§2.5.5); an alias has its own."""
    assert (url_denial(ANYBODY, through_url(permissions)) is None) == fits
    of_live = [each | {"qualifier": "live"} for each in permissions if "qualifier" not in each]
    assert (url_denial(ANYBODY, through_url(of_live, qualifier="live")) is None) == (fits and bool(of_live))


def test_a_url_with_proof_lets_in_who_may_invoke() -> None:
    """Keys of the account, holders of rights of Kubernetes, and whom the policy names; not past the URL."""
    assert url_denial(OWNER, through_url([], "AWS_IAM")) is None
    assert url_denial(ROBOT, through_url([], "AWS_IAM"), granted=True) is None
    refused = url_denial(GUEST, through_url([], "AWS_IAM"))
    assert refused is not None
    assert "lambda:InvokeFunctionUrl on resource" in refused
    invited = [each | {"principal": AWAY, "functionUrlAuthType": None} for each in PUBLIC]
    assert url_denial(GUEST, through_url(invited, "AWS_IAM")) is None
    assert denial(GUEST, AccessQuestion(INVOKE, ARN, "home", None, policy_statements(invited))) is not None
    reader = key_holder("reader", "home", HOME, rightful=True, actions=(INVOKE,))
    assert url_denial(reader, through_url([], "AWS_IAM")) is not None


def test_a_limited_key_is_limited_everywhere() -> None:
    """At home the policy of the function may still let it in; from elsewhere it takes both."""
    invites = {"principal": "*"}
    at_home = key_holder("reader", "home", HOME, rightful=True, actions=("lambda:Get*",))
    away = key_holder("reader", "away", AWAY, rightful=True, actions=("lambda:Get*",))
    refused = denial(at_home, asked())
    assert refused is not None
    assert refused.endswith(f"because no identity-based policy allows the {INVOKE} action")
    assert denial(at_home, asked(action="lambda:GetFunction")) is None
    assert denial(at_home, asked(invites)) is None
    assert denial(away, asked(invites)) is not None
    assert denial(away, asked(invites, action="lambda:GetFunction")) is None


def test_a_token_has_the_rights_that_kubernetes_says() -> None:
    """Anywhere; without them the policy of the function may let its service account in."""
    assert denial(ROBOT, asked(), granted=True) is None
    refused = denial(ROBOT, asked())
    assert refused is not None
    assert refused.endswith("because no identity-based policy allows the lambda:InvokeFunction action")
    person = token_holder(KubernetesUser("jane"), None, rightful=False)
    assert denial(person, asked({"principal": AWAY})) is not None
    assert denial(person, asked(), granted=True) is None


def test_who_claims_the_id_of_another_account_gets_nothing_by_it() -> None:
    """Neither at home there, nor as that account with others."""
    impostor = key_holder("x", "impostor", HOME, rightful=False, actions=("*",))
    assert denial(impostor, asked()) is not None
    elsewhere = AccessQuestion(INVOKE, ARN, "third", None, policy_statements([{"action": INVOKE, "principal": HOME}]))
    assert denial(impostor, elsewhere) is not None
    assert denial(OWNER, elsewhere) is None
    assert impostor.kind is CallerKind.ACCESS_KEY


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """Who writes a policy does not stop the frontend."""
    hostile = "arn:aws:s3:::" + "*a" * 500
    caller = service("s3.amazonaws.com", source_arn="arn:aws:s3:::" + "a" * 1500 + "b")
    assert denial(caller, asked({"principal": "s3.amazonaws.com", "sourceArn": hostile})) is not None
