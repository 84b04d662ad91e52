"""The word for a source that cannot be read, whatever its kind: needs no client of any."""

from kubelambda.api.reasons import Reason


class SourceUnreachable(Exception):
    """The source does not exist, refuses us, or does not answer. The message is for the status of the mapping.

    `code` is the service's own word, if it said one; `reason` that of the mapping's condition; `result` what its
    lastProcessingResult then says (§7.1.4).
    """

    def __init__(
        self,
        message: str,
        code: str = "",
        *,
        reason: Reason = Reason.SOURCE_UNAVAILABLE,
        result: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.result = result
