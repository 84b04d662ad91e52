"""Operations on functions: create, read, change, delete, concurrency, tags."""
