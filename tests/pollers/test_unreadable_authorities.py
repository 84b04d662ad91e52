"""A Secret whose certificate is none that can be read: the mapping says which, and nothing fails beside it (§7.5.4)."""

import pytest

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.kafka_place import TokenPlace
from kubelambda.pollers.sources.access_tokens import TokenClient, access_tokens
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.tls_login import TlsLogin

BINARY = "0\ufffd\u0003\u0002"
"""DER, as it is read from a Secret."""


@pytest.mark.parametrize("authority", ["none", BINARY])
async def test_an_authority_of_a_token_endpoint_that_is_no_text_is_told_of(authority: str) -> None:
    """Whether it is no certificate, or one in another form than PEM."""
    client = TokenClient("https://127.0.0.1:1/token", "poller", "secret", authority)
    with pytest.raises(SourceUnreachable, match="in Secret client is no certificate") as raised:
        async with access_tokens(client, TokenPlace("client", None, None, ())):
            pass
    assert raised.value.reason is Reason.SOURCE_AUTHENTICATION_FAILED


@pytest.mark.parametrize("authority", ["none", BINARY])
def test_an_authority_of_brokers_that_is_no_text_is_told_of(authority: str) -> None:
    """By the same words."""
    with pytest.raises(SourceUnreachable, match="in Secret ca is invalid") as raised:
        TlsLogin(authority=authority).context("ca")
    assert raised.value.reason is Reason.SOURCE_AUTHENTICATION_FAILED
