"""Pure rendering: model to Kubernetes manifest, one file per kind."""
