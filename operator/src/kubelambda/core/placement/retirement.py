"""Why an environment takes nothing more."""

from typing import Final

ASKED: Final = "the agent asked for it"
HANDED_OVER: Final = "handed over"
DELETED: Final = "the function was deleted"
UPDATED: Final = "the function was updated"
