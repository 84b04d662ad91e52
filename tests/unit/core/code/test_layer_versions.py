"""Which layer versions a function names, and whether they can be used together (§1.3, §1.5.5)."""

import pytest

from kubelambda.core.code.layer_reference import LayerReference, parse_layer
from kubelambda.core.code.layer_versions import LayerScope, LayerVersionFacts, chosen_layers, too_large_together
from kubelambda.core.function.observation import Problem

SCOPE = LayerScope("us-east-1", "123456789012", "python3.13")
ARN = "arn:aws:lambda:us-east-1:123456789012:layer"
TWICE = "Two different versions of the same layer are not allowed to be referenced in the same function."


def version(
    layer: str, number: int = 1, *, unzipped: int = 10, architectures: tuple[str, ...] = ()
) -> LayerVersionFacts:
    """A version that fits everything unless it says otherwise."""
    return LayerVersionFacts("uid", layer, number, "ab" * 32, 5, unzipped, "sig", (), architectures)


def known(*versions: LayerVersionFacts) -> dict[str, LayerVersionFacts]:
    """By the name of the object."""
    return {f"{each.layer}-{each.number}": each for each in versions}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy:2", LayerReference("numpy", 2)),
        (f"{ARN}:numpy:12", LayerReference("numpy", 12, "123456789012", "us-east-1")),
        ("numpy", None),
        ("numpy:latest", None),
        (f"{ARN}:numpy", None),
        ("arn:aws:lambda:us-east-1:123456789012:function:numpy:1", None),
    ],
)
def test_layers_are_named_shortly_or_by_arn(text: str, expected: LayerReference | None) -> None:
    """Anything else is no layer version."""
    assert parse_layer(text) == expected


def test_layers_keep_the_order_in_which_they_are_named() -> None:
    """A later one wins in /opt: the order means something."""
    versions = known(version("a"), version("b"), version("c"))
    chosen = chosen_layers(["c:1", "a:1", f"{ARN}:b:1"], versions, SCOPE)
    assert isinstance(chosen, tuple)
    assert [each.version.layer for each in chosen] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a:1", "a:2"], f"{TWICE} {ARN}:a:1 and {ARN}:a:2"),
        (["a:1", f"{ARN}:a:1"], TWICE),
        (["a:0"], "Layer Version Cannot be less than 1"),
        (["b:7"], f"Layer version {ARN}:b:7 does not exist."),
        (["arm:1"], f"Layer version {ARN}:arm:1 is compatible with arm64, not with x86_64."),
        (
            ["arn:aws:lambda:eu-west-1:123456789012:layer:a:1"],
            "Layers are not in the same region as the function. Layers are expected to be in region us-east-1.",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_lambdas_words(names: list[str], said: str) -> None:
    """Faults of the list come before faults of one version."""
    found = chosen_layers(names, known(version("a"), version("arm", architectures=("arm64",))), SCOPE)
    assert isinstance(found, Problem)
    assert found.message.startswith(said)


def test_layers_of_other_accounts_are_those_that_are_shared() -> None:
    """By ARN alone; what is deployed says whose it is, and what is not shared is not told of."""
    theirs = "arn:aws:lambda:us-east-1:999999999999:layer:a:1"
    shared = {theirs: version("a"), f"{theirs}0": version("a", 10, architectures=("arm64",))}
    chosen = chosen_layers([theirs, "b:1"], known(version("a"), version("b")), SCOPE, shared)
    assert isinstance(chosen, tuple)
    assert [each.deployed.arn for each in chosen] == [theirs, f"{ARN}:b:1"]
    assert isinstance(chosen_layers([theirs, "a:1"], known(version("a")), SCOPE, shared), tuple)  # another layer's name
    unfit = chosen_layers([f"{theirs}0"], {}, SCOPE, shared)
    assert isinstance(unfit, Problem)
    assert unfit.message == f"Layer version {theirs}0 is compatible with arm64, not with x86_64."
    refused = chosen_layers([theirs], known(version("a")), SCOPE)
    assert isinstance(refused, Problem)
    assert not refused.terminal
    assert refused.message == (
        "User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:GetLayerVersion on resource: "
        f"{theirs} because no resource-based policy allows the lambda:GetLayerVersion action"
    )


def test_a_layer_whose_name_ends_in_a_number_is_not_taken_for_a_version() -> None:
    """Object names alone would not tell version 2 of `a-1` from a forged object of that name."""
    forged = {"a-1-2": version("a", 12)}
    assert isinstance(chosen_layers(["a-1:2"], forged, SCOPE), Problem)


def test_the_limit_is_of_code_and_layers_together() -> None:
    """Just below it all is well."""
    assert too_large_together(100, [version("a", unzipped=262_143_899)]) is None
    problem = too_large_together(100, [version("a", unzipped=262_143_800), version("b", unzipped=100)])
    assert problem is not None
    assert problem.message == (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        "The actual size is 262144000 bytes."
    )
