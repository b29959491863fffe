// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	// soon is how long a story waits for what an event brings about. It is only reached by a test that fails.
	soon = 15 * time.Second
	poll = 25 * time.Millisecond

	resourceAPI   = "v1beta1.metrics.k8s.io"
	customAPI     = "v1beta2.custom.metrics.k8s.io"
	oldCustomAPI  = "v1beta1.custom.metrics.k8s.io"
	externalAPI   = "v1beta1.external.metrics.k8s.io"
	metricsServer = "metrics-server"
	adapter       = "prometheus-adapter"

	metricsServerAddress = "198.18.0.10"
	adapterAddress       = "198.18.0.11"
)

// The group versions that each component serves.
var (
	resourceMetrics = schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"}
	adapterMetrics  = []schema.GroupVersion{
		{Group: "custom.metrics.k8s.io", Version: "v1beta1"},
		{Group: "custom.metrics.k8s.io", Version: "v1beta2"},
		{Group: "external.metrics.k8s.io", Version: "v1beta1"},
	}
)

// world is a cluster with a running operator and no pipeline yet.
type world struct {
	Gomega
	t        *testing.T
	cluster  *harness.Cluster
	operator *harness.Operator
}

// begin starts the operator on the shared control plane. What the story leaves is removed at its end as it would be in
// a real cluster: the pipeline is deleted and garbage collection follows. Nothing of ours may remain then.
func begin(t *testing.T) *world {
	t.Helper()
	return beginOn(t, cluster)
}

func beginOn(t *testing.T, on *harness.Cluster, options ...func(*controller.Options)) *world {
	t.Helper()
	operator, err := on.StartOperator(t.Context(), logTo(t), options...)
	if err != nil {
		t.Fatalf("starting the operator: %v", err)
	}
	w := &world{Gomega: NewWithT(t), t: t, cluster: on, operator: operator}
	w.SetDefaultEventuallyTimeout(soon)
	w.SetDefaultEventuallyPollingInterval(poll)
	t.Cleanup(func() { w.end(cleanupContext(t)) })
	return w
}

func (w *world) end(ctx context.Context) {
	w.t.Helper()
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	w.Expect(client.IgnoreNotFound(w.cluster.Client.Delete(ctx, pipeline))).To(Succeed())
	// The operator is still there: it must leave alone what garbage collection takes, sooner or later.
	w.Eventually(w.collect).WithContext(ctx).WithTimeout(soon).Should(BeEmpty(), "what is left after the pipeline was deleted")
	w.Expect(w.operator.Stop()).To(Succeed())
	w.Expect(w.collect(ctx)).To(BeEmpty(), "what is left after the operator has ended")
	w.Expect(w.operator.Panics()).To(BeZero(), "the reconciler panicked; the log above has the stack")
}

// collect runs the garbage collector and returns what stays.
func (w *world) collect(ctx context.Context) ([]string, error) {
	if err := w.cluster.CollectGarbage(ctx); err != nil {
		return nil, err
	}
	remaining, err := w.cluster.Managed(ctx)
	return identities(remaining), err
}

// apply creates or replaces the pipeline's spec.
func (w *world) apply(spec string) {
	w.t.Helper()
	object := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "MetricsPipeline",
		"metadata": map[string]any{"name": v1alpha1.SingletonName},
	}
	var content map[string]any
	w.Expect(yaml.Unmarshal([]byte(spec), &content)).To(Succeed())
	object["spec"] = content
	configuration := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: object})
	w.Expect(w.cluster.Client.Apply(w.t.Context(), configuration, client.FieldOwner("user"))).To(Succeed())
}

func (w *world) status() v1alpha1.MetricsPipelineStatus {
	w.t.Helper()
	pipeline := &v1alpha1.MetricsPipeline{}
	w.Expect(w.cluster.Client.Get(w.t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)).To(Succeed())
	if pipeline.Status.ObservedGeneration != pipeline.Generation {
		return v1alpha1.MetricsPipelineStatus{} // It is about an earlier spec.
	}
	return pipeline.Status
}

