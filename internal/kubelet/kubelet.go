// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubelet asks kubelets what the component that reads them would: whether they answer, with a certificate that verifies. It finds
// the address and the port of a node, and verifies, as upstream's does (pkg/utils/address_resolver.go and pkg/scraper/client there).
//
// Addresses and ports are written by the nodes themselves, and a compromised one may lead to anything. So a kubelet gets a TLS
// handshake and nothing else: no credential, no request. What comes back is one of a fixed list of reasons; nothing of a
// certificate, or of what else answers, goes into a message.
package kubelet

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// defaultPort is upstream's where a node states none.
const defaultPort = 10250

// Access is how a component reaches the kubelets.
type Access struct {
	// AddressTypes are the kinds of node address to try, in this order.
	AddressTypes []string
	// Port of every kubelet; 0 is the one that each node states.
	Port int32
	// Authority verifies the kubelets' certificates, as PEM; nil is the cluster's.
	Authority []byte
	// Unverified is true where any certificate does, or where it is not known by which authority the component verifies.
	Unverified bool
	// Selective is true where the component leaves out nodes on purpose.
	Selective bool
	// Patience is how long a node may be without metrics before something is wrong.
	Patience time.Duration
	// Unverifiable is what to do where certificates do not verify, Unreachable where kubelets do not answer, and Log where to read what
	// they answer.
	Unverifiable, Unreachable, Log string
}

// Remedy returns what to do where kubelets cannot be read, because certificates do not verify or for another cause.
func (a Access) Remedy(unverifiable bool) string {
	if unverifiable {
		return a.Unverifiable
	}
	return a.Unreachable
}

// Digest changes with whatever an answer depends on. authority is the one in force.
func (a Access) Digest(authority []byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %t %s", a.AddressTypes, a.Port, a.Unverified, authority))
	return hex.EncodeToString(sum[:8])
}

// Address returns where the kubelet of a node is asked, as host:port.
func (a Access) Address(node *corev1.Node) (string, *Fault) {
	port := a.Port
	if port == 0 {
		port = node.Status.DaemonEndpoints.KubeletEndpoint.Port
	}
	if port == 0 {
		port = defaultPort
	}
	for _, wanted := range a.AddressTypes {
		for _, address := range node.Status.Addresses {
			switch {
			case string(address.Type) != wanted:
			case !plausible(address.Address):
				return "", &Fault{v1alpha1.NodeNoAddress, "The node's " + wanted + " is neither an IP address nor a name."}
			default:
				return net.JoinHostPort(address.Address, strconv.Itoa(int(port))), nil
			}
		}
	}
	return "", &Fault{v1alpha1.NodeNoAddress, "The node states no address of the types " + strings.Join(a.AddressTypes, ", ") + "."}
}

// plausible is true of what can be an address: the API server takes any text for one, and it goes into messages.
func plausible(address string) bool {
	return net.ParseIP(address) != nil || len(validation.IsDNS1123Subdomain(strings.ToLower(address))) == 0
}

// Fault is why a kubelet cannot be read.
type Fault struct {
	// Reason and Message say so. The message has nothing that the other side sent.
	Reason  v1alpha1.NodeFailureReason
	Message string
}

// Error returns the message.
func (f *Fault) Error() string { return f.Message }

// Unverifiable is true of a certificate that does not verify: only a person can change that.
func (f *Fault) Unverifiable() bool {
	switch f.Reason {
	case v1alpha1.NodeUnknownAuthority, v1alpha1.NodeNameMismatch, v1alpha1.NodeExpired, v1alpha1.NodeInvalidCertificate:
		return true
	}
	return false
}

// silent is true where nothing answers at all.
func (f *Fault) silent() bool {
	switch f.Reason {
	case v1alpha1.NodeRefused, v1alpha1.NodeTimeout, v1alpha1.NodeUnreachable, v1alpha1.NodeHostUnknown:
		return true
	}
	return false
}
