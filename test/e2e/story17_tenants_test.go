// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// hostile is the namespace of a tenant who attacks by everything that it may write, and squatted one of the same tenant, where a
	// monitor of the operator's name was made first.
	hostile  = "metricspipeline-hostile"
	squatted = "metricspipeline-squatted"
	// churned is a namespace that comes and goes, and newcomer one that comes in the middle of it.
	churned  = "metricspipeline-churned"
	newcomer = "metricspipeline-newcomer"
	// besieged is how long the attack lasts.
	besieged = 3 * time.Minute
)

// TestAHostileNamespace: all attacks of one namespace at once, while another scales on its own metric, a third joins and the pipeline
// is reconfigured. Nothing of it is noticed there, the operator does not restart, and Ready stays True. The status names the namespace.
func TestAHostileNamespace(t *testing.T) {
	g := story(t)
	pipeline := givenRules(t)
	thenReady(t, rollout)
	before := operators(t, g)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*rollout)
		defer cancel()
		for _, name := range []string{hostile, squatted, churned, newcomer} {
			g.Expect(cluster.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
		}
	})
	scaler := givenScaler(t, samples[1])

	attack, end := context.WithTimeout(t.Context(), besieged)
	defer end()
	ready := watchReady(attack, t)
	whenAttacked(t, g)
	churn := whenChurned(attack, t)
	rewritten := whenRewritten(attack, t)

	// Meanwhile.
	g.Expect(cluster.Apply(t.Context(), kit.Namespace(newcomer))).To(Succeed())
	g.Expect(cluster.Apply(t.Context(), serviceCase{annotatedApp: annotatedApp{name: "web", annotations: optIn()}}.object(newcomer))).To(Succeed())
	thenAnnotatedMonitor(t, newcomer)
	scaler.Expect(cluster.Steer(t.Context(), samples[1].name, samples[1].load)).To(Succeed())
	scaler.Eventually(func(g Gomega) {
		g.Expect(pods(t, g, samples[1].name)).To(BeEquivalentTo(kit.SampleMaxReplicas))
	}, rollout, often).Should(Succeed(), "another namespace scales on its own metric")
	pipeline.Spec.Scrape.Labels = map[string]v1alpha1.LabelValue{"reconfigured": "true"}
	whenApplied(t, pipeline)
	g.Eventually(func(g Gomega) {
		g.Expect(annotatedMonitor(t.Context(), g, newcomer).Labels).To(HaveKeyWithValue("reconfigured", "true"))
	}, rollout, often).Should(Succeed())
	scaler.Expect(cluster.Steer(t.Context(), samples[1].name, samples[1].idle)).To(Succeed())

	<-attack.Done()
	g.Expect(<-ready).To(BeEmpty(), "what the condition Ready was beside True")
	t.Logf("in %s: a namespace was made and deleted %d times, and hostile Services were written %d times", besieged, <-churn, <-rewritten)
	g.Expect(operators(t, g)).To(Equal(before), "the operator's containers, and how often they have started")
	thenContained(t, g)
	thenAnnotatedMonitor(t, hostile)

	// A namespace that came and went gets its monitor when it comes again.
	g.Expect(cluster.Delete(within(t, rollout), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: churned}})).To(Succeed())
	makeChurned(t.Context(), g)
	thenAnnotatedMonitor(t, churned)
}

// operators are the operator's pods, and how often their containers have started.
func operators(t *testing.T, g Gomega) map[string]int32 {
	t.Helper()
	list := &corev1.PodList{}
	g.Expect(cluster.Client.List(t.Context(), list, client.InNamespace(kit.OperatorNamespace),
		client.MatchingLabels{"app.kubernetes.io/name": "metricspipeline-operator"})).To(Succeed())
	started := map[string]int32{}
	for _, pod := range list.Items {
		for _, container := range pod.Status.ContainerStatuses {
			started[pod.Name+"/"+container.Name] = container.RestartCount
		}
	}
	g.Expect(started).NotTo(BeEmpty())
	return started
}

// watchReady returns, once ctx has ended, every state of the condition Ready but True. A change of the spec that the status is not yet
// about is none.
func watchReady(ctx context.Context, t *testing.T) <-chan []string {
	t.Helper()
	result := make(chan []string, 1)
	go func() {
		seen := map[string]bool{}
		_ = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
			pipeline, err := cluster.Pipeline(ctx)
			if err != nil {
				return false, nil //nolint:nilerr // the API server is loaded
			}
			for _, condition := range pipeline.Status.Conditions {
				if condition.Type == v1alpha1.ConditionReady && condition.Status != metav1.ConditionTrue &&
					condition.ObservedGeneration == pipeline.Generation {
					seen[condition.Reason+": "+condition.Message] = true
				}
			}
			return false, nil
		})
		result <- slices.Sorted(maps.Keys(seen))
	}()
	return result
}

