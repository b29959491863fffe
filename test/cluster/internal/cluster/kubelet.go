package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/machine"
	"github.com/metricspipeline/operator/test/cluster/internal/pki"
)

// reloadTimeout bounds the wait for a kubelet that is to present another certificate. It sees a changed file at once, and looks once a
// minute in any case.
const reloadTimeout = 2 * time.Minute

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
// waits until it presents that, and returns the certificate of who signed it. One that the kubelet makes for itself has its name and not
// its address. It is not restarted.
func (c *Cluster) SignKubelet(ctx context.Context, by string) ([]byte, error) {
	s, err := c.running("fault sign-kubelet")
	if err != nil {
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
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	if err := s.wait(ctx, "the kubelet's certificate", func(ctx context.Context) error { return s.presents(ctx, present) }); err != nil {
		return nil, err
	}
	c.log("the kubelet's certificate is signed by: %s", by)
	return authority, nil
}

// presents fails as long as the kubelet serves with another certificate.
func (s *starter) presents(ctx context.Context, pair pki.Pair) error {
	want, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		return err
	}
	connection, err := machine.DialInNetNS(ctx, s.netNS(), "tcp", net.JoinHostPort(nodeIP, "10250"))
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	client := tls.Client(connection, &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) //nolint:gosec // it is compared
	if err := client.HandshakeContext(ctx); err != nil {
		return err
	}
	if !bytes.Equal(client.ConnectionState().PeerCertificates[0].Raw, want.Certificate[0]) {
		return errors.New("the kubelet presents another certificate")
	}
	return nil
}
