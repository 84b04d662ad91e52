"""What functions and pods reach of each other, tried with real packets."""
