"""Operations on asynchronous invocation."""
