// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"context"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/controller/optional"
)

// restPeriod is the default of controller.Timing.
const restPeriod = 2 * time.Second

// world is a reconciler on an API server in memory, of which the writes of monitors are written down.
type world struct {
	*watched
	client client.WithWatch
	r      *Reconciler
	mapper *meta.DefaultRESTMapper
	clock  *clocktesting.FakePassiveClock
	// writes are "apply" or "delete" and a monitor's identity; refuse is what the API server answers to an apply.
	writes    []string
	refuse    error
	announced int
}

// noCache and noController stand for what runs only in a manager.
type noCache struct{ cache.Cache }

func (noCache) RemoveInformer(context.Context, client.Object) error { return nil }

type noController struct{ controller.Controller }

func (noController) Watch(source.Source) error { return nil }

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, monitoringv1.AddToScheme, apiextv1.AddToScheme} {
		must(t, add(scheme))
	}
	w := &world{watched: newWatched(usual), mapper: meta.NewDefaultRESTMapper(nil),
		clock: clocktesting.NewFakePassiveClock(time.Unix(0, 0))}
	w.serve()
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(w.mapper).WithObjects(objects...).
		WithReturnManagedFields().WithGlobalResourceVersionCounter().Build()
	monitors := interceptor.NewClient(w.client, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if w.refuse != nil {
				return w.refuse
			}
			monitor, ok := object.(client.Object)
			if !ok {
				t.Errorf("apply of %T", object)
				return nil
			}
			w.writes = append(w.writes, "apply "+apply.Identity(monitor))
			return c.Apply(ctx, object, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			w.writes = append(w.writes, "delete "+apply.Identity(object))
			return c.Delete(ctx, object, opts...)
		},
	})
	watches := optional.New(w.client,
		optional.Kind{CRD: apply.ServiceMonitorCRD, GroupVersionKind: apply.Monitors[0].GroupVersionKind, Cache: noCache{}},
		optional.Kind{CRD: apply.PodMonitorCRD, GroupVersionKind: apply.Monitors[1].GroupVersionKind, Cache: noCache{}},
		optional.Kind{CRD: optional.PrometheusCRD,
			GroupVersionKind: monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind), Cache: noCache{}})
	watches.Start(noController{})
	w.r = &Reconciler{client: w.client, monitors: monitors, prometheuses: w.client, applier: apply.New(monitors, w.client, clocktesting.NewFakePassiveClock(time.Now())),
		optional: watches, index: w.index, failures: failures{announce: func() { w.announced++ }},
		pace: pace{clock: w.clock, rest: restPeriod}, pendingRetry: time.Second}
	return w
}

// serve lets the API server serve the kinds of prometheus-operator.
func (w *world) serve() {
	for _, kind := range []string{monitoringv1.ServiceMonitorsKind, monitoringv1.PodMonitorsKind, monitoringv1.PrometheusesKind} {
		w.mapper.Add(monitoringv1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
}

// reconcile reconciles namespaces, long after the last time, and returns what was written for them.
func (w *world) reconcile(t *testing.T, namespaces ...string) []string {
	t.Helper()
	w.clock.SetTime(w.clock.Now().Add(restPeriod))
	for _, name := range namespaces {
		if _, err := w.r.Reconcile(t.Context(), requestFor(name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	writes := w.writes
	w.writes = nil
	return writes
}

// seen says that the whole cluster has been listed.
func (w *world) seen(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.synced[kindService], w.synced[kindPod] = true, true
}

// observe returns the condition's reason and message, and the counts.
func (w *world) observe(t *testing.T) (State, v1alpha1.ScrapeStatus) {
	t.Helper()
	state, status, err := w.r.Observe(t.Context())
	must(t, err)
	return state, status
}

func (w *world) monitors(t *testing.T) []monitoringv1.ServiceMonitor {
	t.Helper()
	var list monitoringv1.ServiceMonitorList
	must(t, w.client.List(t.Context(), &list))
	return list.Items
}

// change writes the pipeline's spec.
func (w *world) change(t *testing.T, change func(*v1alpha1.ScrapeSpec)) {
	t.Helper()
	p := &v1alpha1.MetricsPipeline{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, p))
	change(&p.Spec.Scrape)
	must(t, w.client.Update(t.Context(), p))
}

// pipeline is one with the default spec.
func pipeline(changes ...func(*v1alpha1.MetricsPipelineSpec)) *v1alpha1.MetricsPipeline {
	p := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, UID: "pipeline"}}
	p.Spec.Scrape = v1alpha1.ScrapeSpec{Targets: []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices, v1alpha1.ScrapePods},
		Granularity: v1alpha1.ScrapePerNamespace, AnnotationPrefix: "prometheus.io", Limits: v1alpha1.ScrapeLimits{Samples: ptr.To[int64](50000)}}
	for _, change := range changes {
		change(&p.Spec)
	}
	return p
}

func crds() []client.Object {
	var all []client.Object
	for _, name := range []string{apply.ServiceMonitorCRD, apply.PodMonitorCRD, optional.PrometheusCRD} {
		all = append(all, &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return all
}

// everything is a Prometheus that selects all monitors in all namespaces.
func everything(changes ...func(*monitoringv1.PrometheusSpec)) *monitoringv1.Prometheus {
	p := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
	for _, selector := range []**metav1.LabelSelector{&p.Spec.ServiceMonitorSelector, &p.Spec.ServiceMonitorNamespaceSelector,
		&p.Spec.PodMonitorSelector, &p.Spec.PodMonitorNamespaceSelector} {
		*selector = &metav1.LabelSelector{}
	}
	for _, change := range changes {
		change(&p.Spec)
	}
	return p
}

func namespaces(names ...string) []client.Object {
	var all []client.Object
	for _, name := range names {
		all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/metadata.name": name}}})
	}
	return all
}
