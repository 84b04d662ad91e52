"""The resource policy of a function: who else may use it (§1.3)."""

from typing import Annotated, Literal

from pydantic import Field

from kubelambda.api.model import Model


class Permission(Model):
    """A statement of the resource policy, as AddPermission takes it."""

    statement_id: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", max_length=100)]
    """Its name."""
    action: Annotated[str, Field(pattern=r"^(lambda:[*]|lambda:[a-zA-Z]+|[*])$", max_length=128)]
    """What is allowed: lambda:InvokeFunction."""
    principal: Annotated[str, Field(min_length=1, max_length=512)]
    """A service, an account, an IAM identity, or * for everybody."""
    qualifier: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", max_length=128)] | None = None
    """The version or alias that it is about; the unqualified function unless given."""
    source_arn: Annotated[str, Field(max_length=2048)] | None = None
    """Only for events of this source."""
    source_account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    """Only for sources of this account."""
    event_source_token: Annotated[str, Field(max_length=256)] | None = None
    """Only for who knows this token."""
    function_url_auth_type: Literal["NONE", "AWS_IAM"] | None = None
    """Only for a function URL of this kind."""
    principal_org_id: Annotated[str, Field(max_length=34)] | None = None
    """Only for accounts of this organization."""
    invoked_via_function_url: bool | None = None
    """Only through a function URL."""