// condition returns, for Eventually, a condition as it stands.
func (w *world) condition(kind string) func() metav1.Condition {
	return func() metav1.Condition {
		if found := apimeta.FindStatusCondition(w.status().Conditions, kind); found != nil {
			return *found
		}
		return metav1.Condition{}
	}
}

// api returns, for Eventually, what the status says of an APIService.
func (w *world) api(name string) func() v1alpha1.APIServiceStatus {
	return func() v1alpha1.APIServiceStatus {
		for _, api := range w.status().APIServices {
			if api.Name == name {
				return api
			}
		}
		return v1alpha1.APIServiceStatus{}
	}
}

// apiServices returns the names of the metrics APIs that are registered.
func (w *world) apiServices() []string {
	w.t.Helper()
	list := &apiregv1.APIServiceList{}
	w.Expect(w.cluster.Client.List(w.t.Context(), list)).To(Succeed())
	names := []string{}
	for _, item := range list.Items {
		if item.Spec.Service != nil {
			names = append(names, item.Name)
		}
	}
	return names
}

// backend starts what stands for the pods of a component, as soon as the operator has made its serving pair. Nothing leads
// to it yet.
func (w *world) backend(component, address string, apis ...schema.GroupVersion) *harness.Backend {
	w.t.Helper()
	var backend *harness.Backend
	w.Eventually(func(g Gomega) {
		g.Expect(w.cluster.Client.Get(w.t.Context(), inOperatorNamespace(component), &corev1.Service{})).To(Succeed())
		var err error
		backend, err = w.cluster.StartBackend(w.t.Context(), harness.OperatorNamespace, component, address, apis...)
		g.Expect(err).NotTo(HaveOccurred())
	}).Should(Succeed())
	w.t.Cleanup(func() { w.Expect(backend.Stop(cleanupContext(w.t))).To(Succeed()) })
	return backend
}

// run lets the pods of a component run and be ready.
func (w *world) run(component string, backend *harness.Backend) {
	w.t.Helper()
	w.Eventually(func() error {
		return w.cluster.MarkDeploymentAvailable(w.t.Context(), harness.OperatorNamespace, component)
	}).Should(Succeed())
	w.Expect(backend.Publish(w.t.Context(), true)).To(Succeed())
}

// ready applies `spec: {}` and brings the pipeline to Ready.
func (w *world) ready() *harness.Backend {
	w.t.Helper()
	w.apply(`{}`)
	backend := w.backend(metricsServer, metricsServerAddress, resourceMetrics)
	w.run(metricsServer, backend)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	return backend
}

func (w *world) managed() []metav1.PartialObjectMetadata {
	w.t.Helper()
	managed, err := w.cluster.Managed(w.t.Context())
	w.Expect(err).NotTo(HaveOccurred())
	return managed
}

var startAndStop = regexp.MustCompile(`"msg"="(Starting|Stopping|Shutdown signal|All workers finished|Wait completed)`)

// logTo shows the operator's log with the test that it belongs to.
func logTo(t *testing.T) logr.Logger {
	t.Helper()
	return funcr.New(func(prefix, args string) {
		// What every controller says when it starts and stops would hide the rest.
		if !startAndStop.MatchString(args) {
			t.Log(time.Now().Format("15:04:05.000"), prefix, args)
		}
	}, funcr.Options{})
}

func identities(objects []metav1.PartialObjectMetadata) []string {
	names := []string{}
	for _, object := range objects {
		names = append(names, identity(object))
	}
	return names
}

func identity(object metav1.PartialObjectMetadata) string {
	if object.Namespace == "" {
		return object.Kind + " " + object.Name
	}
	return object.Kind + " " + object.Namespace + "/" + object.Name
}

func inOperatorNamespace(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: harness.OperatorNamespace, Name: name}
}
