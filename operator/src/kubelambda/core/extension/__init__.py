"""The extensions of a function: who they are, what they may do, and when an environment waits for them."""
