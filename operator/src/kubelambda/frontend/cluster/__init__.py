"""What a frontend knows of Kubernetes."""
