// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/operand"
)

// mostKubelets is how many kubelets a condition names: status.nodes has more of them.
const mostKubelets = 3

// Nodes is what is known of the nodes, and of the kubelets.
type Nodes struct {
	// Known is false until all that was asked is answered: what the status said stays.
	Known bool
	// Status of the nodes; nil where there is nothing to say.
	Status *v1alpha1.NodesStatus
	// Unread are why no kubelet that was asked can be read, by the node's name, and Component the one that has to; nil where one can.
	Component string
	Unread    map[string]*kubelet.Fault
}

// Runs is true of a component whose workloads all run as they should.
func (o Observation) Runs(c operand.Planned) bool {
	workloads := o.Workloads[c.Name]
	return len(workloads) > 0 && !slices.ContainsFunc(workloads, func(w cluster.Workload) bool {
		return verdict(w).State != health.Current
	})
}

// nodesStatus is the status of the nodes.
func nodesStatus(o Observation) *v1alpha1.NodesStatus {
	if !o.Nodes.Known {
		return o.previous.Nodes.DeepCopy()
	}
	return o.Nodes.Status.DeepCopy()
}

// withoutMetrics says of how many nodes metrics are missing; empty where there is nothing to say. It is no part of a condition's status:
// nodes fail, and are not the stack's.
func withoutMetrics(o Observation) string {
	nodes := nodesStatus(o)
	if nodes == nil || len(nodes.Failing) == 0 {
		return ""
	}
	return fmt.Sprintf(" Nodes without metrics: %d of %d, see status.nodes.", nodes.Total-nodes.WithMetrics, nodes.Total)
}

// unreadKubelets adds to the finding about a component that is not ready why it can read no kubelet. A cause that a person must remove
// counts more than that pods are missing, which is its effect.
func unreadKubelets(o Observation, component string, f finding) finding {
	before := meta.FindStatusCondition(o.previous.Conditions, v1alpha1.ConditionComponentsReady)
	if !o.Nodes.Known {
		f.undecided = before != nil && before.Reason == v1alpha1.ReasonKubeletsUnverified
		return f
	}
	faults := o.Nodes.Unread
	if len(faults) == 0 || o.Nodes.Component != component {
		return f
	}
	c, _ := o.Plan.Component(component)
	unverifiable := true
	var named []string
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		unverifiable = unverifiable && faults[name].Unverifiable()
		if len(named) < mostKubelets {
			named = append(named, "Node "+name+": "+faults[name].Message)
		}
	}
	what, remedies := "can read no kubelet", ""
	if unverifiable {
		what = "cannot verify the serving certificate of any kubelet"
	}
	if c.Kubelets != nil {
		remedies = " " + c.Kubelets.Remedy(unverifiable)
	}
	f.message += fmt.Sprintf(" %s %s that was asked (%d of %d nodes). %s%s", component, what, len(faults), len(o.Facts.Nodes),
		strings.Join(named, " "), remedies)
	if unverifiable && f.reason == v1alpha1.ReasonUnavailable {
		f.reason, f.stalled = v1alpha1.ReasonKubeletsUnverified, true
	}
	return f
}
