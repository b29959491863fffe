// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
)

// world is a cluster in memory with namespace shop, in which Deployment web has pods and an HPA, and its Prometheus.
type world struct {
	objects  []client.Object
	pipeline *v1alpha1.MetricsPipeline
	hpa      *autoscalingv2.HorizontalPodAutoscaler
	// scale of the target, or the error of reading it.
	scale    *autoscalingv1.Scale
	scaleErr error
	store    store
	// asker is Prometheus in place of one that has the store.
	asker Asker
	// refused are the kinds that may not be read.
	refused []string
	change  func(*Sources)
}

const shop = "shop"

func newWorld(changes ...func(*world)) *world {
	w := &world{
		pipeline: pipeline(),
		hpa:      hpa(podsMetric("http_requests_per_second", nil)),
		scale: &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 2},
			Status: autoscalingv1.ScaleStatus{Selector: "app=web"}},
		store: store{},
		objects: []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}}, pod("web-0"), pod("web-1"),
			pod("worker-0", func(p *corev1.Pod) { p.Labels["app"] = "worker" })},
	}
	for _, change := range changes {
		change(w)
	}
	return w
}

// pipeline has a rule for a custom metric and one for an external one.
func pipeline() *v1alpha1.MetricsPipeline {
	overrides := map[string]v1alpha1.GroupResource{"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}
	p := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	p.Spec.Scrape.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices, v1alpha1.ScrapePods}
	p.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{{
		MetricRule: v1alpha1.MetricRule{ID: "requests", SeriesQuery: `http_requests_total{verb!="TRACE"}`,
			Name:         v1alpha1.MetricName{Matches: "^(.*)_total$", As: "${1}_per_second"},
			MetricsQuery: "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"},
		Resources: v1alpha1.ResourceMapping{Overrides: overrides},
	}}
	p.Spec.ExternalMetrics.Rules = []v1alpha1.ExternalMetricRule{{
		MetricRule: v1alpha1.MetricRule{ID: "depth", SeriesQuery: "queue_depth", MetricsQuery: "sum(<<.Series>>{<<.LabelMatchers>>})"},
		Resources:  v1alpha1.ExternalResourceMapping{Overrides: map[string]v1alpha1.GroupResource{"namespace": {Resource: "namespace"}}},
	}}
	for _, group := range []string{"metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"} {
		p.Status.APIServices = append(p.Status.APIServices, v1alpha1.APIServiceStatus{Name: "v1beta1." + group, Group: group, Version: "v1beta1",
			Owner: "metricspipeline", Backend: "backend", Available: metav1.ConditionTrue, Reason: "Passed"})
	}
	return p
}

func hpa(metrics ...autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 5, Metrics: metrics,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}},
	}
}

func podsMetric(name string, selector map[string]string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricSource{Metric: identifier(name, selector)}}
}

func externalMetric(name string, selector map[string]string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType,
		External: &autoscalingv2.ExternalMetricSource{Metric: identifier(name, selector)}}
}

func objectMetric(name, version, kind, object string) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
		Metric:          identifier(name, nil),
		DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: version, Kind: kind, Name: object}}}
}

func cpuMetric() autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU}}
}

func identifier(name string, selector map[string]string) autoscalingv2.MetricIdentifier {
	of := autoscalingv2.MetricIdentifier{Name: name}
	if selector != nil {
		of.Selector = &metav1.LabelSelector{MatchLabels: selector}
	}
	return of
}

// pod is a Ready one of Deployment web with requests.
func pod(name string, changes ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: name, Labels: map[string]string{"app": "web", "pod-template-hash": "5d7"},
			CreationTimestamp: metav1.NewTime(queryTime.Add(-time.Hour)),
			OwnerReferences:   []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-5d7", Controller: ptr.To(true)}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

// service selects the pods of web.
func service(name string, changes ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "web", Port: 80}}}}
	for _, change := range changes {
		change(s)
	}
	return s
}

