// Command kube is every Kubernetes component that a single-node test cluster needs, as one multi-call
// binary: it runs the component whose name it was started under (argv[0]), or the one named by its first
// argument. One binary instead of six shares the code of k8s.io/kubernetes, which makes the build and the
// cache about four times smaller.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"context"
)

var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	name := filepath.Base(os.Args[0])
	component, known := components[name]
	if !known && len(os.Args) > 1 {
		name = os.Args[1]
		component, known = components[name]
		os.Args = os.Args[1:]
	}
	if !known {
		fmt.Fprintf(os.Stderr, "kube: %q is not a component; link or call this binary as one of:\n", name)
		for component := range components {
			fmt.Fprintf(os.Stderr, "  %s\n", component)
		}
		os.Exit(2)
	}
	os.Exit(cli.Run(component()))
}
