// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestAnnotatedAppsAreScrapedOnce compares what a real Prometheus scrapes with a corpus of annotated apps: each endpoint
// once, with the labels that it should have, and nothing else.
func TestAnnotatedAppsAreScrapedOnce(t *testing.T) {
	g := story(t)
	before := givenScraping(t, v1alpha1.ScrapePerNamespace).Status.Scrape
	pods := givenCorpus(t)
	start := time.Now()

	var want []string
	for _, c := range corpusServices {
		want = append(want, c.targetsOf(pods[c.workload()], c.name)...)
	}
	for _, c := range corpusPods {
		want = append(want, c.targetsOf(pods[c.name], "")...)
	}
	want = append(want, givenMissingToken(t)...)
	slices.Sort(want)
	thenTargets(t, want)
	t.Logf("%d Services and %d Pods or workloads give %d targets, each once, %.1f s after the last pod was ready",
		len(corpusServices), len(corpusPods), len(want), time.Since(start).Seconds())

	thenCounted(t, before, pods)
	thenRefused(t)
	thenRatesAreRight(t, g)
	// What is wrong for a while only, such as a target that appears and disappears, would have shown by now or shows here.
	thenTargets(t, want)
}

// givenScraping waits for a pipeline that scrapes annotated apps, of which Prometheus does not verify the certificates, and returns
// it.
func givenScraping(t *testing.T, granularity v1alpha1.ScrapeGranularity) *v1alpha1.MetricsPipeline {
	t.Helper()
	g := NewWithT(t)
	pipeline, err := cluster.Sample(kit.SamplePlain)
	g.Expect(err).NotTo(HaveOccurred())
	pipeline.Spec.Scrape.TLS.Verification = v1alpha1.TLSInsecure
	pipeline.Spec.Scrape.Granularity = granularity
	pipeline.Spec.Scrape.Slow = &v1alpha1.ScrapeSlow{Interval: "10s", ScrapeTimeout: "5s"}
	pipeline.Spec.Scrape.PodTargetLabels = []v1alpha1.PodTargetLabel{caseLabel}
	pipeline.Spec.Scrape.NativeSidecars = []v1alpha1.ContainerName{"mesh"}
	pipeline.Spec.Scrape.BearerToken = &v1alpha1.ScrapeBearerToken{Secret: v1alpha1.KeyReference{Name: "scrape-token", Key: "token"},
		NamespaceSelector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: tokenNamespaces}}}}
	givenPipeline(t, pipeline)
	thenCondition(t, soon, v1alpha1.ConditionScrapeReady, metav1.ConditionTrue, v1alpha1.ReasonSelected)
	thenAllServicesCounted(t)
	pipeline = thePipeline(t, g)
	return pipeline
}

// thenAllServicesCounted waits until the status counts exactly the annotated Services of the cluster. "More than before" would
// wait in vain when the count before was still of apps of an earlier story, which had just been deleted.
func thenAllServicesCounted(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		all := &corev1.ServiceList{}
		g.Expect(cluster.Client.List(t.Context(), all)).To(Succeed())
		annotated := 0
		for _, service := range all.Items {
			if service.Annotations["prometheus.io/scrape"] == "true" {
				annotated++
			}
		}
		g.Expect(thePipeline(t, g).Status.Scrape).To(HaveField("Services", BeEquivalentTo(annotated)))
	}, counts, often).Should(Succeed())
}

// givenCorpus deploys the corpus until the end of the test, and returns its pods by their case.
func givenCorpus(t *testing.T) map[string][]corev1.Pod {
	t.Helper()
	g := NewWithT(t)
	namespaces := []client.Object{kit.Namespace(corpusNamespace), kit.Namespace(optedOutNamespace)}
	namespaces[1].GetLabels()[v1alpha1.ScrapeOptOutLabel] = "false"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Delete(ctx, namespaces...)).To(Succeed())
	})
	ctx := within(t, rollout)
	g.Expect(cluster.Apply(ctx, namespaces...)).To(Succeed())
	g.Expect(cluster.Apply(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: corpusNamespace, Name: "scrape-token"},
		StringData: map[string]string{"token": "secret"}})).To(Succeed())
	total := 0
	for _, c := range corpusPods {
		g.Expect(cluster.Apply(ctx, c.object(corpusNamespace))).To(Succeed(), c.name)
		total += c.pods()
	}
	for _, c := range corpusServices {
		g.Expect(cluster.Apply(ctx, c.object(corpusNamespace))).To(Succeed(), c.name)
	}
	// The first of each kind again, where no app is to be scraped.
	g.Expect(cluster.Apply(ctx, corpusServices[0].object(optedOutNamespace), corpusPods[0].object(optedOutNamespace))).To(Succeed())

	pods := map[string][]corev1.Pod{}
	g.Eventually(func(g Gomega) {
		list := &corev1.PodList{}
		g.Expect(cluster.Client.List(ctx, list, client.InNamespace(corpusNamespace))).To(Succeed())
		g.Expect(list.Items).To(HaveLen(total))
		clear(pods)
		for _, pod := range list.Items {
			g.Expect(kit.PodReady(&pod)).To(BeTrue(), "pod %s: %s", pod.Name, pod.Status.Phase)
			pods[pod.Labels[caseLabel]] = append(pods[pod.Labels[caseLabel]], pod)
		}
	}, rollout, often).Should(Succeed())
	for _, slice := range handMadeSlices(t, g, &pods["web"][0]) {
		g.Expect(cluster.Apply(ctx, slice)).To(Succeed())
	}
	return pods
}

