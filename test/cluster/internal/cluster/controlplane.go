package cluster

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// etcdURL is on the node's own loopback, which no other machine reaches.
const (
	etcdURL     = "http://127.0.0.1:2379"
	etcdPeerURL = "http://127.0.0.1:2380"
)

// startControlPlane starts etcd, the API server with its way in from the host, and what follows the API server. It returns
// when the API server is ready.
func (s *starter) startControlPlane(ctx context.Context, listener *net.TCPListener) error {
	if err := s.start(components.Etcd, s.etcdArgs()); err != nil {
		return err
	}
	if err := s.start(components.KubeAPIServer, s.apiServerArgs()); err != nil {
		return err
	}
	if err := s.startForwarder(listener); err != nil {
		return err
	}
	if err := s.wait(ctx, "the API server", s.apiServerReady); err != nil {
		return err
	}
	if err := s.start(components.KubeControllerManager, s.controllerManagerArgs()); err != nil {
		return err
	}
	if err := s.start(components.KubeScheduler, s.schedulerArgs()); err != nil {
		return err
	}
	return nil
}

// startForwarder runs this program once more, inside the node's network namespace but with a listener that was opened
// outside: the only way between the two, without a device on the host.
func (s *starter) startForwarder(listener *net.TCPListener) error {
	file, err := listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return s.startSpec(machine.Spec{
		Name:  "forwarder",
		Path:  self,
		Args:  []string{"forward", net.JoinHostPort(nodeIP, apiServerPort)},
		Files: []*os.File{file},
	})
}

func (s *starter) etcdArgs() []string {
	return []string{
		"--name=etcd",
		"--data-dir=" + s.path("etcd"),
		"--listen-client-urls=" + etcdURL,
		"--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=" + etcdPeerURL,
		"--initial-advertise-peer-urls=" + etcdPeerURL,
		"--initial-cluster=etcd=" + etcdPeerURL,
		// The data does not outlive the cluster, so it need not survive a power cut either.
		"--unsafe-no-fsync",
	}
}

func (s *starter) apiServerArgs() []string {
	return []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=0.0.0.0",
		"--secure-port=" + apiServerPort,
		"--advertise-address=" + nodeIP,
		"--service-cluster-ip-range=" + serviceCIDR,
		"--cert-dir=" + s.path("run", "kube-apiserver"),
		"--tls-cert-file=" + s.pki("kube-apiserver.crt"),
		"--tls-private-key-file=" + s.pki("kube-apiserver.key"),
		"--client-ca-file=" + s.pki("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",

		"--service-account-issuer=https://kubernetes.default.svc." + dnsDomain,
		"--service-account-key-file=" + s.pki("service-account.crt"),
		"--service-account-signing-key-file=" + s.pki("service-account.key"),

		"--kubelet-certificate-authority=" + s.pki("ca.crt"),
		"--kubelet-client-certificate=" + s.pki("kube-apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + s.pki("kube-apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",

		// The aggregation layer. Routing to endpoints instead of Service addresses is what spreads requests over the
		// replicas of an aggregated server.
		"--requestheader-client-ca-file=" + s.pki(frontProxyCAFile+".crt"),
		"--requestheader-allowed-names=" + frontProxyClient,
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + s.pki(frontProxyClient+".crt"),
		"--proxy-client-key-file=" + s.pki(frontProxyClient+".key"),
		"--enable-aggregator-routing=true",
		// When it has taken a new certificate to show to aggregated servers shows in its log alone.
		"--vmodule=dynamic_serving_content=2",
	}
}

func (s *starter) controllerManagerArgs() []string {
	return append(s.delegatingArgs("kube-controller-manager"),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+s.pki("service-account.key"),
		"--root-ca-file="+s.pki("ca.crt"),
		"--cluster-signing-cert-file="+s.pki("ca.crt"),
		"--cluster-signing-key-file="+s.pki("ca.key"),
		"--service-cluster-ip-range="+serviceCIDR,
		"--cluster-cidr="+podCIDR,
		"--allocate-node-cidrs=false",
		"--flex-volume-plugin-dir="+s.path("kubelet", "volume-plugins"),
		// It requests a token per controller when it starts; the default of 20 requests a second makes that take seconds.
		"--kube-api-qps=500",
		"--kube-api-burst=1000",

		// A horizontal autoscaler that a test can watch: by default it waits five minutes before it scales down.
		"--horizontal-pod-autoscaler-sync-period=5s",
		"--horizontal-pod-autoscaler-downscale-stabilization=15s",
		"--horizontal-pod-autoscaler-initial-readiness-delay=5s",
		"--horizontal-pod-autoscaler-cpu-initialization-period=5s",
	)
}

func (s *starter) schedulerArgs() []string { return s.delegatingArgs("kube-scheduler") }

// delegatingArgs are the flags that the scheduler and the controller manager share.
func (s *starter) delegatingArgs(name string) []string {
	kubeconfig := s.nodeKubeconfig(name)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--requestheader-client-ca-file=" + s.pki(frontProxyCAFile+".crt"),
		"--client-ca-file=" + s.pki("ca.crt"),
		"--cert-dir=" + s.path("run", name),
		"--bind-address=127.0.0.1",
		// There is one of each: an election only delays the start.
		"--leader-elect=false",
	}
}

// startProxy starts kube-proxy, which programs Service addresses into the node's network namespace.
func (s *starter) startProxy() error {
	config := map[string]any{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"mode":             "nftables",
		"hostnameOverride": nodeName,
		"clusterCIDR":      podCIDR,
		"clientConnection": map[string]any{"kubeconfig": s.nodeKubeconfig("kube-proxy")},
		// Zero leaves the host's connection tracking as it is; its size is not a namespace's to set.
		"conntrack": map[string]any{
			"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
		},
	}
	path, err := s.writeConfig("kube-proxy.yaml", config)
	if err != nil {
		return fmt.Errorf("configuring kube-proxy: %w", err)
	}
	return s.start(components.KubeProxy, []string{"--config=" + path})
}
