// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/sets"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/report"
)

const (
	// foreignPatience is how long a node may be without metrics where another owner serves them, at whatever resolution.
	foreignPatience = 4 * time.Minute
	// kubeletPeriod is how long it counts that a kubelet can be read, while there are no metrics of its node.
	kubeletPeriod = 2 * time.Minute
	// nodesBurst is how often in a row a change about nodes is reported at once: a compromised node may change at any rate.
	nodesBurst = 6
)

// NodesConfig is what the nodes are looked at with.
type NodesConfig struct {
	// Prober sends the questions.
	Prober *probe.Prober
	// Live reads nodes from the API server: their addresses are not cached, as every heartbeat would bring them.
	Live client.Reader
	// Verify asks the kubelet of a node.
	Verify func(context.Context, *corev1.Node, kubelet.Access, []byte) *kubelet.Fault
	// Authority returns the cluster's, as PEM; nil for those of the system.
	Authority func() ([]byte, error)
	// WithMetrics returns the nodes that metrics.k8s.io has metrics of.
	WithMetrics func(context.Context) (sets.Set[string], error)
	Clock       clock.PassiveClock
	// Reports is how often a change is reported, after a few at once.
	Reports time.Duration
}

// Nodes finds out of which nodes there are metrics. At rest, with metrics of all of them, it sends nothing. It asks metrics.k8s.io when
// nodes or the API come or go and, with a backoff, while nodes are without metrics. Only then, or while the component that reads them
// is not ready, it asks kubelets: a sample of those nodes.
type Nodes struct {
	NodesConfig

	// since is when nodes were first seen without metrics, by name.
	since map[string]time.Time
	// published is what the last report said.
	published report.Nodes
	pace      *rate.Limiter
}

// NewNodes returns them.
func NewNodes(config NodesConfig) *Nodes {
	return &Nodes{NodesConfig: config, since: map[string]time.Time{}, pace: rate.NewLimiter(rate.Every(config.Reports), nodesBurst)}
}

// Stop forgets everything. It is for the worker.
func (n *Nodes) Stop() {
	n.Prober.Stop()
	clear(n.since)
	n.published = report.Nodes{}
}

// Look returns what is known, and when to look again where nothing brings an event. before is the status as it was. It never waits.
func (n *Nodes) Look(o report.Observation, before *v1alpha1.NodesStatus) (report.Nodes, time.Duration) {
	if !o.Planned || o.Facts.Nodes == nil {
		return n.published, 0
	}
	reader, ready := reader(o)
	apiService := o.APIServices[metricsapi.Resource.Name()]
	disabled := metricsapi.Options(o.Spec, metricsapi.Resource.Group).Policy == v1alpha1.PolicyDisabled
	if len(o.Facts.Nodes) == 0 || disabled || apiService == nil && reader.Kubelets == nil {
		n.Stop()
		return report.Nodes{Known: true}, 0
	}
	round := n.Prober.Round()
	defer round.Forget()

	found, e := report.Nodes{Known: true, Component: reader.Name}, kubelet.Evidence{
		Nodes: o.Facts.Nodes, Without: o.Facts.Nodes, Served: serves(apiService), Patience: foreignPatience, Since: n.since}
	var listErr error
	if e.Served {
		answer := round.Ask(n.metricsQuestion(o.Facts.Nodes))
		var without *withoutMetricsError
		switch found.Known = answer.Known; {
		case errors.As(answer.Err, &without):
			e.Without = without.names
		case answer.Err == nil:
			e.Without = nil
		default:
			listErr = answer.Err
		}
	}
	if access := reader.Kubelets; access != nil {
		e.Patience, e.Selective, e.Log = access.Patience, access.Selective, access.Log
		among := e.Without
		if !ready {
			among = o.Facts.Nodes
		}
		var known bool
		e.Answers, known = n.ask(round, *access, kubelet.Sample(among))
		found.Known = found.Known && known
	}
	if !found.Known {
		return n.published, 0
	}
	var wait time.Duration
	if listErr != nil {
		found.Status = before // The API is reported available, and what it has is not known.
	} else {
		n.remember(e, before)
		found.Status, wait = e.Status(n.Clock.Now())
	}
	if !ready {
		found.Unread = e.Unread()
	}
	return n.publish(found, wait)
}