// givenMissingToken deploys apps whose bearer token is missing until the end of the test, for which prometheus-operator rejects their
// monitor, and returns the targets of the others beside them.
func givenMissingToken(t *testing.T) []string {
	t.Helper()
	g := NewWithT(t)
	ctx := within(t, rollout)
	namespace := kit.Namespace(noTokenNamespace)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Delete(ctx, namespace)).To(Succeed())
	})
	web := podCase{annotatedApp: annotatedApp{name: "web", ignored: true}}
	plain := serviceCase{annotatedApp: annotatedApp{name: "http", annotations: optIn("port", "8080"), want: []string{onHTTP}}}
	encrypted := serviceCase{annotatedApp: annotatedApp{name: "https", annotations: optIn("port", "8443", "scheme", "https")}}
	g.Expect(cluster.Apply(ctx, namespace, web.object(noTokenNamespace), plain.object(noTokenNamespace), encrypted.object(noTokenNamespace))).To(Succeed())
	pod := &corev1.Pod{}
	g.Eventually(func(g Gomega) {
		g.Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: noTokenNamespace, Name: web.name}, pod)).To(Succeed())
		g.Expect(kit.PodReady(pod)).To(BeTrue())
	}, rollout, often).Should(Succeed())
	return plain.targetsOf([]corev1.Pod{*pod}, plain.name)
}

// handMadeSlices lead to Prometheus itself, which must not be a target of an app: as the endpoints of a Service without a
// selector, and beside those of one with a selector, claiming to be a pod of the corpus and claiming nothing.
func handMadeSlices(t *testing.T, g *WithT, claimed *corev1.Pod) []client.Object {
	t.Helper()
	victims := &corev1.PodList{}
	g.Expect(cluster.Client.List(t.Context(), victims, client.InNamespace("monitoring"), client.MatchingLabels{jobLabel: "prometheus"})).To(Succeed())
	g.Expect(victims.Items).NotTo(BeEmpty())
	var slices []client.Object
	for name, c := range map[string]struct {
		service string
		claims  *corev1.ObjectReference
	}{
		"selectorless":         {selectorless, nil},
		"selectorless-claimed": {selectorless, &corev1.ObjectReference{Kind: "Pod", Namespace: claimed.Namespace, Name: claimed.Name, UID: claimed.UID}},
		"aimed":                {aimed, nil},
		"aimed-claimed":        {aimed, &corev1.ObjectReference{Kind: "Pod", Namespace: claimed.Namespace, Name: claimed.Name, UID: claimed.UID}},
	} {
		slices = append(slices, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: corpusNamespace, Name: "hand-made-" + name,
				Labels: map[string]string{discoveryv1.LabelServiceName: c.service, discoveryv1.LabelManagedBy: "a-tenant"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{victims.Items[0].Status.PodIP}, TargetRef: c.claims,
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
			Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](9090), Protocol: ptr.To(corev1.ProtocolTCP)}},
		})
	}
	return slices
}

// thenTargets waits until Prometheus scrapes exactly these targets in the namespaces of the corpus.
func thenTargets(t *testing.T, want []string) {
	t.Helper()
	NewWithT(t).Eventually(func() (string, error) {
		targets, err := cluster.Targets(t.Context())
		return cmp.Diff(want, linesOf(targets, corpusNamespace, optedOutNamespace, noTokenNamespace)), err
	}, scrape, time.Second).Should(BeEmpty(), "targets of Prometheus (-want +got)")
}

