"""Operations on layers and their policies."""