// whenAttacked makes what a tenant who may write Services, Pods, EndpointSlices, monitors and Prometheus objects can make.
func whenAttacked(t *testing.T, g *WithT) {
	t.Helper()
	ctx := within(t, rollout)
	apply := func(objects ...client.Object) {
		t.Helper()
		g.Expect(cluster.Apply(ctx, objects...)).To(Succeed())
	}
	// Without a Pod Security level, so that Pods may be in the network of their node.
	for _, name := range []string{hostile, squatted} {
		apply(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	apply(&monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: squatted, Name: grouped},
		Spec: monitoringv1.ServiceMonitorSpec{Endpoints: []monitoringv1.Endpoint{{Port: "http"}}}},
		hostileService("web", nil, func(s *corev1.Service) { s.Namespace = squatted }))

	app := kit.SamplePod()
	host := kit.SamplePod()
	host.HostNetwork = true
	host.Containers[0].Args = []string{"-port=18080"}
	host.Containers[0].Ports, host.Containers[0].ReadinessProbe = nil, nil
	apply(
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: hostile, Name: "apiserver",
			Labels: map[string]string{"app": "apiserver", jobLabel: "apiserver"}}, Spec: app},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: hostile, Name: "agent",
			Annotations: optIn("port", "10250", "scheme", "https"), Labels: map[string]string{"app": "agent"}}, Spec: host},
		hostileService("apiserver", nil, nil),
		hostileService("node", map[string]string{"port": "10250", "scheme": "https"}, func(s *corev1.Service) { s.Spec.Selector["app"] = "agent" }),
		// Its name is before those of the queries: of Services that were made in one second, the first by name gets a place.
		hostileService("moved", map[string]string{"path": "/redirect?to=http://127.0.0.1:9090/federate?match[]=http_requests_total"}, nil),
		hostileService("endless", map[string]string{"path": "/endless"}, nil),
		hostileService("variable", map[string]string{"path": "/metrics?x=$(POD_NAME)"}, nil),
		hostileService("elsewhere", map[string]string{"port": "9090"}, func(s *corev1.Service) { s.Spec.Selector = nil }),
		&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: hostile, Name: "elsewhere",
			Labels: map[string]string{discoveryv1.LabelServiceName: "apiserver"}}, AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.255.255.1"}}},
			Ports:     []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](9090), Protocol: ptr.To(corev1.ProtocolTCP)}}},
		&monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: hostile, Name: "mine"}, Spec: monitoringv1.PrometheusSpec{
			CommonPrometheusFields: monitoringv1.CommonPrometheusFields{Replicas: ptr.To[int32](0)}}},
	)
	for i := range 200 {
		apply(hostileService(fmt.Sprintf("query-%03d", i), map[string]string{"path": fmt.Sprintf("/metrics?x=%d", i)}, nil))
	}
	long := strings.Repeat("y", 200<<10)
	for i := range 50 {
		apply(hostileService(fmt.Sprintf("long-%03d", i), map[string]string{"path": "/" + long}, func(s *corev1.Service) {
			s.Annotations["example.com/path"] = "/"
		}))
	}
}

// hostileService is an annotated Service in front of the tenant's Pod.
func hostileService(name string, annotations map[string]string, edit func(*corev1.Service)) *corev1.Service {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: hostile, Name: name, Annotations: optIn()},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "apiserver"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 8080, TargetPort: intstr.FromInt32(8080)}}}}
	for key, value := range annotations {
		service.Annotations["prometheus.io/"+key] = value
	}
	if edit != nil {
		edit(service)
	}
	return service
}

// makeChurned makes the namespace that comes and goes, with an app.
func makeChurned(ctx context.Context, g Gomega) {
	app := hostileService("web", nil, func(s *corev1.Service) { s.Namespace = churned })
	g.Expect(cluster.Apply(ctx, kit.Namespace(churned), app)).To(Succeed())
}

// whenChurned makes and deletes a namespace until ctx ends, and then returns how often.
func whenChurned(ctx context.Context, t *testing.T) <-chan int {
	t.Helper()
	return repeat(ctx, func(g Gomega) {
		makeChurned(ctx, g)
		g.Eventually(func(g Gomega) { annotatedMonitor(ctx, g, churned) }, rollout, often).Should(Succeed())
		g.Expect(cluster.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: churned}})).To(Succeed())
	})
}

