"""Signatures of requests that a frontend reads: of the head at first, and of the whole once that is there."""

import hashlib
import time
from typing import Final

from kubelambda.callers.authenticator import Authenticator, SignatureClaim
from kubelambda.core.account import caller_refused
from kubelambda.core.account.caller import Caller
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.sigv4 import SignedHead
from kubelambda.wire.request import Request

_SERVICE: Final = "lambda"


def claim_of(authenticator: Authenticator, request: Request) -> SignatureClaim | None:
    """The signature of a request; None where it has none. Raises `CallerRefused` for one that cannot be good."""
    return authenticator.claim(SignedHead(request.method, request.target, request.headers), time.time(), _SERVICE)


def signer_of(authenticator: Authenticator, claim: SignatureClaim, request: Request) -> Caller:
    """Who signed a whole request. Raises `CallerRefused`."""
    digest = hashlib.sha256(request.body).hexdigest() if claim.needs_digest else ""
    return authenticator.prove(claim, digest, time.time())


async def late_signer_of(authenticator: Authenticator, key_id: str, request: Request) -> Caller | CallerRefused:
    """The same of a key that was unheard of at the head: it waits a moment for that."""
    await authenticator.hear_of(key_id)
    try:
        claim = claim_of(authenticator, request)
        return signer_of(authenticator, claim, request) if claim is not None else caller_refused.missing_token()
    except CallerRefused as error:
        return error
