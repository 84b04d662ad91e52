"""Modes of authentication, and callers."""

import pytest

from kubelambda.core.account.caller import AuthMode, KubernetesUser, account_mode


@pytest.mark.parametrize(
    ("installation", "annotation", "mode"),
    [
        ("none", None, "none"),
        ("none", "none", "none"),
        ("none", "sigv4", "sigv4"),
        ("none", "any", "any"),
        ("none", "", "any"),
        ("none", "Sigv4", "any"),
        ("sigv4", "none", "sigv4"),
        ("sigv4", "any", "sigv4"),
        ("any", "none", "any"),
    ],
)
def test_an_account_asks_for_more_and_never_for_less(installation: str, annotation: str | None, mode: str) -> None:
    """A misspelled wish opens nothing."""
    assert account_mode(AuthMode(installation), annotation) is AuthMode(mode)


def test_only_a_service_account_has_a_namespace() -> None:
    """A user may be called almost anything."""
    assert KubernetesUser("system:serviceaccount:team:ci").service_account == ("team", "ci")
    for name in ("jane", "system:serviceaccount:team", "system:node:a:b", "x:system:serviceaccount:a:b"):
        assert KubernetesUser(name).service_account is None
