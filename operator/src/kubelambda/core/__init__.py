"""Pure decisions over values, with the time passed in: no async, no clock, no environment, no I/O."""
