"""Operations on event source mappings."""
