"""Lambda's control API over the custom resources: what it makes, `kubectl get` shows; what GitOps makes, it reads."""
