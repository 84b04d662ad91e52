"""The API server's refusals in a caller's words."""

import pytest

from kubelambda.awsapi.refusal import refusal, words
from kubelambda.kube.errors import status_error

INVALID = '422: Function.kubelambda.dev "x" is invalid: '
STRICT = '400: Function in version "v1alpha1" cannot be handled as a Function: strict decoding error: '
NOT_SERVED = "not served by this release of kubelambda and would be ignored: remove it"
WEIGHTS = "Number of items in AdditionalVersionWeights cannot be greater than 1"
TWO = (
    "spec.timeout: Invalid value: 3000: spec.timeout in body should be at most 900, spec.url: Invalid value: url is bad"
)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (f"{INVALID}spec.url: Invalid value: url is {NOT_SERVED}", f"url is {NOT_SERVED}"),
        (f"{INVALID}[{TWO}]", "spec.timeout in body should be at most 900; url is bad"),
        (f'{INVALID}spec.routingConfig: Invalid value: "object": {WEIGHTS}', WEIGHTS),
        (f'{STRICT}unknown field "spec.wings", unknown field "spec.claws"', f"Wings and Claws is {NOT_SERVED}"),
        (f'{STRICT}unknown field "spec.kMSKeyArn"', f"KMSKeyArn is {NOT_SERVED}"),
    ],
)
def test_a_refusal_keeps_what_a_rule_says(message: str, said: str) -> None:
    """Without paths, kinds and values of Kubernetes."""
    assert words(message) == said


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (422, "InvalidParameterValueException"),
        (400, "InvalidParameterValueException"),
        (403, "AccessDeniedException"),
        (500, "ServiceUnavailableException"),
        (429, "ServiceUnavailableException"),
    ],
)
def test_a_status_becomes_an_error(status: int, kind: str) -> None:
    """Whose fault it is decides."""
    assert refusal(status_error(status, "no")).type == kind
