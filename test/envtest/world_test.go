// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"regexp"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	// soon is how long a story waits for what an event brings about. It is only reached by a test that fails.
	soon = 15 * time.Second
	poll = 25 * time.Millisecond

	resourceAPI   = "v1beta1.metrics.k8s.io"
	customAPI     = "v1beta2.custom.metrics.k8s.io"
	customGroup   = "custom.metrics.k8s.io"
	oldCustomAPI  = "v1beta1.custom.metrics.k8s.io"
	externalAPI   = "v1beta1.external.metrics.k8s.io"
	metricsServer = harness.MetricsServer
	adapter       = harness.Adapter
)

var resourceMetrics = schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"}

// world is a cluster with a running operator and no pipeline yet.
type world struct {
	*harness.World
	Gomega
	t *testing.T
}

// begin starts the operator on the shared control plane. What the story leaves is removed at its end as it would be in
// a real cluster: the pipeline is deleted and garbage collection follows. Nothing of ours may remain then.
func begin(t *testing.T) *world {
	t.Helper()
	return beginOn(t, cluster, harness.Conditions{})
}

func beginOn(t *testing.T, on *harness.Cluster, conditions harness.Conditions) *world {
	t.Helper()
	w := &world{World: harness.NewWorld(t, on), Gomega: NewWithT(t), t: t}
	w.SetDefaultEventuallyTimeout(soon)
	w.SetDefaultEventuallyPollingInterval(poll)
	w.Expect(w.Start(logTo(t), conditions)).To(Succeed())
	t.Cleanup(w.end)
	return w
}

func (w *world) end() {
	w.t.Helper()
	w.Expect(w.DeletePipeline()).To(Succeed())
	// The operator is still there: it must leave alone what garbage collection takes, sooner or later.
	w.Eventually(w.collect).Should(BeEmpty(), "what is left after the pipeline was deleted")
	w.Expect(w.Operator.Stop()).To(Succeed())
	w.Expect(w.collect()).To(BeEmpty(), "what is left after the operator has ended")
	w.Expect(w.Operator.Panics()).To(BeZero(), "the reconciler panicked; the log above has the stack")
}

// collect runs the garbage collector and returns what stays.
func (w *world) collect() ([]string, error) {
	if err := w.CollectGarbage(w.Ctx); err != nil {
		return nil, err
	}
	remaining, err := w.Managed(w.Ctx)
	return identities(remaining), err
}

// apply creates or replaces the pipeline's spec.
func (w *world) apply(spec string) {
	w.t.Helper()
	w.Expect(w.Apply(spec)).To(Succeed())
}

// status returns the pipeline's, empty while it is about an earlier spec.
func (w *world) status() v1alpha1.MetricsPipelineStatus {
	w.t.Helper()
	pipeline, err := w.Pipeline()
	w.Expect(err).NotTo(HaveOccurred())
	if pipeline.Status.ObservedGeneration != pipeline.Generation {
		return v1alpha1.MetricsPipelineStatus{}
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
	w.Expect(w.Client.List(w.t.Context(), list)).To(Succeed())
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
func (w *world) backend(component string) *harness.Backend {
	w.t.Helper()
	var backend *harness.Backend
	w.Eventually(func(g Gomega) {
		g.Expect(w.Client.Get(w.Ctx, inOperatorNamespace(component), &corev1.Service{})).To(Succeed())
		var err error
		backend, err = w.StartBackend(w.Ctx, component)
		g.Expect(err).NotTo(HaveOccurred())
	}).Should(Succeed())
	w.t.Cleanup(func() { w.Expect(backend.Stop(w.Ctx)).To(Succeed()) })
	return backend
}

// run lets the pods of a component run and be ready.
func (w *world) run(component string, backend *harness.Backend) {
	w.t.Helper()
	w.Eventually(func() error {
		return w.MarkDeploymentAvailable(w.t.Context(), harness.OperatorNamespace, component)
	}).Should(Succeed())
	w.Expect(backend.Publish(w.t.Context(), true)).To(Succeed())
}

// ready applies `spec: {}` and brings the pipeline to Ready.
func (w *world) ready() *harness.Backend {
	w.t.Helper()
	w.apply(`{}`)
	backend := w.backend(metricsServer)
	w.run(metricsServer, backend)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	return backend
}

func (w *world) managed() []metav1.PartialObjectMetadata {
	w.t.Helper()
	managed, err := w.Managed(w.t.Context())
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

func identity(object metav1.PartialObjectMetadata) string { return harness.Identity(&object) }

func inOperatorNamespace(name string) client.ObjectKey { return harness.InOperatorNamespace(name) }
