// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Verify asks the kubelet of a node; nil where it can be read. authority is the one in force, as PEM; nil for the system's.
func Verify(ctx context.Context, node *corev1.Node, access Access, authority []byte) *Fault {
	address, fault := access.Address(node)
	if fault == nil {
		fault = handshake(ctx, address, access.Unverified, authority)
	}
	if fault != nil && fault.silent() && !ready(node) {
		return &Fault{v1alpha1.NodeNotReady, "The node is not ready. " + fault.Message}
	}
	return fault
}

// handshake connects and ends the connection as soon as the certificate was judged.
func handshake(ctx context.Context, address string, unverified bool, authority []byte) *Fault {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: unverified} //nolint:gosec // nothing is sent or believed
	if !unverified && authority != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(authority)
	}
	connection, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = connection.Close()
		return nil
	}
	return explain(address, err)
}

// explain says in fixed words why a handshake failed. Those about certificates are Go's, as people search for them, without what the
// certificate says of itself.
func explain(address string, err error) *Fault {
	host, _, _ := net.SplitHostPort(address)
	say := func(reason v1alpha1.NodeFailureReason, format string, values ...any) *Fault {
		return &Fault{reason, fmt.Sprintf("Kubelet at %s: %s.", address, fmt.Sprintf(format, values...))}
	}
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		refused *tls.CertificateVerificationError
		plain   tls.RecordHeaderError
		dns     *net.DNSError
		network net.Error
	)
	switch {
	case errors.As(err, &name):
		return say(v1alpha1.NodeNameMismatch, "%s", mismatch(host, name.Certificate))
	case errors.As(err, &unknown):
		return say(v1alpha1.NodeUnknownAuthority, "x509: certificate signed by unknown authority")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return say(v1alpha1.NodeExpired, "x509: certificate has expired or is not yet valid")
	case errors.As(err, &refused):
		return say(v1alpha1.NodeInvalidCertificate, "x509: the certificate cannot be used by a server")
	case errors.As(err, &plain):
		return say(v1alpha1.NodeNoTLS, "what answers does not speak TLS")
	case errors.As(err, &dns) && dns.IsNotFound:
		return say(v1alpha1.NodeHostUnknown, "no such host: the cluster's DNS does not know the name")
	case errors.Is(err, syscall.ECONNREFUSED):
		return say(v1alpha1.NodeRefused, "connection refused")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return say(v1alpha1.NodeTimeout, "no answer (context deadline exceeded); a firewall or a NetworkPolicy may drop the packets")
	default:
		return say(v1alpha1.NodeUnreachable, "the connection fails, or ends during the TLS handshake")
	}
}

// mismatch says how a certificate is not for a host.
func mismatch(host string, certificate *x509.Certificate) string {
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return "x509: certificate is not valid for the name " + host
	case certificate == nil || len(certificate.IPAddresses) == 0:
		return "x509: cannot validate certificate for " + host + " because it doesn't contain any IP SANs"
	default:
		return "x509: certificate is valid for other addresses, not " + host
	}
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
