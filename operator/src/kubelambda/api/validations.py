"""CEL rules as values: how a model says a cross-field check that the API server then enforces."""

from typing import Any


def rule(expression: str, message: str, **more: str) -> dict[str, str]:
    """One `x-kubernetes-validations` entry. `more` may carry `fieldPath`, `reason`, `messageExpression`."""
    return {"rule": expression, "message": message, **more}


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """The `json_schema_extra` that attaches `entries` to a model."""
    return {"x-kubernetes-validations": list(entries)}


def fixed(field: str, what: str) -> dict[str, str]:
    """Refuses a change of `field`, which is `what`, also one that gives it or takes it away."""
    return rule(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{what} of a mapping is fixed: {field}",
    )


def not_served(field: str, *, unless: str | None = None) -> dict[str, str]:
    """Refuses `field` while no component serves it, unless its value makes the CEL expression `unless` true."""
    expression = f"!has(self.{field})" + (f" || {unless}" if unless else "")
    return rule(
        expression,
        f"{field} is not served by this release of kubelambda and would be ignored: remove it",
        fieldPath=f".{field}",
    )