// thenCounted waits until the status has counted the corpus on top of what was there before.
func thenCounted(t *testing.T, before *v1alpha1.ScrapeStatus, pods map[string][]corev1.Pod) {
	t.Helper()
	services, podCount, refused := 0, 0, 0
	for _, c := range corpusServices {
		if c.accepted() {
			services++
		}
		refused += min(len(c.refused), 1)
	}
	for _, c := range corpusPods {
		if c.accepted() {
			podCount += len(pods[c.name])
		}
		refused += min(len(c.refused), 1)
	}
	NewWithT(t).Eventually(func(g Gomega) {
		now := thePipeline(t, g).Status.Scrape
		g.Expect(now).NotTo(BeNil())
		g.Expect(now.Services-before.Services).To(BeEquivalentTo(services+2), "Services, and those without a token")
		g.Expect(now.Pods-before.Pods).To(BeEquivalentTo(podCount), "Pods")
		g.Expect(now.Monitors-before.Monitors).To(BeEquivalentTo(6),
			"a ServiceMonitor and a PodMonitor for http, and for https; without Pods in the namespace without a token")
		g.Expect(now.RejectedTotal-before.RejectedTotal).To(BeEquivalentTo(refused), "rejected: %v", now.Rejected)
	}, counts, often).Should(Succeed())
}

// thenRefused looks for the reason of every refusal, in the status and as an Event on the app.
func thenRefused(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	reasons := map[string]string{}
	for _, app := range thePipeline(t, g).Status.Scrape.Rejected {
		if app.Namespace == corpusNamespace {
			reasons[app.Kind+"/"+app.Name] = app.Reason
		}
	}
	expect := func(kind string, app annotatedApp) {
		if len(app.refused) == 0 {
			g.Expect(reasons).NotTo(HaveKey(kind + "/" + app.name))
			return
		}
		for _, part := range app.refused {
			g.Expect(reasons).To(HaveKeyWithValue(kind+"/"+app.name, ContainSubstring(part)))
			g.Eventually(func() ([]string, error) { return rejections(t.Context(), kind, app.name) }, soon, often).
				Should(ContainElement(ContainSubstring(part)), "Event ScrapeRejected on %s %s", kind, app.name)
		}
	}
	for _, c := range corpusServices {
		expect("Service", c.annotatedApp)
	}
	for _, c := range corpusPods {
		expect("Pod", c.annotatedApp)
	}
}

// rejections are the messages of the Events ScrapeRejected on an app of the corpus.
func rejections(ctx context.Context, kind, name string) ([]string, error) {
	events := &corev1.EventList{}
	err := cluster.Client.List(ctx, events, client.InNamespace(corpusNamespace),
		client.MatchingFields{"involvedObject.kind": kind, "involvedObject.name": name, "reason": "ScrapeRejected"})
	var messages []string
	for _, event := range events.Items {
		messages = append(messages, event.Message)
	}
	return messages, err
}

// thenRatesAreRight puts load on the pods behind the Services, and compares the rate that Prometheus computes over the
// targets of a Service with what the pods have counted themselves. An endpoint that is scraped twice doubles it.
func thenRatesAreRight(t *testing.T, g *WithT) {
	t.Helper()
	const perPod, seconds = 20, 35
	ctx := within(t, rollout)
	_, err := cluster.Ask(ctx, corpusNamespace, "web", fmt.Sprintf("/load?rps=%d", perPod))
	g.Expect(err).NotTo(HaveOccurred())
	first, start := counted(t, g), time.Now()
	// A rate is over 20 s: what was before the load must not be in it.
	g.Eventually(func(g Gomega) float64 { return counted(t, g) - first }, rollout, often).Should(BeNumerically(">", 2*perPod*seconds))
	actual := (counted(t, g) - first) / time.Since(start).Seconds()
	for _, service := range []string{"no-port", "one-port-two-names", "target-number", "service-port-name", "path-root"} {
		rate, found, err := cluster.Query(ctx, fmt.Sprintf("sum(rate(http_requests_total{namespace=%q,service=%q}[20s]))", corpusNamespace, service))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(BeTrue(), service)
		if service == "service-port-name" { // It leads to the proxy, which has a counter of its own.
			g.Expect(rate).To(BeZero())
			continue
		}
		t.Logf("rate of the Service %s: %.1f/s by Prometheus, %.1f/s by its pods, ratio %.3f", service, rate, actual, rate/actual)
		g.Expect(rate/actual).To(BeNumerically("~", 1, 0.15), service)
	}
	_, err = cluster.Ask(ctx, corpusNamespace, "web", "/load?rps=0")
	g.Expect(err).NotTo(HaveOccurred())
}

// counted is what the pods behind the Services have counted on their port 8080.
func counted(t *testing.T, g Gomega) float64 {
	t.Helper()
	answers, err := cluster.Ask(t.Context(), corpusNamespace, "web", "/metrics")
	g.Expect(err).NotTo(HaveOccurred())
	total := 0.0
	for pod, answer := range answers {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(answer))
		g.Expect(err).NotTo(HaveOccurred(), pod)
		g.Expect(families).To(HaveKey("http_requests_total"), strings.TrimSpace(string(answer)))
		for _, metric := range families["http_requests_total"].Metric {
			total += metric.GetCounter().GetValue()
		}
	}
	return total
}
