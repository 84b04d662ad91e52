"""Credentials of an account's functions, as Lambda gives those of a role: out of one Secret that the account names."""

from kubelambda.api.kinds.environment_variables import EnvironmentVariables, KeyReference, VariableSource

_REQUIRED = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of the variable


def with_credentials(environment: EnvironmentVariables, secret: str | None) -> EnvironmentVariables:
    """The variables of a function, and those of its account's credentials (§3.4.4) when it has a Secret of them.

    Functions cannot name these variables themselves: Lambda reserves them.
    """
    if secret is None:
        return environment
    sources = [
        VariableSource.model_construct(
            name=name,
            secret_key_ref=KeyReference.model_construct(name=secret, key=name, optional=name not in _REQUIRED),
        )
        for name in (*_REQUIRED, _SESSION_TOKEN)
    ]
    return environment.model_copy(update={"from_": [*environment.from_, *sources]})
