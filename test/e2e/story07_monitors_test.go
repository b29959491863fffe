// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// monitorsNamespace has annotated apps that nothing stands behind: what is tested there is which monitors there are.
const monitorsNamespace = "metricspipeline-monitors"

// TestMonitorsFollowTheApps changes annotations, the granularity and the namespace's label, and looks each time for
// exactly the monitors that should be there.
func TestMonitorsFollowTheApps(t *testing.T) {
	g := story(t)
	pipeline := givenScraping(t, v1alpha1.ScrapePerNamespace)
	namespace := kit.Namespace(monitorsNamespace)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Delete(ctx, namespace)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), namespace)).To(Succeed())
	services := []serviceCase{
		{annotatedApp: annotatedApp{name: "one", annotations: optIn()}},
		{annotatedApp: annotatedApp{name: "two", annotations: optIn("port", "80", "path", "/stats?x=1")}},
	}
	whenAnnotated(t, services)
	pod := podCase{annotatedApp: annotatedApp{name: "lonely", annotations: optIn("port", "9090")}}.object(monitorsNamespace)
	g.Expect(cluster.Apply(t.Context(), pod)).To(Succeed())
	thenMonitors(t, "PodMonitor "+grouped, "ServiceMonitor "+grouped)

	g.Eventually(func(g Gomega) []string { return pathsWithQuery(t, g) }, soon, often).Should(Equal([]string{"1"}), "parameters x of the monitor")

	// One more app of which relabelings see everything costs no write.
	whenReportIsDue(t, pipeline, v1alpha1.ScrapePerNamespace, true)
	thenAllServicesCounted(t)
	before := monitorVersions(t, g)
	services = append(services, serviceCase{annotatedApp: annotatedApp{name: "three", annotations: optIn("port", "8080")}})
	whenAnnotated(t, services)
	whenReportIsDue(t, pipeline, v1alpha1.ScrapePerNamespace, false)
	thenAllServicesCounted(t)
	g.Expect(monitorVersions(t, g)).To(Equal(before), "monitors and their resource versions")

	whenGranularity(t, pipeline, v1alpha1.ScrapePerService)
	thenMonitors(t, "PodMonitor "+grouped, "ServiceMonitor "+grouped+"-one", "ServiceMonitor "+grouped+"-three", "ServiceMonitor "+grouped+"-two")
	whenGranularity(t, pipeline, v1alpha1.ScrapePerNamespace)
	thenMonitors(t, "PodMonitor "+grouped, "ServiceMonitor "+grouped)
	whenReportIsDue(t, pipeline, v1alpha1.ScrapePerNamespace, true)
	g.Eventually(func(g Gomega) {
		all, err := cluster.Managed(t.Context(), false)
		g.Expect(err).NotTo(HaveOccurred())
		count := 0
		for _, object := range all {
			if object.Labels[v1alpha1.ComponentLabel] == "scrape" {
				count++
			}
		}
		g.Expect(thePipeline(t, g).Status.Scrape.Monitors).To(BeEquivalentTo(count))
	}, counts, often).Should(Succeed())

	namespace.Labels[v1alpha1.ScrapeOptOutLabel] = "false"
	g.Expect(cluster.Apply(t.Context(), namespace)).To(Succeed())
	thenMonitors(t)
	delete(namespace.Labels, v1alpha1.ScrapeOptOutLabel)
	g.Expect(cluster.Apply(t.Context(), namespace)).To(Succeed())
	thenMonitors(t, "PodMonitor "+grouped, "ServiceMonitor "+grouped)

	g.Expect(cluster.Delete(within(t, soon), pod)).To(Succeed())
	thenMonitors(t, "ServiceMonitor "+grouped)
	for i := range services {
		services[i].annotations = nil
	}
	whenAnnotated(t, services[1:])
	thenMonitors(t, "ServiceMonitor "+grouped)
	whenAnnotated(t, services[:1])
	thenMonitors(t)
}

func whenAnnotated(t *testing.T, services []serviceCase) {
	t.Helper()
	for _, c := range services {
		NewWithT(t).Expect(cluster.Apply(t.Context(), c.object(monitorsNamespace))).To(Succeed())
	}
}

func whenGranularity(t *testing.T, pipeline *v1alpha1.MetricsPipeline, granularity v1alpha1.ScrapeGranularity) {
	t.Helper()
	whenReportIsDue(t, pipeline, granularity, false)
}

