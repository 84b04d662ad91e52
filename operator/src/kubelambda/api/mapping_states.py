"""What an event source mapping can be, in Lambda's words (§7.1.2): in the object and in the control API's answers."""

from typing import Literal

MappingState = Literal["Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting"]
