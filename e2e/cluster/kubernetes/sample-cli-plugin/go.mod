// Never built: k8s.io/kubernetes names this module, which is not published under its release numbers.
module k8s.io/sample-cli-plugin

go 1.26.0
