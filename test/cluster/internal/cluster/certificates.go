package cluster

import (
	"fmt"
	"net"
	"os"

	"github.com/metricspipeline/operator/test/cluster/internal/pki"
)

// The users of the daemons, as the API server's built-in roles know them.
var daemonUsers = map[string]pki.Request{
	"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
	"kube-scheduler":          {CommonName: "system:kube-scheduler"},
	"kube-proxy":              {CommonName: "system:kube-proxy"},
	"kubelet":                 {CommonName: "system:node:" + nodeName, Organizations: []string{"system:nodes"}},
	"admin-in-node":           {CommonName: "admin", Organizations: []string{"system:masters"}},
}

// The certificates of the aggregation layer: the authority's name and file, and the user and file of the API server as
// the client of aggregated servers.
const (
	frontProxyCAName = "metricspipeline-cluster-front-proxy"
	frontProxyCAFile = "front-proxy-ca"
	frontProxyClient = "front-proxy-client"
)

// makeCertificates fills pki/ and kubeconfig/. The administrator's kubeconfig points at the forwarder on the host.
func (c *Cluster) makeCertificates(hostPort int) error {
	for _, dir := range []string{"pki", "kubeconfig"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return err
		}
	}
	// One authority signs clients, the API server and the kubelet, so that a client that trusts a service account's CA file,
	// as metrics-server does, can verify the kubelet too.
	ca, err := pki.NewCA("metricspipeline-cluster")
	if err != nil {
		return err
	}
	// The aggregation layer's authority must be another one: whom it signs may speak for any user.
	frontProxyCA, err := pki.NewCA(frontProxyCAName)
	if err != nil {
		return err
	}
	serviceAccounts, err := pki.NewSigningKeys()
	if err != nil {
		return err
	}
	pairs := map[string]pki.Pair{"ca": ca.Pair(), frontProxyCAFile: frontProxyCA.Pair(), "service-account": serviceAccounts}
	if pairs[frontProxyClient], err = frontProxyCA.Issue(pki.Request{CommonName: frontProxyClient}); err != nil {
		return err
	}
	for name, request := range servingRequests() {
		if pairs[name], err = ca.Issue(request); err != nil {
			return err
		}
	}
	for name, pair := range pairs {
		if err := pair.Write(c.path("pki"), name); err != nil {
			return err
		}
	}
	return c.makeKubeconfigs(ca, hostPort)
}

// servingRequests are the certificates of the servers, and the one the API server shows to the kubelet.
func servingRequests() map[string]pki.Request {
	return map[string]pki.Request{
		"kube-apiserver": {
			CommonName: "kube-apiserver",
			DNSNames: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + dnsDomain,
			},
			IPs: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(nodeIP), net.ParseIP(firstServiceIP)},
		},
		"kubelet": {
			CommonName:    "system:node:" + nodeName,
			Organizations: []string{"system:nodes"},
			DNSNames:      []string{nodeName},
			IPs:           []net.IP{net.ParseIP(nodeIP)},
		},
		"kube-apiserver-kubelet-client": {
			CommonName:    "kube-apiserver-kubelet-client",
			Organizations: []string{"system:masters"},
		},
	}
}

func (c *Cluster) makeKubeconfigs(ca *pki.CA, hostPort int) error {
	authority := ca.Pair().Certificate
	for name, request := range daemonUsers {
		client, err := ca.Issue(request)
		if err != nil {
			return err
		}
		if err := pki.WriteKubeconfig(c.nodeKubeconfig(name), apiServerURL(), authority, client); err != nil {
			return err
		}
	}
	admin, err := ca.Issue(daemonUsers["admin-in-node"])
	if err != nil {
		return err
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", hostPort)
	return pki.WriteKubeconfig(c.nodeKubeconfig("admin"), server, authority, admin)
}
