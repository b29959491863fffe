// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// chainsPrefix begins the names of the namespaces of broken chains.
const chainsPrefix = "chain-"

// namespaceOf is the namespace of the chain that is broken for a reason.
func namespaceOf(reason string) string { return chainsPrefix + strings.ToLower(reason) }

// TestBrokenChains breaks an app that scales in every way that one namespace can be broken, each in its own at the same time. Each is
// named in the status, by an Event on its HPA and by the command line with the same reason, and not any more once it is repaired.
func TestBrokenChains(t *testing.T) {
	g := story(t)
	givenChains(t)
	broken := chains()
	whenBroken(t, g, broken)
	start := time.Now()
	thenNamed(t, g, broken, start)
	for _, chain := range broken {
		t.Run(chain.reason, func(t *testing.T) {
			thenExplained(t, chain)
		})
	}

	whenRepaired(t, g, broken)
	start = time.Now()
	g.Eventually(func(g Gomega) {
		g.Expect(failures(t, g)).To(BeEmpty())
	}, scrape+counts, time.Second).Should(Succeed())
	t.Logf("all %d work again after %.0f s", len(broken), time.Since(start).Seconds())
	for _, chain := range broken {
		code, out := why(t, namespaceOf(chain.reason), "web")
		g.Expect(code).To(Equal(0), "%s: %s", chain.reason, out)
	}
}

// givenChains applies the pipeline of the story: with rules that work, and rules that do not.
func givenChains(t *testing.T) *v1alpha1.MetricsPipeline {
	t.Helper()
	pipeline, err := cluster.QuickSample()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	pipeline.Spec.Scrape.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: unscrapedLabel, Operator: metav1.LabelSelectorOpDoesNotExist}}}
	requests := pipeline.Spec.CustomMetrics.Rules[0]
	for name, change := range map[string]func(*v1alpha1.CustomMetricRule){
		"rejected_requests": func(r *v1alpha1.CustomMetricRule) { r.MetricsQuery = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[20s])" },
		"warned_requests":   func(r *v1alpha1.CustomMetricRule) { r.MetricsQuery = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[20s]))" },
		"short_requests": func(r *v1alpha1.CustomMetricRule) {
			r.MetricsQuery = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[1s])) by (<<.GroupBy>>)" // Less than two scrapes.
		},
		"absent_per_second": func(r *v1alpha1.CustomMetricRule) { r.SeriesQuery = `absent_total{namespace!="",pod!=""}` },
	} {
		rule := *requests.DeepCopy()
		rule.ID = strings.ReplaceAll(name, "_", "-")
		rule.Name = v1alpha1.MetricName{As: name}
		change(&rule)
		pipeline.Spec.CustomMetrics.Rules = append(pipeline.Spec.CustomMetrics.Rules, rule)
	}
	whenApplied(t, pipeline)
	thenCondition(t, rollout, v1alpha1.ConditionRulesAccepted, metav1.ConditionFalse, v1alpha1.ReasonRulesRejected)
	return pipeline
}

// whenBroken applies the apps as they are broken. They go with their namespaces at the end of the test.
func whenBroken(t *testing.T, g *WithT, broken []chain) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		var all []client.Object
		for _, chain := range broken {
			all = append(all, kit.Namespace(namespaceOf(chain.reason)))
		}
		g.Expect(cluster.Delete(ctx, all...)).To(Succeed())
	})
	for _, chain := range broken {
		app := chain.healthy(namespaceOf(chain.reason))
		chain.breaks(app)
		g.Expect(cluster.Apply(t.Context(), app.objects()...)).To(Succeed(), chain.reason)
	}
}

// whenRepaired applies the apps as they are healthy, and deletes what broke them.
func whenRepaired(t *testing.T, g *WithT, broken []chain) {
	t.Helper()
	for _, chain := range broken {
		app, bad := chain.healthy(namespaceOf(chain.reason)), chain.healthy(namespaceOf(chain.reason))
		chain.breaks(bad)
		g.Expect(cluster.Delete(t.Context(), bad.more...)).To(Succeed(), chain.reason)
		g.Expect(cluster.Apply(t.Context(), app.objects()...)).To(Succeed(), chain.reason)
	}
}

