"""Whose call of the control API a request is, as far as its head tells."""

from kubelambda.callers.access_key_directory import AccessKeyDirectory
from kubelambda.callers.authenticator import bearer_token
from kubelambda.core.account import sigv4
from kubelambda.core.account.caller import token_namespace
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.sigv4 import SignedHead
from kubelambda.frontend.account.forwarder import NAMESPACE
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.wire.request import Request


class CallingAccounts:
    """The account that the control API will count a request for, which says where that is passed on to.

    Nothing is proven here: what a caller wins by a wrong claim is a refusal, or the rate of another replica.
    """

    def __init__(self, keys: AccessKeyDirectory, accounts: RequestAccounts) -> None:
        self._keys = keys
        self._accounts = accounts

    def namespace(self, request: Request) -> str:
        """Of the access key or service account that the caller claims, else of the host, else the default one."""
        request.headers.pop(NAMESPACE, None)  # which only another frontend may say, and none does here
        return self._claimed(request) or self._accounts.namespace(None, request)

    def _claimed(self, request: Request) -> str | None:
        token = bearer_token(request.headers.get(b"authorization"))
        if token is not None:
            return token_namespace(token)
        try:
            signature = sigv4.signature_of(SignedHead(request.method, request.target, request.headers))
        except CallerRefused:
            return None
        keys = self._keys.find(signature.access_key) if signature is not None else []
        return keys[0].namespace if keys else None
