// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

const loopback = "127.0.0.1"

// pair is a certificate with its key.
type pair struct {
	certificate *x509.Certificate
	tls         tls.Certificate
}

// sign makes a certificate; it signs itself where there is no signer.
func sign(t *testing.T, template x509.Certificate, signer *pair) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signingKey := &template, any(key)
	if signer != nil {
		parent, signingKey = signer.certificate, signer.tls.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signingKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pair{certificate, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

func newAuthority(t *testing.T, name string) *pair {
	t.Helper()
	return sign(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}, nil)
}

func (p *pair) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw})
}

// listen accepts connections on loopback, and returns the port.
func listen(t *testing.T, serve func(net.Conn)) int32 {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(connection)
		}
	}()
	return int32(listener.Addr().(*net.TCPAddr).Port) //nolint:gosec // a port
}

// presents is a kubelet with a certificate. It asks for one of the client and demands none, and fails the test when anything but a
// handshake is sent.
func presents(t *testing.T, certificate *pair) func(net.Conn) {
	t.Helper()
	return func(connection net.Conn) {
		defer func() { _ = connection.Close() }()
		server := tls.Server(connection, &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
			Certificates: []tls.Certificate{certificate.tls}})
		if server.Handshake() != nil {
			return
		}
		if certificates := server.ConnectionState().PeerCertificates; len(certificates) > 0 {
			t.Error("the client presents a certificate")
		}
		if n, _ := server.Read(make([]byte, 1)); n > 0 {
			t.Error("the client sends more than a handshake")
		}
	}
}

// node is one whose kubelet listens at a port of loopback.
func node(port int32, ready corev1.ConditionStatus) *corev1.Node {
	n := &corev1.Node{}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "worker"}, {Type: corev1.NodeInternalIP, Address: loopback}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = port
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	return n
}

func TestVerify(t *testing.T) {
	clusters, others := newAuthority(t, "kubernetes"), newAuthority(t, "kubelet-ca")
	serving := x509.Certificate{Subject: pkix.Name{CommonName: "secret-name-of-the-peer"}, IPAddresses: []net.IP{net.ParseIP(loopback)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	with := func(change func(*x509.Certificate)) x509.Certificate {
		changed := serving
		change(&changed)
		return changed
	}
	address := func(port int32) string { return net.JoinHostPort(loopback, strconv.Itoa(int(port))) }
	internal := Access{AddressTypes: []string{"InternalIP", "Hostname"}}
	ended := with(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	// A kubelet makes such a certificate for itself where nothing else is set: with its name, without its address.
	selfSigned := with(func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames, c.IsCA, c.BasicConstraintsValid = nil, []string{"worker"}, true, true
	})

	for name, tc := range map[string]struct {
		serves  *pair
		access  Access
		reason  v1alpha1.NodeFailureReason
		message string
	}{
		"signed by the cluster's authority": {serves: sign(t, serving, clusters), access: internal},
		"signed by another authority": {serves: sign(t, serving, others), access: internal,
			reason: v1alpha1.NodeUnknownAuthority, message: "x509: certificate signed by unknown authority"},
		"signed by itself, as kubeadm leaves it": {serves: sign(t, selfSigned, nil), access: internal, reason: v1alpha1.NodeNameMismatch,
			message: "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"},
		"signed by itself, and not verified": {serves: sign(t, selfSigned, nil),
			access: Access{AddressTypes: internal.AddressTypes, Unverified: true}},
		"for another address": {serves: sign(t, with(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("10.9.8.7")} }), clusters),
			access: internal, reason: v1alpha1.NodeNameMismatch, message: "x509: certificate is valid for other addresses, not 127.0.0.1"},
		"expired": {serves: sign(t, ended, clusters), access: internal, reason: v1alpha1.NodeExpired,
			message: "x509: certificate has expired or is not yet valid"},
		"for clients": {serves: sign(t, with(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), clusters), access: internal, reason: v1alpha1.NodeInvalidCertificate, message: "x509: the certificate cannot be used by a server"},
	} {
		t.Run(name, func(t *testing.T) {
			port := listen(t, presents(t, tc.serves))
			fault := Verify(t.Context(), node(port, corev1.ConditionTrue), tc.access, clusters.pem())
			expectFault(t, fault, tc.reason, "Kubelet at "+address(port)+": "+tc.message+".")
			if fault != nil && !fault.Unverifiable() {
				t.Error("a certificate that does not verify counts as one that may by itself")
			}
		})
	}
	t.Run("signed by another authority that is named", func(t *testing.T) {
		port := listen(t, presents(t, sign(t, serving, others)))
		expectFault(t, Verify(t.Context(), node(port, corev1.ConditionTrue), internal, others.pem()), "", "")
	})
}

