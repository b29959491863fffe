package cluster

import (
	"fmt"

	"github.com/metricspipeline/operator/test/cluster/internal/pki"
)

// Who may sign the kubelet's serving certificate.
const (
	SignedByCluster = "cluster"
	SignedByItself  = "itself"
	SignedByAnother = "another"
)

const (
	kubeletServing = "kubelet"
	// kubeletSigned is where the certificate of the cluster's authority is while the kubelet has another.
	kubeletSigned = "kubelet-signed-by-cluster"
)

// SignKubelet has the kubelet serve with a certificate that the cluster's authority, the kubelet itself or another authority has signed,
// and returns the certificate of the last. One that the kubelet makes for itself has its name and not its address. The kubelet notices
// the files, and goes on.
func (c *Cluster) SignKubelet(by string) ([]byte, error) {
	if _, err := c.running("fault sign-kubelet"); err != nil {
		return nil, err
	}
	present, err := pki.Read(c.path("pki"), kubeletSigned)
	if err != nil { // It has never been changed.
		if present, err = pki.Read(c.path("pki"), kubeletServing); err != nil {
			return nil, err
		}
		if err := present.Write(c.path("pki"), kubeletSigned); err != nil {
			return nil, err
		}
	}
	var authority []byte
	if by != SignedByCluster {
		request := servingRequests()[kubeletServing]
		if by == SignedByItself {
			request.IPs = nil
		}
		ca, err := pki.NewCA(nodeName + "-ca")
		if err != nil {
			return nil, err
		}
		if present, err = ca.Issue(request); err != nil {
			return nil, err
		}
		authority = ca.Pair().Certificate
	}
	if err := present.Write(c.path("pki"), kubeletServing); err != nil {
		return nil, fmt.Errorf("write the kubelet's certificate: %w", err)
	}
	c.log("the kubelet's certificate is signed by: %s", by)
	return authority, nil
}
