// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/report"
)

// fleet is a cluster of nodes, of which Nodes is told as the reconciler would.
type fleet struct {
	*Nodes
	t  *testing.T
	mu sync.Mutex
	// observation is what the reconciler sees, and before what the status says.
	observation report.Observation
	before      *v1alpha1.NodesStatus
	// faults are those of kubelets, by node, unreadable what the API server answers to reads of nodes, and with the nodes that there
	// are metrics of.
	faults     map[string]*kubelet.Fault
	unreadable error
	with       sets.Set[string]
	listErr    error
	// asked and lists count the requests to kubelets and to metrics.k8s.io.
	asked map[string]int
	lists int
}

// newFleet returns one of so many nodes that no kubelet of can be read, whose metrics-server is not ready.
func newFleet(t *testing.T, count int) *fleet {
	t.Helper()
	f := &fleet{t: t, faults: map[string]*kubelet.Fault{}, with: sets.New[string]()}
	f.observation = report.Observation{Planned: true, APIServices: map[string]*apiregv1.APIService{}}
	f.observation.Plan.Components = []operand.Planned{{Component: operand.Component{Name: "reader"},
		Kubelets: &kubelet.Access{Authority: []byte("one"), Patience: time.Minute}}}
	for i := range count {
		name := fmt.Sprintf("node-%02d", i)
		f.observation.Facts.Nodes = append(f.observation.Facts.Nodes, name)
		f.faults[name] = &kubelet.Fault{Reason: v1alpha1.NodeUnknownAuthority, Message: "unknown"}
	}
	f.ready(false)
	f.restart()
	t.Cleanup(func() { f.Stop() })
	return f
}

// restart begins anew with what the status says.
func (f *fleet) restart() {
	if f.Nodes != nil {
		f.Stop()
	}
	f.asked, f.lists = map[string]int{}, 0
	f.Nodes = NewNodes(NodesConfig{Prober: probe.New(func() {}, time.Second, 2*time.Minute), Live: f, Clock: clock.RealClock{},
		Reports: time.Minute, Verify: f.verify, WithMetrics: f.list,
		Authority: func() ([]byte, error) { return []byte("the cluster's"), nil }})
}

// ready says whether the component runs, and the API is available.
func (f *fleet) ready(is bool) {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](1)}}
	available := apiregv1.ConditionFalse
	if is {
		deployment.Status = appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}}
		available = apiregv1.ConditionTrue
	}
	f.observation.Workloads = map[string][]cluster.Workload{"reader": {{Name: "reader", Deployment: deployment}}}
	f.observation.APIServices[metricsapi.Resource.Name()] = &apiregv1.APIService{Status: apiregv1.APIServiceStatus{
		Conditions: []apiregv1.APIServiceCondition{{Type: apiregv1.Available, Status: available}}}}
}

// measured lets nodes have metrics, whose kubelets can be read.
func (f *fleet) measured(names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.with.Insert(names...)
	for _, name := range names {
		f.faults[name] = nil
	}
}

// fails lets the kubelet of a node fail from now on, or with nil serve. A question may be under way meanwhile.
func (f *fleet) fails(node string, fault *kubelet.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[node] = fault
}

// look is one reconcile after another until all answers are there.
func (f *fleet) look() report.Nodes {
	f.t.Helper()
	for range 2 { // What metrics.k8s.io has says which kubelets to ask.
		f.Look(f.observation, f.before)
		synctest.Wait()
	}
	found, _ := f.Look(f.observation, f.before)
	if found.Known {
		f.before = found.Status
	}
	return found
}

// sent returns how often the API and how many kubelets were asked since the last call.
func (f *fleet) sent() [2]int {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := [2]int{f.lists, len(f.asked)}
	f.asked, f.lists = map[string]int{}, 0
	return sent
}

func (f *fleet) verify(_ context.Context, node *corev1.Node, _ kubelet.Access, _ []byte) *kubelet.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[node.Name]++
	return f.faults[node.Name]
}

func (f *fleet) list(context.Context) (sets.Set[string], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	return f.with.Clone(), f.listErr
}

func (f *fleet) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	object.SetName(key.Name)
	return f.unreadable
}

func (f *fleet) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nothing lists")
}

func status(total, with int32, failing ...v1alpha1.NodeFailure) *v1alpha1.NodesStatus {
	return &v1alpha1.NodesStatus{Total: total, WithMetrics: with, Failing: failing}
}

func unknownAuthority(names ...string) []v1alpha1.NodeFailure {
	var failures []v1alpha1.NodeFailure
	for _, name := range names {
		failures = append(failures, v1alpha1.NodeFailure{Name: name, Reason: v1alpha1.NodeUnknownAuthority, Message: "unknown"})
	}
	return failures
}

func (f *fleet) expect(found report.Nodes, want *v1alpha1.NodesStatus, unread int, sent [2]int) {
	f.t.Helper()
	if diff := cmp.Diff(want, found.Status); diff != "" || !found.Known || len(found.Unread) != unread {
		f.t.Errorf("known %v, unread %v, want %d; status (-want +got):\n%s", found.Known, found.Unread, unread, diff)
	}
	if got := f.sent(); got != sent {
		f.t.Errorf("asked metrics.k8s.io %d times and %d kubelets, want %d and %d", got[0], got[1], sent[0], sent[1])
	}
}