// failures are the reasons that the status gives for the HPA web of each namespace of a chain.
func failures(t *testing.T, g Gomega) map[string]v1alpha1.AutoscalerFailure {
	t.Helper()
	found := map[string]v1alpha1.AutoscalerFailure{}
	status := thePipeline(t, g).Status.Autoscalers
	g.Expect(status).NotTo(BeNil())
	for _, failure := range status.Failing {
		if strings.HasPrefix(failure.Namespace, chainsPrefix) && failure.Name == "web" {
			found[failure.Namespace] = failure
		}
	}
	return found
}

// thenNamed waits until the status names every chain with its reason.
func thenNamed(t *testing.T, g *WithT, broken []chain, start time.Time) {
	t.Helper()
	said := map[string]time.Duration{}
	g.Eventually(func(g Gomega) {
		found := failures(t, g)
		var wrong []string
		for _, chain := range broken {
			failure, is := found[namespaceOf(chain.reason)]
			if is && failure.Reason == chain.reason {
				if _, before := said[chain.reason]; !before {
					said[chain.reason] = time.Since(start)
				}
				continue
			}
			wrong = append(wrong, fmt.Sprintf("want %s, got %q: %s", chain.reason, failure.Reason, failure.Message))
		}
		g.Expect(wrong).To(BeEmpty())
	}, scrape+2*counts, time.Second).Should(Succeed())
	times := make([]time.Duration, 0, len(said))
	for _, d := range said {
		times = append(times, d)
	}
	slices.Sort(times)
	t.Logf("%d chains are named: the first after %.0f s, half of them after %.0f s, all after %.0f s",
		len(times), times[0].Seconds(), times[len(times)/2].Seconds(), times[len(times)-1].Seconds())
}

// thenExplained: the Event on the HPA and the command line say what the status says, and speak of no other namespace.
func thenExplained(t *testing.T, chain chain) {
	t.Helper()
	g := NewWithT(t)
	namespace := namespaceOf(chain.reason)
	failure := failures(t, g)[namespace]
	g.Eventually(func(g Gomega) {
		events := eventsOf(t, g, namespace, "web", chain.reason)
		g.Expect(events).NotTo(BeEmpty())
		for _, event := range events {
			g.Expect(event.Type).To(Equal(corev1.EventTypeWarning))
			for _, other := range chains() {
				if other.reason != chain.reason {
					g.Expect(event.Message).NotTo(ContainSubstring(namespaceOf(other.reason)+" "), "an Event speaks of its own namespace alone")
				}
			}
		}
	}, soon, time.Second).Should(Succeed())
	code, out := why(t, namespace, "web")
	t.Logf("%s\n%s", failure.Message, out)
	g.Expect(code).To(Equal(1), out)
	g.Expect(out).To(ContainSubstring(chain.reason))
}

// eventsOf are those of an HPA with a reason.
func eventsOf(t *testing.T, g Gomega, namespace, name, reason string) []corev1.Event {
	t.Helper()
	events := &corev1.EventList{}
	g.Expect(cluster.Client.List(t.Context(), events, client.InNamespace(namespace), client.MatchingFields{
		"involvedObject.kind": "HorizontalPodAutoscaler", "involvedObject.name": name, "reason": reason})).To(Succeed())
	return events.Items
}

// why runs the command line for an HPA.
func why(t *testing.T, namespace, name string) (code int, out string) {
	t.Helper()
	program := filepath.Join(cluster.Root, "bin", "kubectl-metricspipeline")
	command := exec.CommandContext(t.Context(), program, "why", "hpa/"+name, "--namespace", namespace)
	output, err := command.CombinedOutput()
	if command.ProcessState == nil {
		t.Fatalf("run %s: %v", program, err)
	}
	return command.ProcessState.ExitCode(), string(output)
}

// clusterBreak breaks what all namespaces share.
type clusterBreak struct {
	// reasons that are said of the HPAs of any namespace, by their names.
	reasons map[string]string
	// change has the pipeline do it; nil for none. breaks does it otherwise, and returns how to repair it.
	change func(*v1alpha1.MetricsPipelineSpec)
	breaks func(*testing.T, *WithT) (repair func())
}

