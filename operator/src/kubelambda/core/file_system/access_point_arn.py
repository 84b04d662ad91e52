"""Names and ARNs of access points (§10.2). Pure."""


def access_point_arn(region: str, account: str, name: str) -> str:
    """The ARN of an AccessPoint."""
    return f"arn:aws:elasticfilesystem:{region}:{account}:access-point/{name}"


def access_point_name(arn: str) -> str:
    """Name of the AccessPoint that a function names by `arn`, which may be the name alone."""
    return arn.replace(":", "/").rpartition("/")[2]
