// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// NodesStatus counts nodes by whether there are metrics of them.
type NodesStatus struct {
	// total counts the nodes.
	// +optional
	Total int32 `json:"total"`

	// withMetrics counts those of which metrics.k8s.io has metrics.
	// +optional
	WithMetrics int32 `json:"withMetrics"`

	// failing are nodes without metrics and why, at most 20 of them. A node that has just joined is not among them.
	// +optional
	// +listType=map
	// +listMapKey=name
	Failing []NodeFailure `json:"failing,omitempty"`
}

// NodeFailure says why there are no metrics of a node.
type NodeFailure struct {
	// name of the node.
	// +required
	Name string `json:"name,omitempty"`

	// reason is UnknownAuthority, NameMismatch, Expired, InvalidCertificate, NoTLS, Refused, Timeout, Unreachable, HostUnknown, NoAddress,
	// NodeNotReady or NoMetrics.
	// +required
	Reason NodeFailureReason `json:"reason,omitempty"`

	// message says what was found.
	// +required
	Message string `json:"message,omitempty"`
}

// NodeFailureReason is why there are no metrics of a node.
type NodeFailureReason string

const (
	// NodeUnknownAuthority surfaces when another authority signed the kubelet's serving certificate, or the kubelet itself did.
	NodeUnknownAuthority NodeFailureReason = "UnknownAuthority"
	// NodeNameMismatch surfaces when the certificate is not for the address by which the kubelet is asked.
	NodeNameMismatch NodeFailureReason = "NameMismatch"
	// NodeExpired surfaces when the certificate has ended, or has not begun.
	NodeExpired NodeFailureReason = "Expired"
	// NodeInvalidCertificate surfaces when the certificate does not verify for another cause.
	NodeInvalidCertificate NodeFailureReason = "InvalidCertificate"
	// NodeNoTLS surfaces when what answers does not speak TLS.
	NodeNoTLS NodeFailureReason = "NoTLS"
	// NodeRefused surfaces when nothing listens at the port.
	NodeRefused NodeFailureReason = "Refused"
	// NodeTimeout surfaces when nothing answers.
	NodeTimeout NodeFailureReason = "Timeout"
	// NodeUnreachable surfaces when there is no way to the address, or the connection ends early.
	NodeUnreachable NodeFailureReason = "Unreachable"
	// NodeHostUnknown surfaces when the name of the node has no address in DNS.
	NodeHostUnknown NodeFailureReason = "HostUnknown"
	// NodeNoAddress surfaces when the node has no address of a preferred type.
	NodeNoAddress NodeFailureReason = "NoAddress"
	// NodeNotReady surfaces when the kubelet does not answer, and the node is not ready.
	NodeNotReady NodeFailureReason = "NodeNotReady"
	// NodeNoMetrics surfaces when the kubelet answers, or was not asked, and there are no metrics of the node all the same.
	NodeNoMetrics NodeFailureReason = "NoMetrics"
)
