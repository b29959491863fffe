// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/controller/pipeline"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand/registry"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/report"
)

// informers is a manager and its cache, which has nothing but informers, by kind and form.
type informers struct {
	cache.Cache
	scheme *runtime.Scheme
	mu     sync.Mutex
	byKind map[string]*controllertest.FakeInformer
}

func newInformers(t *testing.T) *informers {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiregv1.AddToScheme, v1alpha1.AddToScheme,
		monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme, certmanagerv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return &informers{scheme: scheme, byKind: map[string]*controllertest.FakeInformer{}}
}

func (i *informers) GetScheme() *runtime.Scheme     { return i.scheme }
func (i *informers) GetRESTMapper() meta.RESTMapper { return servesAll{} }
func (i *informers) GetCache() cache.Cache          { return i }
func (i *informers) GetAPIReader() client.Reader    { return i }

func (i *informers) GetInformer(_ context.Context, object client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	informer := controllertest.NewFakeInformer()
	informer.Synced()
	i.byKind[form(i.scheme, object)] = informer
	return informer, nil
}

// List lists the CRDs that the operator knows.
func (i *informers) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	crds := list.(*metav1.PartialObjectMetadataList)
	for _, name := range allCRDs() {
		crds.Items = append(crds.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return nil
}

// of returns the informer of a kind that is watched.
func (i *informers) of(t *testing.T, object client.Object) *controllertest.FakeInformer {
	t.Helper()
	informer := i.byKind[form(i.scheme, object)]
	if informer == nil {
		t.Fatalf("%s is not watched; watched are %q", form(i.scheme, object), i.watched())
	}
	return informer
}

func (i *informers) watched() []string { return slices.Sorted(maps.Keys(i.byKind)) }

// servesAll is a discovery that serves every kind.
type servesAll struct{ meta.RESTMapper }

func (servesAll) RESTMapping(schema.GroupKind, ...string) (*meta.RESTMapping, error) {
	return &meta.RESTMapping{}, nil
}

func allCRDs() []string {
	return []string{kinds.PrometheusCRD, kinds.PrometheusAgentCRD, kinds.CertificateRequestCRD, kinds.ServiceMonitorCRD, kinds.PodMonitorCRD, kinds.CertificateCRD,
		kinds.IssuerCRD}
}

// form names the informer that a read of an object or a list goes to.
func form(scheme *runtime.Scheme, object runtime.Object) string {
	kind, err := apiutil.GVKForObject(object, scheme)
	if err != nil {
		return err.Error()
	}
	name := strings.TrimSuffix(kind.Kind, "List") + " " + kind.GroupVersion().String()
	switch object.(type) {
	case *metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList:
		return name + " (metadata)"
	default:
		return name
	}
}

// serving is a cluster with every CRD that the operator knows.
type serving struct{}

func (serving) Ensure(context.Context) cluster.Served { return cluster.Serving(allCRDs()...) }

// reads returns what a reconcile of all operands, with certificates of either provider, reads from each cache.
func reads(t *testing.T) (objects, prometheuses []string) {
	t.Helper()
	scheme := newInformers(t).scheme
	ofObjects, ofPrometheuses := map[string]bool{}, map[string]bool{}
	for _, issuer := range []v1alpha1.CertificateProvider{v1alpha1.CertificatesBuiltIn, v1alpha1.CertificatesCertManager} {
		object := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName, UID: "pipeline", Generation: 1}}
		object.Spec.Certificates.Provider = issuer
		object.Spec.Prometheus = v1alpha1.PrometheusSpec{URL: "https://prometheus.example.com",
			Ref:  &v1alpha1.PrometheusReference{Kind: v1alpha1.KindPrometheusAgent, Namespace: "monitoring", Name: "agent"},
			Auth: &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "credentials", Key: "token"}}}
		live := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(object).WithObjects(object).Build()
		cached, clock := recording(live, ofObjects), clocktesting.NewFakePassiveClock(moment)
		prober := probe.New(func() {}, time.Second, time.Second)
		t.Cleanup(prober.Stop)
		r := pipeline.New(pipeline.Config{Namespace: "metrics", Operands: registry.Operands(),
			Images: ImagesFrom(func(string) string { return "" }), Renderer: NewRenderer(nil),
			Client: cached, Live: live, Applier: apply.New(cached, live, clock, time.Minute), Prober: prober,
			Facts: &cluster.Source{Client: cached, Prometheuses: recording(live, ofPrometheuses), Kinds: serving{}, Mapper: servesAll{},
				Namespace: "metrics"},
			Nodes:       pipeline.NewNodes(pipeline.NodesConfig{Prober: prober, Live: live, Clock: clock, Reports: time.Minute}),
			Scrape:      func(*v1alpha1.MetricsPipeline) *report.Scrape { return nil },
			Autoscalers: func(*v1alpha1.MetricsPipeline) *report.Autoscalers { return nil },
			Events:      events.NewFakeRecorder(100), Metrics: &report.Exporter{}, Clock: clock, Timing: Timing{}.OrDefaults()})
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)}); err != nil {
			t.Fatal(err)
		}
	}
	return slices.Sorted(maps.Keys(ofObjects)), slices.Sorted(maps.Keys(ofPrometheuses))
}

// recording returns a client that notes what is read by it, and stores nothing that is applied.
func recording(c client.WithWatch, read map[string]bool) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			return nil
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			read[form(c.Scheme(), object)] = true
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			read[form(c.Scheme(), list)] = true
			return c.List(ctx, list, options...)
		},
	})
}