// whenReportIsDue changes how the spec selects all namespaces, which changes no monitor: a changed spec is reported at once, while what
// the users of namespaces do is reported once a minute after the stories before have done much.
func whenReportIsDue(t *testing.T, pipeline *v1alpha1.MetricsPipeline, granularity v1alpha1.ScrapeGranularity, written bool) {
	t.Helper()
	scrape := v1alpha1.ScrapeSpec{Granularity: granularity, TLS: pipeline.Spec.Scrape.TLS}
	if written {
		scrape.NamespaceSelector = &metav1.LabelSelector{}
	}
	whenApplied(t, &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: pipeline.Name}, Spec: v1alpha1.MetricsPipelineSpec{Scrape: scrape}})
}

// pathsWithQuery are the values of the parameter x in the ServiceMonitor of the namespace.
func pathsWithQuery(t *testing.T, g Gomega) []string {
	t.Helper()
	monitor := &monitoringv1.ServiceMonitor{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: monitorsNamespace, Name: grouped}, monitor)).To(Succeed())
	var values []string
	for _, endpoint := range monitor.Spec.Endpoints {
		values = append(values, endpoint.Params["x"]...)
	}
	return values
}

// monitorVersions are the monitors of the namespace, by kind and name, and their resource versions.
func monitorVersions(t *testing.T, g Gomega) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, kind := range []string{monitoringv1.ServiceMonitorsKind, monitoringv1.PodMonitorsKind} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(kind + "List"))
		g.Expect(cluster.Client.List(t.Context(), list, client.InNamespace(monitorsNamespace))).To(Succeed())
		for _, monitor := range list.Items {
			versions[kind+" "+monitor.Name] = monitor.ResourceVersion
		}
	}
	return versions
}

// thenMonitors waits until the namespace has exactly these monitors. While one set replaces another, there is always one
// for the Services: without it, Prometheus would lose them.
func thenMonitors(t *testing.T, want ...string) {
	t.Helper()
	g := NewWithT(t)
	had := monitorVersions(t, g)
	g.Eventually(func(g Gomega) {
		var names []string
		for name := range monitorVersions(t, g) {
			names = append(names, name)
		}
		slices.Sort(names)
		if len(had) > 0 && len(want) > 0 {
			NewWithT(t).Expect(names).To(ContainElement(HavePrefix(monitoringv1.ServiceMonitorsKind)), "a gap between two sets of monitors")
		}
		g.Expect(names).To(Equal(want))
	}, soon, often/5).Should(Succeed())
}

// TestAnnotatedAppScales annotates an application that runs, and then has it scaled on its own metric. No person writes a
// monitor.
func TestAnnotatedAppScales(t *testing.T) {
	g := story(t)
	givenRules(t)
	const name = "fresh"
	objects := kit.SampleApp(name)
	service := objects[len(objects)-1]
	service.SetAnnotations(nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Delete(ctx, objects...)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), objects...)).To(Succeed())
	g.Eventually(func(g Gomega) { g.Expect(pods(t, g, name)).To(BeEquivalentTo(1)) }, rollout, often).Should(Succeed())
	series := fmt.Sprintf("count(http_requests_total{namespace=%q,service=%q})", kit.SampleNamespace, name)
	_, found, err := cluster.Query(t.Context(), series)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(BeFalse(), "it is scraped before it is annotated")

	start := time.Now()
	service.SetAnnotations(kit.Annotated())
	g.Expect(cluster.Apply(t.Context(), service)).To(Succeed())
	g.Eventually(func() (bool, error) {
		_, found, err := cluster.Query(t.Context(), series)
		return found, err
	}, scrape, often).Should(BeTrue())
	sample := time.Since(start)
	fresh := scaled{name: name, metric: kit.RequestsOfPods(20)}
	g = givenScaler(t, fresh)
	value := time.Since(start)
	g.Expect(cluster.Steer(t.Context(), name, "/load?rps=100")).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(pods(t, g, name)).To(BeEquivalentTo(kit.SampleMaxReplicas))
	}, rollout, often).Should(Succeed())
	t.Logf("after the annotation: first sample %.1f s, value of the HPA %.1f s, %d pods %.1f s",
		sample.Seconds(), value.Seconds(), kit.SampleMaxReplicas, time.Since(start).Seconds())
}
