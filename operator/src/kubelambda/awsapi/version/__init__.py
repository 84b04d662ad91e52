"""Operations on versions, aliases and provisioned concurrency."""
