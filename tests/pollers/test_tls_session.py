"""Clients of AWS's services share what says who may be at the other end; whoever may not is refused as before."""

import ssl
import subprocess
from pathlib import Path

import pytest
from aiobotocore.session import AioSession
from aiohttp import web

from kubelambda.outbound.aws_client import ServicePlace
from kubelambda.outbound.service_credentials import ServiceCredentials
from kubelambda.outbound.tls_session import ANSWER_MAX_BYTES, TlsSession
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.sqs import sqs_queue


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """Of a server called localhost, by its own word."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True)
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(certificate, key)
    return found


async def test_a_server_that_nobody_vouches_for_is_refused(context: ssl.SSLContext) -> None:
    """By the second client as by the first."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    place = ServicePlace(
        "us-east-1", f"https://localhost:{runner.addresses[0][1]}", ServiceCredentials("tests", "tests")
    )
    for _ in range(2):
        with pytest.raises(SourceUnreachable, match=r"(?i)certificate.verify.failed"):
            async with sqs_queue(AioSession(), "arn:aws:sqs:us-east-1:123456789012:q", place):
                pytest.fail("it was taken")
    await runner.cleanup()


def test_authorities_are_loaded_once() -> None:
    """They are most of what an idle mapping cost; a client that differs, or would change them, has its own."""
    shared, proxy = TlsSession()._build_ssl_contexts(None)
    assert (shared.verify_mode, shared.check_hostname, proxy) == (ssl.CERT_REQUIRED, True, None)
    assert shared.get_ca_certs()
    assert TlsSession()._build_ssl_contexts(None)[0] is shared
    assert TlsSession()._build_ssl_contexts("http://proxy:3128")[0] is not shared
    assert TlsSession(verify=False)._build_ssl_contexts(None)[0].verify_mode is ssl.CERT_NONE


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    """A server of somebody's own must not take the memory of a poller that works for others too."""
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 4 * ANSWER_MAX_BYTES:
            await response.write(bytes(1 << 20))
            sent += 1 << 20
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place = ServicePlace(
        "us-east-1", f"http://127.0.0.1:{runner.addresses[0][1]}", ServiceCredentials("tests", "tests")
    )
    with pytest.raises(SourceUnreachable, match="more than 32 MB"):
        async with sqs_queue(AioSession(), "arn:aws:sqs:us-east-1:123456789012:q", place):
            pytest.fail("it was taken")
    assert sent < 2 * ANSWER_MAX_BYTES
    await runner.cleanup()
