"""Whom the policy of a layer version lets have it."""

from typing import Any

import pytest

from kubelambda.core.code.layer_sharing import is_shared_with, layer_grants

ACCOUNT = "111111111111"


@pytest.mark.parametrize(
    ("permission", "shared"),
    [
        ({"principal": "*"}, True),
        ({"principal": ACCOUNT}, True),
        ({"principal": f"arn:aws:iam::{ACCOUNT}:root"}, True),
        ({"principal": "222222222222"}, False),
        ({"principal": "arn:aws:iam::222222222222:root"}, False),
        ({"principal": f"arn:aws:iam::{ACCOUNT}:user/somebody"}, False),
        ({"principal": "*", "version": 2}, False),
        ({"principal": "*", "principalOrgId": "o-aaaaaaaaaa"}, False),
        ({"principal": "*", "action": "lambda:DeleteLayerVersion"}, False),
    ],
)
def test_a_statement_is_about_one_version_and_an_account_or_all(permission: dict[str, Any], shared: bool) -> None:
    """Nobody here is in an organization, so that a statement for one lets nobody have anything."""
    grants = layer_grants([{"version": 1, "statementId": "s", "action": "lambda:GetLayerVersion", **permission}])
    assert is_shared_with(grants, 1, ACCOUNT) is shared
