"""What the function prints, and Lambda's own lines."""
