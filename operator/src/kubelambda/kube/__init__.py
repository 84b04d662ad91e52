"""The only code that imports `kubernetes`: client, server-side apply, reflector, claim, lease."""