func TestVerifyWhatIsNoKubelet(t *testing.T) {
	authority := newAuthority(t, "kubernetes").pem()
	access := Access{AddressTypes: []string{"InternalIP"}}
	closed := listen(t, func(connection net.Conn) { _ = connection.Close() })
	plain := listen(t, func(connection net.Conn) {
		_, _ = connection.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\nthe secret text of what answers"))
		_ = connection.Close()
	})
	unused := func() int32 {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", loopback+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		return int32(listener.Addr().(*net.TCPAddr).Port) //nolint:gosec // a port
	}()
	for name, tc := range map[string]struct {
		node    *corev1.Node
		access  Access
		reason  v1alpha1.NodeFailureReason
		message string
	}{
		"refused": {node: node(unused, corev1.ConditionTrue), reason: v1alpha1.NodeRefused,
			message: "Kubelet at 127.0.0.1:" + strconv.Itoa(int(unused)) + ": connection refused."},
		"refused, and the node is not ready": {node: node(unused, corev1.ConditionUnknown), reason: v1alpha1.NodeNotReady,
			message: "The node is not ready. Kubelet at 127.0.0.1:" + strconv.Itoa(int(unused)) + ": connection refused."},
		"at the port of the spec": {node: node(1, corev1.ConditionTrue), access: Access{AddressTypes: access.AddressTypes, Port: unused},
			reason: v1alpha1.NodeRefused, message: "Kubelet at 127.0.0.1:" + strconv.Itoa(int(unused)) + ": connection refused."},
		"no TLS": {node: node(plain, corev1.ConditionTrue), reason: v1alpha1.NodeNoTLS,
			message: "Kubelet at 127.0.0.1:" + strconv.Itoa(int(plain)) + ": what answers does not speak TLS."},
		"closed": {node: node(closed, corev1.ConditionTrue), reason: v1alpha1.NodeUnreachable,
			message: "Kubelet at 127.0.0.1:" + strconv.Itoa(int(closed)) + ": the connection fails, or ends during the TLS handshake."},
		"no address of a preferred type": {node: node(1, corev1.ConditionTrue), access: Access{AddressTypes: []string{"ExternalIP", "ExternalDNS"}},
			reason: v1alpha1.NodeNoAddress, message: "The node states no address of the types ExternalIP, ExternalDNS."},
		"an address that is none": {node: named("http://elsewhere/\n"), access: Access{AddressTypes: []string{"Hostname"}},
			reason: v1alpha1.NodeNoAddress, message: "The node's Hostname is neither an IP address nor a name."},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.access.AddressTypes == nil {
				tc.access = access
			}
			fault := Verify(t.Context(), tc.node, tc.access, authority)
			expectFault(t, fault, tc.reason, tc.message)
			if fault != nil && fault.Unverifiable() {
				t.Error("it counts as a certificate that does not verify")
			}
		})
	}
}

// TestSilentKubelet is one that accepts the connection and says nothing.
func TestSilentKubelet(t *testing.T) {
	fault := explain("172.18.0.2:10250", context.DeadlineExceeded)
	expectFault(t, fault, v1alpha1.NodeTimeout,
		"Kubelet at 172.18.0.2:10250: no answer (context deadline exceeded); a firewall or a NetworkPolicy may drop the packets.")

	port := listen(t, func(net.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if fault := Verify(ctx, node(port, corev1.ConditionTrue), Access{AddressTypes: []string{"InternalIP"}}, nil); fault == nil ||
		fault.Reason != v1alpha1.NodeTimeout {
		t.Errorf("fault %v of a kubelet that says nothing", fault)
	}
}

// TestUnknownHost is a node's name that DNS does not have.
func TestUnknownHost(t *testing.T) {
	expectFault(t, explain("worker:10250", &net.DNSError{Err: "no such host", Name: "worker", Server: "10.96.0.10:53", IsNotFound: true}),
		v1alpha1.NodeHostUnknown, "Kubelet at worker:10250: no such host: the cluster's DNS does not know the name.")
}

// TestAnotherName is a certificate that is not for the name by which the kubelet is asked.
func TestAnotherName(t *testing.T) {
	other := x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"secret"}}, Host: "worker"}
	expectFault(t, explain("worker:10250", other), v1alpha1.NodeNameMismatch,
		"Kubelet at worker:10250: x509: certificate is not valid for the name worker.")
}

func TestAddress(t *testing.T) {
	stated := node(10260, corev1.ConditionTrue)
	silent := node(0, corev1.ConditionTrue)
	six := &corev1.Node{}
	six.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "fd00::1"}}
	for name, tc := range map[string]struct {
		node   *corev1.Node
		access Access
		want   string
	}{
		"the first type that the node has": {stated, Access{AddressTypes: []string{"ExternalIP", "Hostname", "InternalIP"}}, "worker:10260"},
		"the port of the spec":             {stated, Access{AddressTypes: []string{"InternalIP"}, Port: 10251}, "127.0.0.1:10251"},
		"a node that states no port":       {silent, Access{AddressTypes: []string{"InternalIP"}}, "127.0.0.1:10250"},
		"an IPv6 address":                  {six, Access{AddressTypes: []string{"InternalIP"}}, "[fd00::1]:10250"},
	} {
		if got, fault := tc.access.Address(tc.node); got != tc.want || fault != nil {
			t.Errorf("%s: %s, %v, want %s", name, got, fault, tc.want)
		}
	}
}

func named(name string) *corev1.Node {
	n := &corev1.Node{}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}}
	return n
}

func expectFault(t *testing.T, fault *Fault, reason v1alpha1.NodeFailureReason, message string) {
	t.Helper()
	switch {
	case reason == "" && fault != nil:
		t.Errorf("fault %s: %s, want none", fault.Reason, fault.Message)
	case reason != "" && (fault == nil || fault.Reason != reason || fault.Message != message):
		t.Errorf("fault %+v, want %s: %s", fault, reason, message)
	case fault != nil && strings.Contains(fault.Message, "secret"):
		t.Errorf("the message has what the other side sent: %s", fault.Message)
	}
}
