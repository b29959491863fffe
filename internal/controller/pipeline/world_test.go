// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/render"
	"github.com/metricspipeline/operator/internal/report"
)

const namespace = "metrics"

// moment is when the worlds of these tests begin.
var moment = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// world is a cluster in memory with an operator that is called by hand.
type world struct {
	*Reconciler
	t       *testing.T
	client  client.WithWatch
	clock   *clocktesting.FakePassiveClock
	gadgets []*gadget
	// operator is the client of the operator, whose requests the following may answer.
	operator client.WithWatch
	// refuse returns the API server's answer to an apply of an object with some content, refuseStatus that to a patch of the status,
	// and refuseDelete that to a deletion; nil for an ordinary one.
	refuse       func(object, content string) error
	refuseStatus error
	refuseDelete map[string]error
	// unreadable are the answers to reads from the cache, by kind or object, and live is the Secret that the API server has by now.
	unreadable map[string]error
	live       *corev1.Secret
	// wrote is what requests of the operator have changed.
	wrote []string
	// made counts the objects that applies have made.
	made int
	// timing of the operator, and answered gets a value for each new answer of an endpoint.
	timing   Timing
	answered chan struct{}
	scrape   *report.Scrape
	facts    cluster.Served
	events   *events.FakeRecorder
}

// kindsOf are what a world serves.
type kindsOf struct{ *world }

func (k kindsOf) Ensure(context.Context) cluster.Served { return k.facts }

// newWorld returns a world with a pipeline, operands and objects.
func newWorld(t *testing.T, gadgets []*gadget, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiregv1.AddToScheme, v1alpha1.AddToScheme, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, UID: "pipeline", Generation: 1}}
	withhold(&pipeline.Spec, gadgets)
	authentication := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.AuthenticationNamespace, Name: cluster.AuthenticationConfigMap},
		Data:       map[string]string{cluster.RequestHeaderCAKey: "a certificate"}}
	w := &world{t: t, gadgets: gadgets, clock: clocktesting.NewFakePassiveClock(moment),
		timing: Timing{Conflict: time.Millisecond},
		scrape: &report.Scrape{Current: true, Met: true, Reason: v1alpha1.ReasonScrapeOff, Message: "Off."}}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().WithStatusSubresource(pipeline).
		WithObjects(append(objects, pipeline, authentication)...).Build()
	w.operator = interceptor.NewClient(w.client, w.apiServer())
	w.restart()
	return w
}

// withhold disables the metrics APIs that no gadget serves.
func withhold(spec *v1alpha1.MetricsPipelineSpec, gadgets []*gadget) {
	served := map[string]bool{}
	for _, g := range gadgets {
		for _, api := range g.apis {
			served[api.Group] = true
		}
	}
	for group, options := range map[string]*v1alpha1.APIOptions{
		metricsapi.Resource.Group: &spec.ResourceMetrics.APIOptions, metricsapi.CustomV1Beta1.Group: &spec.CustomMetrics.APIOptions,
		metricsapi.External.Group: &spec.ExternalMetrics.APIOptions} {
		if !served[group] {
			options.Policy = v1alpha1.PolicyDisabled
		}
	}
}

// restart begins anew with an operator that remembers nothing.
func (w *world) restart() {
	var operands []operand.Operand
	for _, g := range w.gadgets {
		operands = append(operands, g)
	}
	w.events = events.NewFakeRecorder(100)
	answered := make(chan struct{}, 100)
	w.answered = answered
	prober := probe.New(func() { answered <- struct{}{} }, time.Millisecond, time.Millisecond)
	w.t.Cleanup(prober.Stop)
	nodes := NewNodes(NodesConfig{Prober: probe.New(func() {}, time.Hour, time.Hour), Live: w.client, Clock: w.clock, Reports: time.Minute})
	w.Reconciler = New(Config{
		Namespace: namespace, Version: "test", Operands: operands, Images: operand.Images(operands, func(string) string { return "" }),
		Client: w.operator, Live: liveReader{w.client, w},
		Facts: &cluster.Source{Client: w.operator, Prometheuses: w.operator, Kinds: kindsOf{w}, Mapper: meta.MultiRESTMapper{},
			Namespace: namespace},
		Scrape: func(*v1alpha1.MetricsPipeline) *report.Scrape { return w.scrape },
		Autoscalers: func(*v1alpha1.MetricsPipeline) *report.Autoscalers {
			return &report.Autoscalers{Status: &v1alpha1.AutoscalersStatus{}}
		},
		Applier: apply.New(w.operator, w.client, w.clock, time.Minute), Prober: prober, Nodes: nodes,
		Census:   prometheus.NewCensus[int64](func() {}, w.clock, prometheus.Pace{}),
		Names:    prometheus.NewCensus[prometheus.Names](func() {}, w.clock, prometheus.Pace{}),
		Renderer: &render.Renderer{Assets: assets(w.gadgets...), Catalog: operand.Catalog(operands)},
		Events:   w.events, Metrics: &report.Exporter{}, Clock: w.clock, Timing: w.timing.OrDefaults(),
	})
}

// reconcile calls the operator once. An error is that of what is tried again soon.
func (w *world) reconcile() (ctrl.Result, error) {
	w.t.Helper()
	return w.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: v1alpha1.SingletonName}})
}

// settle calls the operator until it writes nothing that would bring it back.
func (w *world) settle() {
	w.t.Helper()
	for range 3 {
		if _, err := w.reconcile(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// edit changes the spec, as a user would.
func (w *world) edit(change func(*v1alpha1.MetricsPipelineSpec)) {
	w.t.Helper()
	pipeline := w.pipeline()
	pipeline.Generation++
	change(&pipeline.Spec)
	if err := w.client.Update(w.t.Context(), pipeline); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pipeline() *v1alpha1.MetricsPipeline {
	w.t.Helper()
	pipeline := &v1alpha1.MetricsPipeline{}
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline); err != nil {
		w.t.Fatal(err)
	}
	return pipeline
}

// condition returns a condition as "Status Reason: message".
func (w *world) condition(name string) string {
	w.t.Helper()
	condition := meta.FindStatusCondition(w.pipeline().Status.Conditions, name)
	if condition == nil {
		return ""
	}
	return string(condition.Status) + " " + condition.Reason + ": " + condition.Message
}

// exists is true when there is an object of the type and name in the operator's namespace, or of the cluster.
func (w *world) exists(object client.Object, name string) bool {
	w.t.Helper()
	key := client.ObjectKey{Name: name}
	if _, ok := object.(*apiregv1.APIService); !ok {
		key.Namespace = namespace
	}
	err := w.client.Get(w.t.Context(), key, object)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return err == nil
}

func (w *world) remove(object client.Object, name string) {
	w.t.Helper()
	if !w.exists(object, name) {
		w.t.Fatalf("there is no %T %s to delete", object, name)
	}
	if err := w.client.Delete(w.t.Context(), object); err != nil {
		w.t.Fatal(err)
	}
}

// drain returns the Events since the last call, and forgets what was written.
func (w *world) drain() []string {
	w.wrote = nil
	var events []string
	for {
		select {
		case event := <-w.events.Events:
			events = append(events, event)
		default:
			return events
		}
	}
}

// conditions returns all conditions as condition does, by name.
func (w *world) conditions() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, condition := range w.pipeline().Status.Conditions {
		all[condition.Type] = w.condition(condition.Type)
	}
	return all
}
