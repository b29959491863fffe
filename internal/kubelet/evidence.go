// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// mostFailing bounds status.nodes.failing.
const mostFailing = 20

// Evidence is what is known of the nodes of a cluster.
type Evidence struct {
	// Nodes are all of them, sorted, and Without those of which there are no metrics.
	Nodes, Without []string
	// Served is true while metrics.k8s.io answers: without it no node has metrics, and that says nothing about a node.
	Served bool
	// Answers of the kubelets that were asked, by the node's name; nil is that of one that can be read.
	Answers map[string]*Fault
	// Since is when nodes were first seen without metrics, by name. Patience is how long they may be.
	Since    map[string]time.Time
	Patience time.Duration
	// Selective is true where nodes are left out on purpose, and Log is where to read more.
	Selective bool
	Log       string
}

// Status returns what the evidence says at a time, and when it will say something else if nothing happens; 0 for never.
func (e Evidence) Status(now time.Time) (*v1alpha1.NodesStatus, time.Duration) {
	status := &v1alpha1.NodesStatus{Total: int32(len(e.Nodes)), WithMetrics: int32(len(e.Nodes) - len(e.Without))} //nolint:gosec // counts
	if e.Selective {
		return status, 0
	}
	var unmeasured []v1alpha1.NodeFailure
	var wait time.Duration
	for _, name := range e.Without {
		fault, asked := e.Answers[name]
		left := e.Patience - now.Sub(e.Since[name])
		switch {
		case fault != nil:
			status.Failing = append(status.Failing, v1alpha1.NodeFailure{Name: name, Reason: fault.Reason, Message: fault.Message})
		case !e.Served:
		case left > 0:
			if wait == 0 || left < wait {
				wait = left
			}
		default:
			unmeasured = append(unmeasured, v1alpha1.NodeFailure{Name: name, Reason: v1alpha1.NodeNoMetrics, Message: e.unexplained(asked)})
		}
	}
	status.Failing = slices.Concat(status.Failing, unmeasured)
	status.Failing = status.Failing[:min(len(status.Failing), mostFailing)]
	return status, wait
}

// unexplained is the message about a node without metrics whose kubelet answers, or was not asked.
func (e Evidence) unexplained(asked bool) string {
	message := "metrics.k8s.io has no metrics of the node."
	if asked {
		message += " Its kubelet answers, with a certificate that is accepted."
	}
	if e.Log != "" {
		message += " " + e.Log
	}
	return message
}

// Unread are the faults of all kubelets that were asked, by the node's name; nil while one of them can be read, or none has answered.
func (e Evidence) Unread() map[string]*Fault {
	for _, fault := range e.Answers {
		if fault == nil {
			return nil
		}
	}
	if len(e.Answers) == 0 {
		return nil
	}
	return e.Answers
}
