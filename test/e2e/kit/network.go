// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Places of the test cluster that [Cluster.Dial] connects from, beside pods.
const (
	// FromNode is the node, and FromOutside a host that is not of the cluster and has OutsideIP.
	FromNode    = "node"
	FromOutside = "outside"
	OutsideIP   = "198.51.100.2"
)

// denyAll denies what no other policy of the operator's namespace allows, as a careful administrator has it.
func denyAll() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: OperatorNamespace, Name: "deny-all"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		},
	}
}

// FromPod is the network of a pod that runs.
func FromPod(pod *corev1.Pod) string {
	if len(pod.Status.ContainerStatuses) == 0 {
		return ""
	}
	return pod.Status.ContainerStatuses[0].ContainerID
}

// Dial connects over TCP, in the test cluster, from one place to addresses with a port, and returns which of them accept: "" for
// one that does, else why not.
func (c *Cluster) Dial(ctx context.Context, from string, addresses ...string) (map[string]string, error) {
	out, err := c.host(ctx, append([]string{"dial", "--from", from}, addresses...)...)
	if err != nil {
		return nil, err
	}
	answers := map[string]string{}
	for line := range strings.Lines(out) {
		address, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
		answers[address] = strings.TrimPrefix(answer, "open")
	}
	if len(answers) != len(addresses) {
		return nil, fmt.Errorf("dial %s from %s: the answers are %q", strings.Join(addresses, ", "), from, out)
	}
	return answers, nil
}
