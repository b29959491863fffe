// Command cluster runs a real single-node Kubernetes cluster from Go modules and Debian packages: no image registry, no
// prebuilt binaries, nothing outside of loopback and a network namespace of its own.
//
//	cluster up [--without-prometheus]         build what is missing, start, wait until everything serves;
//	           [--enforce-network-policies]   NetworkPolicies are ignored without this flag
//	cluster status                            one line per daemon, the node, the pods; fails when not healthy
//	cluster kubeconfig                        print the path of the administrator's kubeconfig, good on this host
//	cluster load NAME:TAG --binary FILE       pack a static executable as an image and put it into the cluster
//	cluster load FILE.tar                     put the images of a docker archive into the cluster
//	cluster push NAME:TAG --folder DIR:PATH   pack an image, push it to a registry on the node, print its reference there
//	cluster binaries [NAME...]                build, and print one folder with the named binaries
//	cluster exec-in-node COMMAND...           run a command in the node's network namespace
//	cluster dial --from ID ADDRESS...         connect from the network of a container, the node or the outside
//	cluster addon install|remove NAME         put into the cluster what it starts without, or take it away
//	cluster fault pause-etcd [--for 30s]      stop etcd for a while
//	cluster fault restart-apiserver           kill the API server and start it again
//	cluster fault rotate-front-proxy          replace the authority by which aggregated servers know the API server
//	cluster down                              stop and remove everything but the logs, after any failure
//
// up, down, load, push, exec-in-node, dial, addon and fault need root and these Debian packages: containerd runc
// containernetworking-plugins nftables iptables ipset conntrack iproute2. binaries needs Go alone.
//
// The state folder has everything of a cluster: certificates, data, sockets, mounts and logs. What lies outside of it,
// control groups and processes, is found from its path. The API server listens in the cluster's own network namespace;
// a forwarder process lends it a port on the host's loopback.
//
// The cluster has CoreDNS and, unless a flag says otherwise, prometheus-operator with one Prometheus, monitoring/k8s, that takes
// up every ServiceMonitor, PodMonitor and PrometheusRule labeled prometheus=k8s. The images of metrics-server and
// prometheus-adapter are loaded under their upstream names.
//
// NetworkPolicies are accepted, and enforced with --enforce-network-policies: by kube-router's firewall, which begins with a
// connection that is new. It does not filter what the node itself sends to its pods. Such a cluster has one host outside of it,
// 198.51.100.2, which accepts connections on a few ports.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/cluster"
)

func init() {
	// Namespaces and control groups are entered on threads that are discarded after. The first thread cannot be
	// discarded, so it is kept for the main goroutine.
	runtime.LockOSThread()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := newCommand(newLogger()).ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	// The exit code of a command that was run on behalf of the user is the answer.
	if exit := (cluster.ExitError{}); errors.As(err, &exit) {
		os.Exit(exit.Code)
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

// newLogger writes lines with the time since the start to the standard error: the standard output is for results.
func newLogger() func(string, ...any) {
	start := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "[%6.1fs] %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
}