// whenRewritten changes the annotations of one Service after the other until ctx ends, and then returns how often.
func whenRewritten(ctx context.Context, t *testing.T) <-chan int {
	t.Helper()
	i := 0
	return repeat(ctx, func(g Gomega) {
		i++
		g.Expect(cluster.Apply(ctx, hostileService(fmt.Sprintf("query-%03d", i%200),
			map[string]string{"path": fmt.Sprintf("/metrics?x=%d&y=%d", i%200, i)}, nil))).To(Succeed())
		time.Sleep(often) // A rate of writes, not a wait for something.
	})
}

// repeat does something until ctx ends, and then returns how often it succeeded.
func repeat(ctx context.Context, do func(Gomega)) <-chan int {
	done := make(chan int, 1)
	go func() {
		times := 0
		for ctx.Err() == nil {
			failed := false
			do(NewGomega(func(string, ...int) { failed = true }))
			if !failed {
				times++
			}
		}
		done <- times
	}()
	return done
}

// annotatedMonitor reads the operator's ServiceMonitor of a namespace.
func annotatedMonitor(ctx context.Context, g Gomega, namespace string) *monitoringv1.ServiceMonitor {
	monitor := &monitoringv1.ServiceMonitor{}
	g.Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: grouped}, monitor)).To(Succeed())
	g.Expect(monitor.Labels).To(HaveKeyWithValue(v1alpha1.ManagedLabel, v1alpha1.SingletonName))
	return monitor
}

func thenAnnotatedMonitor(t *testing.T, namespace string) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) { annotatedMonitor(t.Context(), g, namespace) }, soon, often).Should(Succeed(), "the monitor of %s", namespace)
}

// thenContained looks at what Prometheus and the status know of the attack.
func thenContained(t *testing.T, g *WithT) {
	t.Helper()
	config, err := cluster.PrometheusConfig(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	_, jobs, found := strings.Cut(string(config), "scrape_configs:")
	g.Expect(found).To(BeTrue(), "the configuration of Prometheus has jobs")
	variables := slices.Compact(slices.Sorted(slices.Values(regexp.MustCompile(`\$\([^)]*\)`).FindAllString(jobs, -1))))
	g.Expect(variables).To(HaveExactElements("$(SHARD)"), "variables in the jobs of Prometheus but prometheus-operator's own")
	g.Expect(strings.Count(jobs, "job_name: serviceMonitor/"+hostile+"/")).To(BeNumerically("<=", 11), "its scrape pools")
	loaded, err := cluster.PrometheusMetric(t.Context(), "prometheus_config_last_reload_successful")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(loaded).To(BeEquivalentTo(1), "Prometheus takes its configuration")
	for _, expression := range []string{
		`count({exported_namespace!="", namespace="` + hostile + `"})`, // Series of others by a redirect.
		`count(up{job="apiserver", namespace="` + hostile + `"})`,      // A forged job.
		`count(endless_total)`, // A body without end.
		`count(up{namespace="` + hostile + `", instance=~".*:(9090|10250)"})`,
	} {
		value, found, err := cluster.Query(t.Context(), expression)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(BeFalse(), "%s is %v", expression, value)
	}
	g.Eventually(func(g Gomega) {
		targets, err := cluster.Targets(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		errors := map[string]string{}
		for _, target := range targets {
			if target.Labels["namespace"] == hostile {
				g.Expect(target.URL).NotTo(MatchRegexp(`^https?://(127\.|10\.255\.|[^/]*:(10250|9090)/)`))
				errors[target.Labels["service"]] = target.Error
			}
		}
		g.Expect(errors).To(HaveKeyWithValue("moved", ContainSubstring("302")))
		g.Expect(errors).To(HaveKeyWithValue("endless", ContainSubstring("body size limit")))
	}, scrape, often).Should(Succeed())

	g.Eventually(func(g Gomega) {
		status := thePipeline(t, g).Status.Scrape
		g.Expect(status.NotScraped).To(ContainElement(SatisfyAll(HaveField("Namespace", squatted), HaveField("Reason", v1alpha1.ReasonNameTaken))))
		g.Expect(status.Rejected).To(ContainElement(HaveField("Namespace", hostile)))
		g.Expect(status.RejectedTotal).To(BeNumerically(">=", 190+50+3))
	}, counts, often).Should(Succeed())
	thenReady(t, soon)
}
