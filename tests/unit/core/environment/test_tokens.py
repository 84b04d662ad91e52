"""Tokens are derived for one domain each, from a key that cannot be guessed."""

import pytest

from kubelambda.core.environment import tokens

KEY = b"k" * 32


def test_no_token_of_one_domain_is_one_of_another() -> None:
    """Whatever a tenant calls its namespace."""
    found = [
        tokens.caller_token(KEY, "frontend"),
        tokens.code_store_token(KEY),
        tokens.code_signature(tokens.code_key(KEY), "0" * 64, 1),
        tokens.code_signature(KEY, "0" * 64, 1),
        tokens.upload_token(tokens.code_key(KEY)),
        tokens.upload_signature(tokens.code_key(KEY), "0" * 64, "1"),
        tokens.code_key(KEY).decode(),
    ]
    for name in ("forward", "code-store", "environment", "pool", "code", ""):
        found += [tokens.pool_token(KEY, name), tokens.environment_token(KEY, name)]
    assert len(set(found)) == len(found)


def test_a_template_shows_only_the_digest_of_a_pool_token() -> None:
    """Who reads a pod cannot call it."""
    assert tokens.pool_token(KEY, "default") not in tokens.pool_token_sha256(KEY, "default")


@pytest.mark.parametrize("content", [b"", b"\n", b"k" * 31, b" " * 64])
def test_a_short_key_is_refused(content: bytes) -> None:
    """With its length: an empty Secret would make every token public."""
    with pytest.raises(tokens.InvalidKey, match=r"the installation's key has \d+ bytes; at least 32"):
        tokens.installation_key(content)


def test_line_ends_are_no_part_of_a_key() -> None:
    """Editors add them."""
    assert tokens.installation_key(KEY + b"\n") == KEY