// other is an object of another project, which the operator reads without its type.
func other(gvk schema.GroupVersionKind, name string, fields map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: fields}
	object.SetGroupVersionKind(gvk)
	object.SetNamespace(shop)
	object.SetName(name)
	return object
}

// podMetrics is their kind.
var podMetrics = schema.GroupVersionKind{Group: "metrics.k8s.io", Version: "v1beta1", Kind: "PodMetrics"}

func mapper() *meta.DefaultRESTMapper {
	m := operandtest.Mapper()
	for _, gvk := range []schema.GroupVersionKind{scaledObjects, vpas, podMetrics,
		{Group: "apps", Version: "v1", Kind: "StatefulSet"}, {Group: "apps", Version: "v1", Kind: "DaemonSet"},
		autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
		monitoringv1.SchemeGroupVersion.WithKind("ServiceMonitor"), monitoringv1.SchemeGroupVersion.WithKind("PodMonitor"),
		monitoringv1.SchemeGroupVersion.WithKind("Prometheus")} {
		m.Add(gvk, meta.RESTScopeNamespace)
	}
	m.Add(v1alpha1.GroupVersion.WithKind("MetricsPipeline"), meta.RESTScopeRoot)
	m.Add(apiregv1.SchemeGroupVersion.WithKind("APIService"), meta.RESTScopeRoot)
	return m
}

// forbidden is what the API server answers to who has no permission for a kind.
func forbidden(object runtime.Object) *apierrors.StatusError {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if kind == "" {
		gvks, _, _ := testScheme().ObjectKinds(object)
		kind = gvks[0].Kind
	}
	return apierrors.NewForbidden(schema.GroupResource{Resource: kind}, "", nil)
}

// testScheme has what is read by its type.
var testScheme = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, monitoringv1.AddToScheme,
		apiregv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
})

// sources of the world.
func (w *world) sources(t *testing.T) Sources {
	t.Helper()
	objects := w.objects
	if w.pipeline != nil {
		objects = append(objects, w.pipeline)
	}
	refused := func(object runtime.Object) error {
		if err := forbidden(object); slices.Contains(w.refused, err.ErrStatus.Details.Kind) {
			return err
		}
		return nil
	}
	reader := fake.NewClientBuilder().WithScheme(testScheme()).WithRESTMapper(mapper()).WithObjects(objects...).
		WithIndex(&corev1.Service{}, "metadata.name", func(object client.Object) []string { return []string{object.GetName()} }).
		WithIndex(&corev1.Pod{}, "status.phase", func(object client.Object) []string {
			return []string{string(object.(*corev1.Pod).Status.Phase)}
		}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if err := refused(object); err != nil {
					return err
				}
				return c.Get(ctx, key, object, options...)
			},
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if err := refused(list); err != nil {
					return err
				}
				return c.List(ctx, list, options...)
			},
		}).Build()
	scales := &scalefake.FakeScaleClient{}
	scales.AddReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, w.scale, w.scaleErr })
	sources := Sources{Objects: reader, Mapper: mapper(), Scales: scales, Resources: scalable, Explain: prometheusadapter.New(), Prometheus: w.asker,
		Clock: clocktesting.NewFakePassiveClock(queryTime)}
	if w.asker == nil {
		sources.Prometheus = w.store.serve(t).asker(t)
	}
	if w.change != nil {
		w.change(&sources)
	}
	return sources
}

// scalable is what discovery says: all workloads but DaemonSets have a scale.
func scalable(string) (*metav1.APIResourceList, error) {
	return &metav1.APIResourceList{APIResources: []metav1.APIResource{{Name: "daemonsets"}, {Name: "deployments"}, {Name: "deployments/scale"},
		{Name: "statefulsets"}, {Name: "statefulsets/scale"}}}, nil
}

func (w *world) collect(t *testing.T) *diagnose.Evidence {
	t.Helper()
	evidence, err := New(w.sources(t)).Collect(t.Context(), w.hpa)
	if err != nil {
		t.Fatal(err)
	}
	return evidence
}
