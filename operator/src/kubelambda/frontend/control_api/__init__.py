"""Everything that is not Invoke goes to the control API, which has the same address."""
