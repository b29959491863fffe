// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/operand"
)

// unread lets no kubelet of some nodes be read by a component.
func unread(o *Observation, component string, reason v1alpha1.NodeFailureReason, nodes ...string) {
	o.Nodes = Nodes{Known: true, Component: component, Unread: map[string]*kubelet.Fault{}}
	for _, name := range nodes {
		o.Facts.Nodes = append(o.Facts.Nodes, name)
		o.Nodes.Unread[name] = &kubelet.Fault{Reason: reason, Message: "Kubelet at " + name + ": x509."}
	}
	planOf(o, usageServer).Kubelets = &kubelet.Access{Unverifiable: "Sign them, or set Insecure.", Unreachable: "Open the port."}
}

func nodeCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionComponentsReady
	return map[string]conditionCase{
		"no kubelet's certificate verifies": {
			change: func(o *Observation) {
				stands(o, usageServer, starting(usageServer))
				unread(o, usageServer, v1alpha1.NodeNameMismatch, "b", "a")
			},
			differ: map[string]string{condition: "False KubeletsUnverified"},
			ready:  "KubeletsUnverified", kstatus: status.FailedStatus,
			says: "usage-server cannot verify the serving certificate of any kubelet that was asked (2 of 2 nodes). Node a: Kubelet at a: x509. " +
				"Node b: Kubelet at b: x509. Sign them, or set Insecure."},
		"no kubelet answers": {
			change: func(o *Observation) {
				stands(o, usageServer, starting(usageServer))
				unread(o, usageServer, v1alpha1.NodeTimeout, "a")
			},
			differ: map[string]string{condition: "False Unavailable"},
			ready:  "Unavailable", kstatus: status.InProgressStatus,
			says: "usage-server can read no kubelet that was asked (1 of 1 nodes). Node a: Kubelet at a: x509. Open the port."},
		"kubelets that cannot be read, and a component that is ready": {
			change: func(o *Observation) { unread(o, usageServer, v1alpha1.NodeNameMismatch, "a") },
			ready:  "Ready", kstatus: status.CurrentStatus},
		"kubelets that cannot be read, and another component that is not ready": {
			change: func(o *Observation) {
				stands(o, rulesServer, starting(rulesServer))
				unread(o, usageServer, v1alpha1.NodeNameMismatch, "a")
			},
			differ: map[string]string{condition: "False Unavailable"},
			ready:  "Unavailable", kstatus: status.InProgressStatus},
		"the authority of the kubelets is missing": {
			change: func(o *Observation) {
				o.Plan.Findings = []operand.Finding{{Condition: condition, Reason: v1alpha1.ReasonKubeletCAMissing, Stalled: true,
					Message: "usage-server: there is no ConfigMap ca."}}
			},
			differ: map[string]string{condition: "False KubeletCAMissing"},
			ready:  "KubeletCAMissing", kstatus: status.FailedStatus, says: "there is no ConfigMap ca."},
		"nodes without metrics": {
			change: func(o *Observation) {
				o.Nodes = Nodes{Known: true, Status: &v1alpha1.NodesStatus{Total: 5, WithMetrics: 3,
					Failing: []v1alpha1.NodeFailure{{Name: "a", Reason: v1alpha1.NodeRefused, Message: "refused"}}}}
			},
			ready: "Ready", kstatus: status.CurrentStatus,
			says: "external.metrics.k8s.io. Nodes without metrics: 2 of 5, see status.nodes."},
	}
}

// TestStuckPodsCountMoreThanKubelets: both are said, and the evidence about the pods gives the reason.
func TestStuckPodsCountMoreThanKubelets(t *testing.T) {
	_, got := statusOf(func(o *Observation) {
		stuckCases()["an image cannot be pulled"].change(o)
		unread(o, usageServer, v1alpha1.NodeNameMismatch, "a")
	})
	found := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionComponentsReady)
	if found.Reason != v1alpha1.ReasonWorkloadStuck || !strings.Contains(found.Message, "cannot be pulled") ||
		!strings.Contains(found.Message, "cannot verify the serving certificate") {
		t.Errorf("%s: %s", found.Reason, found.Message)
	}
}

// TestManyKubelets are not all named in a condition.
func TestManyKubelets(t *testing.T) {
	_, got := statusOf(func(o *Observation) {
		stands(o, usageServer, starting(usageServer))
		var names []string
		for i := range kubelet.MostAsked {
			names = append(names, fmt.Sprintf("node-%02d", i))
		}
		unread(o, usageServer, v1alpha1.NodeNameMismatch, names...)
		o.Facts.Nodes = make([]string, 5000)
	})
	message := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionComponentsReady).Message
	if strings.Count(message, "Node node-") != mostKubelets || !strings.Contains(message, "(20 of 5000 nodes)") {
		t.Error(message)
	}
}

// TestNodesAreKept until they are known, as after a restart: their status, what Ready says of it, and why nothing can be read.
func TestNodesAreKept(t *testing.T) {
	before := func(o *Observation) {
		o.Nodes = Nodes{Known: true, Status: &v1alpha1.NodesStatus{Total: 5, WithMetrics: 3,
			Failing: []v1alpha1.NodeFailure{{Name: "a", Reason: v1alpha1.NodeRefused, Message: "refused"}}}}
	}
	unverified := func(o *Observation) {
		stands(o, usageServer, starting(usageServer))
		unread(o, usageServer, v1alpha1.NodeNameMismatch, "a")
	}
	for name, change := range map[string]func(*Observation){"nodes without metrics": before, "kubelets that do not verify": unverified} {
		t.Run(name, func(t *testing.T) {
			o, first := statusOf(change)
			o.Nodes = Nodes{}
			if diff := cmp.Diff(first, Status(o, first)); diff != "" {
				t.Errorf("while nothing new is known (-before +after):\n%s", diff)
			}
		})
	}
}

// TestRuns is whether all workloads of a component do.
func TestRuns(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   bool
	}{
		"as they should": {func(*Observation) {}, true},
		"starting":       {func(o *Observation) { stands(o, usageServer, starting(usageServer)) }, false},
		"one of two": {func(o *Observation) {
			o.Workloads[usageServer] = append(o.Workloads[usageServer], cluster.Workload{Name: "usage-shards"})
		}, false},
		"not there": {func(o *Observation) { delete(o.Workloads, usageServer) }, false},
	} {
		o, _ := statusOf(tc.change)
		if got := o.Runs(*planOf(&o, usageServer)); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}