// TestBrokenClusters breaks what all namespaces share, one thing after another: what is said of two HPAs, and that an administrator has
// to act.
func TestBrokenClusters(t *testing.T) {
	g := story(t)
	pipeline := givenChains(t)
	shared := chain{metric: kit.RequestsOfPods(20), reason: "shared", breaks: func(a *scalingApp) {
		queue := kit.SampleScaler("queue", kit.QueueDepth("orders", 20))
		queue.Namespace = a.namespace.Name
		idle := a.second("queue")
		idle.Labels, idle.Spec.Selector.MatchLabels = map[string]string{"app": "queue"}, map[string]string{"app": "queue"}
		idle.Spec.Template.Labels = idle.Labels
		a.more = append(a.more, idle, queue)
	}}
	whenBroken(t, g, []chain{shared})
	namespace := namespaceOf(shared.reason)
	works := func() {
		t.Helper()
		g.Eventually(func(g Gomega) {
			for _, name := range []string{"web", "queue"} {
				code, out := why(t, namespace, name)
				g.Expect(code).To(Equal(0), out)
			}
		}, scrape, time.Second).Should(Succeed())
	}
	works()
	for _, round := range []clusterBreak{
		{map[string]string{"web": v1alpha1.AutoscalerAPIDisabled, "queue": v1alpha1.AutoscalerDeriveDisabled},
			func(spec *v1alpha1.MetricsPipelineSpec) {
				spec.CustomMetrics.Policy = v1alpha1.PolicyDisabled
				spec.ExternalMetrics.Rules[0].Name.As, spec.ExternalMetrics.Derive = "other", v1alpha1.DeriveDisabled
			}, nil},
		{map[string]string{"web": v1alpha1.AutoscalerPrometheusUnreachable, "queue": v1alpha1.AutoscalerPrometheusUnreachable},
			nil, withoutPrometheus},
		{map[string]string{"web": v1alpha1.AutoscalerAPIUnavailable, "queue": v1alpha1.AutoscalerAPIUnavailable}, nil, withoutAdapter},
	} {
		repair := func() { whenApplied(t, pipeline) }
		if round.change != nil {
			changed := pipeline.DeepCopy()
			round.change(&changed.Spec)
			whenApplied(t, changed)
		} else {
			repair = round.breaks(t, g)
		}
		start := time.Now()
		g.Eventually(func(g Gomega) {
			status := thePipeline(t, g).Status
			g.Expect(status.Autoscalers).NotTo(BeNil())
			for name, reason := range round.reasons {
				g.Expect(status.Autoscalers.Failing).To(ContainElement(SatisfyAll(HaveField("Namespace", namespace), HaveField("Name", name),
					HaveField("Reason", reason))))
				g.Expect(eventsOf(t, g, namespace, name, reason)).NotTo(BeEmpty())
			}
			g.Expect(apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionAutoscalersServed)).
				To(HaveField("Status", metav1.ConditionFalse))
		}, scrape+counts, time.Second).Should(Succeed())
		t.Logf("%v is said after %.0f s", round.reasons, time.Since(start).Seconds())
		for name, reason := range round.reasons {
			code, out := why(t, namespace, name)
			g.Expect(code).To(Equal(1), out)
			g.Expect(out).To(ContainSubstring(reason))
		}
		repair()
		works()
	}
}

// withoutPrometheus stops the Prometheus of the cluster.
func withoutPrometheus(t *testing.T, g *WithT) (repair func()) {
	t.Helper()
	scale := func(replicas int) {
		_, err := cluster.Kubectl(context.WithoutCancel(t.Context()), "-n", "monitoring", "patch", "prometheus", "k8s", "--type=merge",
			"--patch", fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
		g.Expect(err).NotTo(HaveOccurred())
	}
	t.Cleanup(func() { scale(1) })
	scale(0)
	return func() { scale(1) }
}

// withoutAdapter ends the pods of the adapter, and has a quota refuse new ones.
func withoutAdapter(t *testing.T, g *WithT) (repair func()) {
	t.Helper()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: "nothing-new"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}}}
	g.Expect(cluster.Apply(t.Context(), quota)).To(Succeed())
	remove := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.Delete(ctx, quota)).To(Succeed())
	}
	t.Cleanup(remove)
	adapter := func(kind string) {
		_, err := cluster.Kubectl(t.Context(), "-n", kit.OperatorNamespace, "delete", kind, "-l", "app.kubernetes.io/name=prometheus-adapter")
		g.Expect(err).NotTo(HaveOccurred())
	}
	adapter("pods")
	return func() {
		remove()
		adapter("deployments") // The operator makes it again at once; its ReplicaSet would try again minutes later.
	}
}
