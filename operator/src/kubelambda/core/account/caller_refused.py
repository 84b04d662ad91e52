"""Who is not let in, in AWS's words (§2.1.4): these errors come in front of the service, and its model lacks them."""


class CallerRefused(Exception):
    """The caller has not proven who it is, or may not. `type` is AWS's name for it; `status` of Lambda's own answer."""

    claimed: tuple[str, ...] = ()
    """Namespaces with a key of the name that the caller used, and did not prove to have."""
    unheard: str = ""
    """The access key that nobody has as far as was heard: it may be new."""

    def __init__(self, error: str, text: str, status: int = 403) -> None:
        super().__init__(text)
        self.type = error
        self.status = status


def missing_token() -> CallerRefused:
    """The request brings nothing that proves anything."""
    return CallerRefused("MissingAuthenticationTokenException", "Missing Authentication Token")


def unrecognized() -> CallerRefused:
    """Nobody has such a key, or such a token."""
    return CallerRefused("UnrecognizedClientException", "The security token included in the request is invalid.")


def expired() -> CallerRefused:
    """Temporary credentials, or a token, past their time."""
    return CallerRefused("ExpiredTokenException", "The security token included in the request is expired")


def denied(text: str) -> CallerRefused:
    """Known, and not allowed."""
    return CallerRefused("AccessDeniedException", text)


def undecided(why: str) -> CallerRefused:
    """Kubernetes does not say now who it is or what it may: nobody is let in on a guess."""
    text = f"Who calls cannot be established now: {why}; try again."
    return CallerRefused("ServiceUnavailableException", text, 503)
