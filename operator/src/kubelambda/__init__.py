"""kubelambda: Lambda on any Kubernetes."""
