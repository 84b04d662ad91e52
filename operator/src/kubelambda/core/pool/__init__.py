"""How many idle environments a pool keeps, and what a Runtime says of its pools."""
