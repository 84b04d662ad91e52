"""How often an account may call the control API (§0.6)."""

from kubelambda.core.account.request_rate import LIMITS, RequestRates


def test_all_operations_share_a_limit_but_those_with_their_own() -> None:
    """15 a second; GetFunction has 100, and GetPolicy 15, beside them."""
    rates = RequestRates(LIMITS)
    operations = ["CreateFunction", "ListFunctions"] * 20
    assert sum(rates.admits("team", operation, 0.0) for operation in operations) == 15
    assert sum(rates.admits("team", "GetFunction", 0.0) for _ in range(150)) == 100
    assert sum(rates.admits("team", "GetPolicy", 0.0) for _ in range(20)) == 15
    assert sum(rates.admits("team", "ListFunctions", 1.0) for _ in range(40)) == 15
    assert rates.admits("other", "ListFunctions", 0.0)


def test_nothing_is_no_limit() -> None:
    """Zero, or no limits at all."""
    assert all(RequestRates({}).admits("team", "GetFunction", 0.0) for _ in range(1000))
    assert all(RequestRates({"": 0, "GetFunction": 0}).admits("team", "Invoke", 0.0) for _ in range(1000))