// reader returns the component that reads the kubelets, and whether it is ready; an empty one where the plan has none.
func reader(o report.Observation) (operand.Planned, bool) {
	for _, c := range o.Plan.Components {
		if c.Kubelets != nil {
			return c, o.Runs(c)
		}
	}
	return operand.Planned{}, false
}

// serves is true while kube-aggregator finds an API available.
func serves(apiService *apiregv1.APIService) bool {
	return apiService != nil && aggregator.IsAPIServiceConditionTrue(apiService, apiregv1.Available)
}

// ask returns the answers of the kubelets of nodes; false while one has not answered. A node that cannot be read is left out.
func (n *Nodes) ask(round *probe.Round, access kubelet.Access, names []string) (map[string]*kubelet.Fault, bool) {
	authority, err := access.Authority, error(nil)
	if authority == nil {
		if authority, err = n.Authority(); err != nil {
			return nil, true
		}
	}
	answers, known, digest := map[string]*kubelet.Fault{}, true, access.Digest(authority)
	for _, name := range names {
		answer := round.Ask(probe.Question{Key: fmt.Sprintf("kubelet %s %s", name, digest), Period: kubeletPeriod,
			Ask: func(ctx context.Context) error { return n.verify(ctx, name, access, authority) }})
		known = known && answer.Known
		var fault *kubelet.Fault
		if answer.Yes() || errors.As(answer.Err, &fault) {
			answers[name] = fault
		}
	}
	return answers, known
}

// verify asks the kubelet of a node, at the address that the node states now.
func (n *Nodes) verify(ctx context.Context, name string, access kubelet.Access, authority []byte) error {
	node := &corev1.Node{}
	if err := n.Live.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return fmt.Errorf("read Node %s: %w", name, err)
	}
	if fault := n.Verify(ctx, node, access, authority); fault != nil {
		return fault
	}
	return nil
}

// withoutMetricsError names nodes that metrics.k8s.io has no metrics of.
type withoutMetricsError struct{ names []string }

func (e *withoutMetricsError) Error() string { return fmt.Sprintf("no metrics of nodes %q", e.names) }

// metricsQuestion is whether metrics.k8s.io has metrics of every node.
func (n *Nodes) metricsQuestion(names []string) probe.Question {
	return probe.Question{Key: "metrics " + operand.Digest(fmt.Sprintf("%q", names)), Ask: func(ctx context.Context) error {
		with, err := n.WithMetrics(ctx)
		if err != nil {
			return err
		}
		if without := slices.DeleteFunc(slices.Clone(names), with.Has); len(without) > 0 {
			return &withoutMetricsError{without}
		}
		return nil
	}}
}

// remember notes since when nodes are without metrics of an API that answers. Of one that the status listed for it, before a restart for
// one, it is long ago.
func (n *Nodes) remember(e kubelet.Evidence, before *v1alpha1.NodesStatus) {
	if !e.Served {
		clear(n.since)
		return
	}
	present, now := sets.New(e.Without...), n.Clock.Now()
	for name := range n.since {
		if !present.Has(name) {
			delete(n.since, name)
		}
	}
	listed := sets.New[string]()
	if before != nil {
		for _, failure := range before.Failing {
			if failure.Reason == v1alpha1.NodeNoMetrics {
				listed.Insert(failure.Name)
			}
		}
	}
	for name := range present {
		if _, known := n.since[name]; !known {
			n.since[name] = now
			if listed.Has(name) {
				n.since[name] = time.Time{}
			}
		}
	}
}

// publish returns what a report may say now, and when to look again.
func (n *Nodes) publish(found report.Nodes, wait time.Duration) (report.Nodes, time.Duration) {
	if !n.published.Known || equality.Semantic.DeepEqual(n.published, found) {
		n.published = found
		return found, wait
	}
	now := n.Clock.Now()
	if !n.pace.AllowN(now, 1) {
		missing := 1 - n.pace.TokensAt(now)
		return n.published, max(time.Duration(missing/float64(n.pace.Limit())*float64(time.Second)), time.Millisecond)
	}
	n.published = found
	return found, wait
}
