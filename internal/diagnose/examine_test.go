// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// update writes the golden file: go test ./internal/diagnose -update. Read the difference before you commit it.
var update = flag.Bool("update", false, "write testdata/findings.txt")

const golden = "testdata/findings.txt"

// TestBroken names the reason and the link of every case, and its sentences by the golden file, which the documentation quotes.
func TestBroken(t *testing.T) {
	var got strings.Builder
	for _, tc := range brokenCases() {
		evidence := healthy([]autoscalingv2.MetricSpec{tc.metric}, 0)
		tc.change(evidence)
		chain := Examine(evidence).Chains[0]
		if chain.Finding == nil || chain.Finding.Reason != tc.reason || brokenAt(chain) != tc.link {
			t.Errorf("%s: %+v at %q, want %s at %s\n%s", tc.name, chain.Finding, brokenAt(chain), tc.reason, tc.link, verdicts(chain))
			continue
		}
		fmt.Fprintf(&got, "# %s\n%s\n%s\n", tc.name, verdicts(chain), line(*chain.Finding))
	}
	for _, tc := range limitCases() {
		chain := Examine(tc.evidence()).Chains[0]
		if len(chain.Limits) != 1 || chain.Limits[0].Reason != tc.reason {
			t.Errorf("%s: %+v, want %s", tc.name, chain.Limits, tc.reason)
			continue
		}
		fmt.Fprintf(&got, "# %s\n%s\n%s\n", tc.name, verdicts(chain), line(chain.Limits[0]))
	}
	for _, tc := range withoutHPACases() {
		chain := ExamineScaledObject(tc.object).Chains[0]
		fmt.Fprintf(&got, "# %s\n%s\n%s\n", tc.name, verdicts(chain), line(*chain.Finding))
		if chain.Finding.Reason != tc.reason || brokenAt(chain) != LinkAutoscaler {
			t.Errorf("%s: %+v, want %s", tc.name, chain.Finding, tc.reason)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("sentences (-%s +got):\n%s", golden, diff)
	}
}

func line(finding Finding) string {
	by := ""
	if finding.Administrator {
		by = " (administrator)"
	}
	return fmt.Sprintf("%s%s\n> %s\n> %s\n", finding.Reason, by, finding.Cause, finding.Remedy)
}

func verdicts(chain Chain) string {
	var all []string
	for _, link := range chain.Links {
		all = append(all, string(link.Name)+"="+string(link.Verdict))
	}
	return chain.Metric + ": " + strings.Join(all, " ")
}

func brokenAt(chain Chain) LinkName {
	for _, link := range chain.Links {
		if link.Verdict == Broken {
			return link.Name
		}
	}
	return ""
}

// TestEveryReasonHasACase demands that each constant is named by a case.
func TestEveryReasonHasACase(t *testing.T) {
	content, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range reasons(t) {
		if reason != v1alpha1.AutoscalerUnexplained && !strings.Contains(string(content), "\n"+reason+"\n") &&
			!strings.Contains(string(content), "\n"+reason+" (administrator)\n") {
			t.Errorf("no case has the reason %s", reason)
		}
	}
}

// TestHealthy finds nothing where all works, whatever the metric, and says what was seen of each link.
func TestHealthy(t *testing.T) {
	all := []autoscalingv2.MetricSpec{
		cpu, utilizationOf(corev1.ResourceMemory), averageOf(corev1.ResourceMemory, "500Mi"), containerCPU("app"), requests, queue, ingress,
		objectMetric("Service", "web", "http_requests_per_second"),
	}
	diagnosis := Examine(healthy(all))
	if diagnosis.Failing || !diagnosis.Complete() || len(diagnosis.Chains) != len(all) {
		t.Errorf("%+v", diagnosis)
	}
	for _, chain := range diagnosis.Chains {
		if chain.Finding != nil || len(chain.Limits) > 0 || brokenAt(chain) != "" {
			t.Errorf("%s: %+v %+v", verdicts(chain), chain.Finding, chain.Limits)
		}
	}
	want := "Pods http_requests_per_second: Autoscaler=Works Target=Works Pods=Works API=Works Rule=Works Series=Works Scrape=Works " +
		"Monitor=Works App=Works Value=Works"
	if got := verdicts(diagnosis.Chains[4]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = "Resource cpu: Autoscaler=Works Target=Works Pods=Works API=Works Rule=NotReached Series=NotReached Scrape=NotReached " +
		"Monitor=NotReached App=NotReached Value=Works"
	if got := verdicts(diagnosis.Chains[0]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestNoFault has what looks like a fault of an HPA that has its number: none is named.
func TestNoFault(t *testing.T) {
	for name, tc := range map[string]struct {
		metric autoscalingv2.MetricSpec
		change func(*Evidence)
	}{
		"a sidecar without a request, for an average value": {averageOf(corev1.ResourceCPU, "500m"), eachPod(func(pod *Pod) {
			pod.Requests["istio-proxy"] = corev1.ResourceList{}
		})},
		"a native sidecar with a request": {cpu, eachPod(func(pod *Pod) { pod.Requests["proxy"] = cpuAndMemory() })},
		"requests of the whole pod": {cpu, eachPod(func(pod *Pod) {
			pod.Requests, pod.ByPod = map[string]corev1.ResourceList{"app": {}, "proxy": {}}, cpuAndMemory()
		})},
		"requests of the whole pod for memory, and of a container for cpu": {cpu, eachPod(func(pod *Pod) {
			pod.Requests, pod.ByPod = map[string]corev1.ResourceList{"app": cpuAndMemory(), "proxy": {}}, corev1.ResourceList{"memory": {}}
		})},
		"one pod of two is not ready": {cpu, func(e *Evidence) { e.Pods[0].Ready, e.Pods[0].Waiting = false, "container app: CrashLoopBackOff" }},
		"no pod is ready, and has its usage": {utilizationOf(corev1.ResourceMemory), func(e *Evidence) {
			eachPod(func(pod *Pod) { pod.Ready = false })(e)
			e.PodsReady = 0
		}},
		"pods that were not looked at": {cpu, func(e *Evidence) {
			eachPod(func(pod *Pod) { pod.Ready = false })(e)
			e.PodsTotal, e.PodsReady = 30, 4
			e.Metrics[0].PodsWithMetrics = nil
		}},
		"metrics.k8s.io of another owner": {cpu, func(e *Evidence) { e.Metrics[0].API.Ours = false }},
		"an external metric of KEDA": {queue, func(e *Evidence) {
			e.ScaledObject = &ScaledObject{Name: "web"}
			e.Metrics[0] = Metric{API: API{Group: "external.metrics.k8s.io", Registered: true, Available: true,
				Owner: "helm (Service keda/keda-operator-metrics-apiserver)"}}
		}},
		"a target is down beside series": {requests, func(e *Evidence) { e.Metrics[0].Scrape.Up, e.Metrics[0].Scrape.Down = 0, 2 }},
		"an external metric of the whole cluster": {queue, func(e *Evidence) {
			e.Metrics[0].Series = Series{Total: 3, NamespaceLabel: "", Samples: 1}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := healthy([]autoscalingv2.MetricSpec{tc.metric}, 0)
			condition(evidence, autoscalingv2.ScalingActive, corev1.ConditionFalse, "FailedGetPodsMetric", "unable to get metric")
			tc.change(evidence)
			diagnosis := Examine(evidence)
			chain := diagnosis.Chains[0]
			want := &Finding{
				Reason: v1alpha1.AutoscalerUnexplained,
				Cause: "The " + viewOf(evidence, 0, true).measured() + " has no current value, and every link that was seen works; the HPA " +
					`controller says "ScalingActive is False, FailedGetPodsMetric: unable to get metric".`,
				Remedy: "Act on what the HPA controller says; it looks again every 15 seconds.",
			}
			if diff := cmp.Diff(want, chain.Finding); diff != "" || brokenAt(chain) != "" {
				t.Errorf("%s (-want +got):\n%s", verdicts(chain), diff)
			}
		})
	}
}

// TestUnexplainedWithoutACondition: with one bad metric of two no condition says why.
func TestUnexplainedWithoutACondition(t *testing.T) {
	chains := Examine(healthy([]autoscalingv2.MetricSpec{cpu, requests}, 1)).Chains
	if chains[0].Finding != nil || chains[1].Finding == nil || chains[1].Finding.Reason != v1alpha1.AutoscalerUnexplained {
		t.Fatalf("%+v, %+v", chains[0].Finding, chains[1].Finding)
	}
	if want := "Read the Events of HPA web: the HPA controller writes there what it is answered."; chains[1].Finding.Remedy != want {
		t.Errorf("the remedy is %q, want %q", chains[1].Finding.Remedy, want)
	}
}

// TestUnseen marks what could not be seen, and calls nothing broken that lies before it.
func TestUnseen(t *testing.T) {
	none := Series{NamespaceLabel: "namespace", ObjectLabel: "pod"}
	unknown := Series{Total: -1, InNamespace: -1, ForPods: -1}
	for name, tc := range map[string]struct {
		change func(*Evidence)
		unseen []LinkName
		reason string
		broken LinkName
	}{
		"the target": {func(e *Evidence) {
			e.Target = Target{}
			e.Unseen = map[LinkName]string{LinkTarget: "deployments.apps is forbidden"}
			e.Metrics[0].Series = none
		}, []LinkName{LinkTarget}, v1alpha1.AutoscalerSeriesMissing, LinkSeries},
		"the series and what is scraped": {func(e *Evidence) {
			e.Unseen = map[LinkName]string{LinkSeries: "no access to Prometheus", LinkScrape: "no access to Prometheus"}
			e.Metrics[0].Series, e.Metrics[0].Scrape = unknown, Scrape{}
		}, []LinkName{LinkSeries, LinkScrape, LinkMonitor, LinkApp}, v1alpha1.AutoscalerUnexplained, ""},
		"the series, and the app is not annotated": {func(e *Evidence) {
			e.Unseen = map[LinkName]string{LinkSeries: "no access to Prometheus", LinkScrape: "no access to Prometheus"}
			e.Metrics[0].Series, e.Metrics[0].Scrape = unknown, Scrape{Known: true, Up: -1, Down: -1}
		}, []LinkName{LinkSeries, LinkScrape}, v1alpha1.AutoscalerAppNotAnnotated, LinkApp},
		"what is scraped of pods without series": {func(e *Evidence) {
			e.Unseen = map[LinkName]string{LinkScrape: "targets are not known"}
			e.Metrics[0].Series, e.Metrics[0].Scrape = none, Scrape{}
		}, []LinkName{LinkScrape, LinkMonitor, LinkApp}, v1alpha1.AutoscalerSeriesMissing, ""},
		"the targets alone, and the monitor is not selected": {func(e *Evidence) {
			e.Metrics[0].Series = none
			e.Metrics[0].Scrape = Scrape{
				Known: true, Up: -1, Down: -1, Monitors: []string{"PodMonitor web"}, Unselected: []string{"PodMonitor web"}, Selector: "a=b",
			}
		}, []LinkName{LinkScrape}, v1alpha1.AutoscalerMonitorNotSelected, LinkMonitor},
		"the Services": {func(e *Evidence) {
			e.Unseen = map[LinkName]string{LinkApp: "services is forbidden", LinkMonitor: "services is forbidden"}
			e.Metrics[0].Series, e.Metrics[0].Scrape = none, Scrape{Up: -1, Down: -1}
		}, []LinkName{LinkScrape, LinkMonitor, LinkApp}, v1alpha1.AutoscalerSeriesMissing, ""},
		"the pods of the Service that is described": {func(e *Evidence) {
			e.HPA.Spec.Metrics[0] = objectMetric("Service", "queue", "http_requests_per_second")
			e.Metrics[0].Series = Series{NamespaceLabel: "namespace", ObjectLabel: "service"}
			e.Metrics[0].Scrape = Scrape{Of: "Service queue", Up: -1, Down: -1, Unseen: "list the pods of Service queue: pods is forbidden"}
		}, []LinkName{LinkScrape, LinkMonitor, LinkApp}, v1alpha1.AutoscalerSeriesMissing, ""},
		"series to derive a rule from": {func(e *Evidence) {
			e.Unseen = map[LinkName]string{LinkSeries: "no access to Prometheus"}
			e.Metrics[0].Rules, e.Metrics[0].Series = nil, Series{Total: -1, InNamespace: -1, ForPods: -1}
		}, []LinkName{LinkRule}, v1alpha1.AutoscalerUnexplained, ""},
		"the series of another metric": {func(e *Evidence) {
			e.Unseen = map[LinkName]string{LinkSeries: "no question is left"}
			e.Metrics[0].Series = none
		}, nil, v1alpha1.AutoscalerSeriesMissing, LinkSeries},
		"the rules": {func(e *Evidence) {
			e.Metrics[0].Rules, e.Metrics[0].RuleProblem = nil, "metricspipelines.metricspipeline.io is forbidden"
		}, []LinkName{LinkRule}, v1alpha1.AutoscalerUnexplained, ""},
		"series that were not asked for": {func(e *Evidence) {
			e.Metrics[0].Series = Series{Total: -1, InNamespace: -1, ForPods: -1}
		}, []LinkName{LinkSeries}, v1alpha1.AutoscalerUnexplained, ""},
		"the API behind a missing target": {func(e *Evidence) {
			e.Target = Target{KindServed: true}
			e.Unseen = map[LinkName]string{LinkAPI: "apiservices is forbidden"}
		}, nil, v1alpha1.AutoscalerTargetMissing, LinkTarget},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := healthy([]autoscalingv2.MetricSpec{requests}, 0)
			tc.change(evidence)
			diagnosis := Examine(evidence)
			chain := diagnosis.Chains[0]
			var unseen []LinkName
			for _, link := range chain.Links {
				if link.Verdict == Unseen {
					unseen = append(unseen, link.Name)
					if link.Seen == "" {
						t.Errorf("nothing says why %s could not be seen", link.Name)
					}
				}
			}
			if diff := cmp.Diff(tc.unseen, unseen); diff != "" {
				t.Errorf("unseen (-want +got):\n%s", diff)
			}
			if chain.Finding == nil || chain.Finding.Reason != tc.reason || brokenAt(chain) != tc.broken {
				t.Errorf("%+v\n%s, want %s at %q", chain.Finding, verdicts(chain), tc.reason, tc.broken)
			}
			if diagnosis.Complete() != (len(tc.unseen) == 0) {
				t.Errorf("Complete is %t", diagnosis.Complete())
			}
		})
	}
}

// TestRepeatsNothing: what is wrong with the target is said once, and every chain marks it.
func TestRepeatsNothing(t *testing.T) {
	evidence := healthy([]autoscalingv2.MetricSpec{cpu, requests}, 0, 1)
	evidence.Target = Target{KindServed: true}
	chains := Examine(evidence).Chains
	if chains[0].Finding == nil || chains[1].Finding != nil || brokenAt(chains[1]) != LinkTarget {
		t.Errorf("%+v, %+v: %s", chains[0].Finding, chains[1].Finding, verdicts(chains[1]))
	}
}

// TestNotObserved: of an HPA that its controller has not looked at nothing is known.
func TestNotObserved(t *testing.T) {
	evidence := healthy([]autoscalingv2.MetricSpec{requests})
	evidence.HPA.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	evidence.HPA.CreationTimestamp = metav1.NewTime(now)
	diagnosis := Examine(evidence)
	want := "Pods http_requests_per_second: Autoscaler=Works Target=NotReached Pods=NotReached API=NotReached Rule=NotReached " +
		"Series=NotReached Scrape=NotReached Monitor=NotReached App=NotReached Value=NotReached"
	if got := verdicts(diagnosis.Chains[0]); got != want || diagnosis.Failing || len(diagnosis.Chains[0].Limits) > 0 {
		t.Errorf("%s, failing %t, %+v", got, diagnosis.Failing, diagnosis.Chains[0].Limits)
	}
	if got := Examine(nil); len(got.Chains) > 0 || got.Failing {
		t.Errorf("without evidence: %+v", got)
	}
}
