"""Credentials of a pod's service account."""

from pathlib import Path

import pytest

from kubelambda.kube.api_server import Token


async def test_a_token_that_the_kubelet_replaced_is_used_within_a_minute(tmp_path: Path) -> None:
    """And its file is not read before every request."""
    now = 1000.0
    file = tmp_path / "token"
    file.write_text("first\n")
    token = Token(file, lambda: now)
    assert await token.header() == {"Authorization": "Bearer first"}
    file.write_text("second\n")
    now += 59
    assert await token.header() == {"Authorization": "Bearer first"}
    now += 1
    assert await token.header() == {"Authorization": "Bearer second"}


async def test_a_missing_token_is_an_error_of_the_file(tmp_path: Path) -> None:
    """It names the file."""
    with pytest.raises(FileNotFoundError, match="token"):
        await Token(tmp_path / "token", lambda: 0.0).header()
