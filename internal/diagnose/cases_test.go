// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// testCase is a broken chain: evidence in which one thing is wrong.
type testCase struct {
	// name says what is wrong. The sentences are in testdata/findings.txt below it.
	name string
	// metric is the only one of the HPA.
	metric autoscalingv2.MetricSpec
	// change breaks healthy evidence.
	change func(*Evidence)
	// reason that is named, and the link that is broken.
	reason string
	link   LinkName
}

func metricCase(name string, metric autoscalingv2.MetricSpec, change func(*Metric), reason string, link LinkName) testCase {
	return testCase{name, metric, func(e *Evidence) { change(&e.Metrics[0]) }, reason, link}
}

// condition replaces one that the HPA controller writes.
func condition(
	e *Evidence, kind autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason, message string,
) {
	for i := range e.HPA.Status.Conditions {
		if e.HPA.Status.Conditions[i].Type == kind {
			e.HPA.Status.Conditions[i] = autoscalingv2.HorizontalPodAutoscalerCondition{
				Type: kind, Status: status, Reason: reason, Message: message,
			}
			return
		}
	}
	e.HPA.Status.Conditions = append(e.HPA.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
	})
}

func eachPod(change func(*Pod)) func(*Evidence) {
	return func(e *Evidence) {
		for i := range e.Pods {
			change(&e.Pods[i])
		}
	}
}

var (
	cpu      = utilizationOf(corev1.ResourceCPU)
	requests = podsMetric("http_requests_per_second")
	queue    = externalMetric("queue_length")
	ingress  = objectMetric("Ingress", "web", "requests_per_second")
)

// brokenCases has every reason for which a metric has no value.
func brokenCases() []testCase {
	cases := append(autoscalerCases(), podsCases()...)
	cases = append(cases, apiCases()...)
	cases = append(cases, ruleCases()...)
	cases = append(cases, seriesCases()...)
	cases = append(cases, scrapeCases()...)
	return append(cases, valueCases()...)
}

func autoscalerCases() []testCase {
	ambiguous := func(e *Evidence) {
		condition(e, autoscalingv2.ScalingActive, corev1.ConditionFalse, "AmbiguousSelector",
			"pods by selector app=web are controlled by multiple HPAs: [shop/web shop/api]")
	}
	ofKEDA := func(object ScaledObject) func(*Evidence) {
		return func(e *Evidence) {
			e.Metrics[0] = Metric{API: API{Group: "external.metrics.k8s.io", Registered: true, Available: true, Owner: "keda"}}
			e.ScaledObject = &object
		}
	}
	wrongType := objectMetric("Service", "web", "http_requests_per_second")
	wrongType.Object.Target = autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, AverageValue: ptr.To(resource.MustParse("10"))}
	return []testCase{
		{"another HPA has the same target", cpu, func(e *Evidence) {
			ambiguous(e)
			e.Others = []string{"api"}
		}, v1alpha1.AutoscalerTargetShared, LinkAutoscaler},
		{"KEDA pauses the ScaledObject", queue, ofKEDA(ScaledObject{Name: "web", Paused: `autoscaling.keda.sh/paused: "true"`}),
			v1alpha1.AutoscalerScaledObjectPaused, LinkAutoscaler},
		{"the ScaledObject is not ready", queue,
			ofKEDA(ScaledObject{Name: "web", ReadyFalse: true, Ready: "error parsing kafka metadata: no topic given"}),
			v1alpha1.AutoscalerScaledObjectNotReady, LinkAutoscaler},
		{"the ScaledObject falls back", queue,
			ofKEDA(ScaledObject{Name: "web", FallbackTrue: true, Fallback: "At least one trigger is falling back on this scaled object"}),
			v1alpha1.AutoscalerScaledObjectFallback, LinkAutoscaler},
		{"a resource that nothing measures", averageOf("nvidia.com/gpu", "1"), func(*Evidence) {},
			v1alpha1.AutoscalerResourceNotMeasured, LinkAutoscaler},
		{"type Value beside averageValue", wrongType, func(*Evidence) {}, v1alpha1.AutoscalerTargetTypeMismatch, LinkAutoscaler},

		{"the kind is not served", cpu, func(e *Evidence) {
			e.HPA.Spec.ScaleTargetRef.APIVersion = "extensions/v1beta1"
			e.Target = Target{}
			condition(e, autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", "no matches for kind")
		}, v1alpha1.AutoscalerTargetKindNotServed, LinkTarget},
		{"the target does not exist", cpu, func(e *Evidence) {
			e.Target = Target{KindServed: true}
			condition(e, autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", `deployments.apps "web" not found`)
		}, v1alpha1.AutoscalerTargetMissing, LinkTarget},
		{"a DaemonSet as the target", cpu, func(e *Evidence) {
			e.HPA.Spec.ScaleTargetRef.Kind = "DaemonSet"
			e.Target = Target{Found: true, KindServed: true}
			condition(e, autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", "the server could not find the requested resource")
		}, v1alpha1.AutoscalerTargetNotScalable, LinkTarget},
		{"a scale without a selector", cpu, func(e *Evidence) {
			e.HPA.Spec.ScaleTargetRef.Kind = "Fleet"
			e.Target.Selector = ""
			condition(e, autoscalingv2.ScalingActive, corev1.ConditionFalse, "InvalidSelector", "the HPA target's scale is missing a selector")
		}, v1alpha1.AutoscalerTargetWithoutSelector, LinkTarget},
		{"the new number of replicas is refused", cpu, func(e *Evidence) {
			condition(e, autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedUpdateScale",
				`the HPA controller was unable to update the target scale: admission webhook "quota.example.com" denied the request`)
		}, v1alpha1.AutoscalerScaleRefused, LinkTarget},

		{"another HPA selects the same pods by another target", cpu, func(e *Evidence) {
			ambiguous(e)
			e.Target.SelectorElsewhere = []string{"Deployment worker"}
		}, v1alpha1.AutoscalerSelectorAmbiguous, LinkPods},
		{"another HPA selects the same pods, of no workload that is known", cpu, ambiguous,
			v1alpha1.AutoscalerSelectorAmbiguous, LinkPods},
	}
}

func podsCases() []testCase {
	return []testCase{
		{"the target was scaled to zero", cpu, func(e *Evidence) {
			e.Target.Replicas, e.PodsTotal, e.Pods = 0, 0, nil
		}, v1alpha1.AutoscalerZeroReplicas, LinkPods},
		{"no pod is made", cpu, func(e *Evidence) { e.PodsTotal, e.Pods = 0, nil }, v1alpha1.AutoscalerPodsMissing, LinkPods},
		{"no pod is made, for a metric of the whole target", ingress, func(e *Evidence) { e.PodsTotal, e.Pods = 0, nil },
			v1alpha1.AutoscalerPodsMissing, LinkPods},
		{"the selector selects pods of another workload without requests", cpu, func(e *Evidence) {
			other := pod("worker-1")
			other.Owner, other.Requests = "Deployment worker", map[string]corev1.ResourceList{"worker": {}}
			e.Pods, e.PodsTotal = append(e.Pods, other), 3
			e.Target.SelectorElsewhere = []string{"Deployment worker"}
		}, v1alpha1.AutoscalerSelectorTooWide, LinkPods},
		{"a container that does not exist", containerCPU("proxy"), func(*Evidence) {}, v1alpha1.AutoscalerContainerMissing, LinkPods},
		{"the measured container has no request", containerCPU("app"), eachPod(func(pod *Pod) {
			pod.Requests = map[string]corev1.ResourceList{"app": {corev1.ResourceMemory: resource.MustParse("64Mi")}, "istio-proxy": {}}
		}), v1alpha1.AutoscalerContainerRequestMissing, LinkPods},
		{"a sidecar has no request", cpu, eachPod(func(pod *Pod) { pod.Requests["istio-proxy"] = corev1.ResourceList{} }),
			v1alpha1.AutoscalerRequestsMissing, LinkPods},
		{"no request for memory", utilizationOf(corev1.ResourceMemory), eachPod(func(pod *Pod) {
			pod.Requests = map[string]corev1.ResourceList{"app": {corev1.ResourceCPU: resource.MustParse("100m")}}
		}), v1alpha1.AutoscalerRequestsMissing, LinkPods},
		{"requests of the whole pod without cpu", cpu, eachPod(func(pod *Pod) {
			pod.Requests = map[string]corev1.ResourceList{"app": {}}
			pod.ByPod = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
		}), v1alpha1.AutoscalerRequestsMissing, LinkPods},
		{"the image cannot be pulled", cpu, func(e *Evidence) {
			eachPod(func(pod *Pod) {
				pod.Phase, pod.Ready, pod.Waiting = corev1.PodPending, false, "container app: ImagePullBackOff"
			})(e)
			e.PodsTotal, e.PodsReady = 50, 0
			e.Metrics[0].PodsWithMetrics = []string{}
		}, v1alpha1.AutoscalerPodsNotReady, LinkPods},
		{"the readiness probe fails", requests, func(e *Evidence) {
			eachPod(func(pod *Pod) { pod.Ready = false })(e)
			e.PodsReady = 0
		}, v1alpha1.AutoscalerPodsNotReady, LinkPods},
		{"the pods have just started", cpu, func(e *Evidence) {
			eachPod(func(pod *Pod) { pod.Created = now.Add(-20 * time.Second) })(e)
			e.Metrics[0].PodsWithMetrics = []string{}
		}, v1alpha1.AutoscalerPodsStarting, LinkPods},
		{"the pods have usage, and the HPA controller does not count it yet", cpu,
			eachPod(func(pod *Pod) { pod.Created = now.Add(-100 * time.Second) }), v1alpha1.AutoscalerPodsStarting, LinkPods},
		{"the pods have just started, and are not scraped yet", requests, func(e *Evidence) {
			eachPod(func(pod *Pod) { pod.Created = now.Add(-20 * time.Second) })(e)
			e.Metrics[0].Series, e.Metrics[0].Scrape.Up = Series{NamespaceLabel: "namespace", ObjectLabel: "pod"}, 0
		}, v1alpha1.AutoscalerPodsStarting, LinkPods},
	}
}

func apiCases() []testCase {
	unregistered := func(change func(*API)) func(*Metric) {
		return func(m *Metric) {
			m.API = API{Group: m.API.Group, Policy: "Auto"}
			change(&m.API)
		}
	}
	foreign := func(change func(*API)) func(*Metric) {
		return func(m *Metric) {
			m.API = API{Group: m.API.Group, Policy: "Auto", Registered: true, Available: true, Owner: "keda (Service keda/keda-metrics-apiserver)"}
			change(&m.API)
		}
	}
	return []testCase{
		metricCase("no pipeline, and nothing else", cpu, unregistered(func(api *API) { api.NoPipeline = true }),
			v1alpha1.AutoscalerPipelineMissing, LinkAPI),
		metricCase("the policy is Disabled", queue, unregistered(func(api *API) { api.Policy = "Disabled" }),
			v1alpha1.AutoscalerAPIDisabled, LinkAPI),
		metricCase("the policy is Observe", cpu, unregistered(func(api *API) { api.Policy = "Observe" }),
			v1alpha1.AutoscalerAPIObserved, LinkAPI),
		metricCase("the backend does not serve yet", requests, unregistered(func(api *API) { api.Reason = "WaitingForBackend" }),
			v1alpha1.AutoscalerAPINotRegistered, LinkAPI),
		metricCase("no pod of the backend is ready", cpu, func(m *Metric) {
			m.API.Available, m.API.Reason = false, "MissingEndpoints"
			m.API.Message = `endpoints for service/metrics-server in "metricspipeline-system" have no addresses`
		}, v1alpha1.AutoscalerAPIUnavailable, LinkAPI),
		metricCase("the backend of another owner does not answer", cpu, foreign(func(api *API) {
			api.Available, api.Reason = false, "FailedDiscoveryCheck"
			api.Message = "failing or missing response from https://10.244.0.7:10250/apis/metrics.k8s.io/v1beta1"
		}), v1alpha1.AutoscalerAPIUnavailable, LinkAPI),
		metricCase("an aggregator that says something new", cpu, func(m *Metric) { m.API.Available, m.API.Reason = false, "SomethingNew" },
			v1alpha1.AutoscalerAPIUnavailable, LinkAPI),
		metricCase("the API belongs to another owner", queue, foreign(func(*API) {}), v1alpha1.AutoscalerAPIForeign, LinkAPI),
	}
}

func ruleCases() []testCase {
	state := func(state, message string) func(*Metric) {
		return func(m *Metric) { m.Rules[0].State, m.Rules[0].Message = state, message }
	}
	// Without a rule no API is registered, as on a cluster with spec: {}.
	withoutRule := func(change func(*Metric)) func(*Metric) {
		return func(m *Metric) {
			m.API = API{Group: m.API.Group, Policy: "Auto", Reason: v1alpha1.ReasonNoRules}
			m.Rules, m.Series = nil, Series{Total: -1, InNamespace: -1, ForPods: -1}
			change(m)
		}
	}
	refused := func(reason, problem string) func(*Metric) {
		return withoutRule(func(m *Metric) { m.CandidatesReason, m.CandidatesProblem = reason, problem })
	}
	return []testCase{
		metricCase("the rule is rejected", requests, state("Rejected", `metricsQuery "sum(rate(" does not parse; close the parentheses.`),
			v1alpha1.AutoscalerRuleRejected, LinkRule),
		metricCase("the rule serves in its last good form", requests, state("LastGood", `metricsQuery "sum(rate(" does not parse.`),
			v1alpha1.AutoscalerRuleLastGood, LinkRule),
		metricCase("the rule cannot work", requests, state("Warned", "metricsQuery aggregates the label pod away"),
			v1alpha1.AutoscalerRuleWarned, LinkRule),
		metricCase("a rule for Services", requests, func(m *Metric) {
			m.Rules[0].Problem = "it makes the metric of services"
		}, v1alpha1.AutoscalerRuleOfOthers, LinkRule),
		metricCase("two rules of one name", requests, func(m *Metric) {
			m.Rules = append(m.Rules, Rule{ID: "requests-of-pods", Origin: "Spec", State: "InUse"})
			m.Series.InNamespace, m.Series.ForPods, m.Series.Samples = 0, 0, 0
		}, v1alpha1.AutoscalerRuleCollision, LinkRule),
		metricCase("derived rules are disabled", requests, withoutRule(func(m *Metric) { m.DeriveDisabled = true }),
			v1alpha1.AutoscalerDeriveDisabled, LinkRule),
		metricCase("a rule is being derived", requests, withoutRule(func(m *Metric) {
			m.Candidates = []Candidate{{Series: "http_requests_total", How: "the rate of http_requests_total", Samples: 2}}
		}), v1alpha1.AutoscalerRuleDeriving, LinkRule),
		metricCase("several series to derive from", requests, withoutRule(func(m *Metric) {
			m.Candidates = []Candidate{
				{Series: "http_requests_total", How: "its rate", Samples: 2}, {Series: "http_total", How: "its rate", Samples: 0},
				{Series: "http_requests_per_second_total", How: "its rate", Samples: 2},
			}
		}), v1alpha1.AutoscalerDeriveAmbiguous, LinkRule),
		metricCase("a counter by its raw name", podsMetric("http_requests_total"), refused(v1alpha1.AutoscalerDeriveCounter, ""),
			v1alpha1.AutoscalerDeriveCounter, LinkRule),
		metricCase("the scrape job as a Job", objectMetric("Job", "import", "rows_total"), refused(v1alpha1.AutoscalerDeriveJob, ""),
			v1alpha1.AutoscalerDeriveJob, LinkRule),
		metricCase("a quantile", podsMetric("http_request_duration_p99"), refused(v1alpha1.AutoscalerDeriveQuantile, ""),
			v1alpha1.AutoscalerDeriveQuantile, LinkRule),
		metricCase("a ratio", podsMetric("http_error_ratio"), refused(v1alpha1.AutoscalerDeriveRatio, ""),
			v1alpha1.AutoscalerDeriveRatio, LinkRule),
		metricCase("as many derived rules as there may be", requests,
			refused(v1alpha1.AutoscalerDeriveLimit, "20 rules are derived for the HorizontalPodAutoscalers of namespace shop, and there are no more; state a rule in "+
				"spec.customMetrics.rules."),
			v1alpha1.AutoscalerDeriveLimit, LinkRule),
		metricCase("not derived for another reason", requests, refused("Odd", "The name has a character that PromQL has not"),
			v1alpha1.AutoscalerDeriveRefused, LinkRule),
		metricCase("the app exposes no such metric", requests, withoutRule(func(*Metric) {}), v1alpha1.AutoscalerRuleMissing, LinkRule),
		metricCase("the app exposes none of what a rule could be derived from", requests, refused(v1alpha1.AutoscalerRuleMissing,
			"Prometheus has no samples for the pods of Deployment web that the metric http_requests_per_second could be derived from: "+
				"neither http_requests_per_second nor a counter http_requests_total."), v1alpha1.AutoscalerRuleMissing, LinkRule),
		metricCase("no such external metric", queue, withoutRule(func(*Metric) {}), v1alpha1.AutoscalerRuleMissing, LinkRule),
		metricCase("no rule, and the app is not annotated", requests, withoutRule(func(m *Metric) { m.Scrape = Scrape{Known: true} }),
			v1alpha1.AutoscalerAppNotAnnotated, LinkApp),
		metricCase("no rule, and Prometheus is unreachable", requests, withoutRule(func(m *Metric) {
			m.Series.Unreachable = "Get \"http://prometheus.monitoring.svc:9090/\": connection refused"
		}), v1alpha1.AutoscalerPrometheusUnreachable, LinkSeries),
	}
}

func seriesCases() []testCase {
	series := func(change func(*Series)) func(*Metric) {
		return func(m *Metric) {
			m.Series = Series{Total: 8, NamespaceLabel: "namespace", ObjectLabel: "pod", Queries: m.Series.Queries}
			change(&m.Series)
		}
	}
	return []testCase{
		metricCase("Prometheus is unreachable", requests, series(func(s *Series) {
			s.Unreachable = "Get \"http://prometheus.monitoring.svc:9090/\": connection refused"
		}), v1alpha1.AutoscalerPrometheusUnreachable, LinkSeries),
		metricCase("exported_namespace", requests, series(func(s *Series) { s.OtherLabel = "exported_namespace" }),
			v1alpha1.AutoscalerSeriesNamespaceLabel, LinkSeries),
		metricCase("series without a pod", requests, series(func(s *Series) { s.InNamespace = 2 }),
			v1alpha1.AutoscalerSeriesWithoutObject, LinkSeries),
		metricCase("exported_pod", requests, series(func(s *Series) { s.InNamespace, s.OtherObjectLabel = 2, "exported_pod" }),
			v1alpha1.AutoscalerSeriesObjectLabel, LinkSeries),
		metricCase("series of other pods", requests, series(func(s *Series) {
			s.InNamespace, s.OtherObjects = 2, []string{"api-1", "api-2"}
		}), v1alpha1.AutoscalerSeriesOfOthers, LinkSeries),
		metricCase("series that have ended", requests, series(func(s *Series) { s.LastSeen = now.Add(-12 * time.Minute) }),
			v1alpha1.AutoscalerSeriesStale, LinkSeries),
		metricCase("no series at all", requests, series(func(s *Series) { s.Total = 0 }), v1alpha1.AutoscalerSeriesMissing, LinkSeries),
		metricCase("no series of a derived rule", requests, func(m *Metric) {
			m.Rules[0].Origin, m.Rules[0].SeriesQuery = "Derived", `{__name__="http_requests_total",namespace="shop"}`
			m.Series = Series{NamespaceLabel: "namespace", ObjectLabel: "pod"}
		}, v1alpha1.AutoscalerSeriesNotInNamespace, LinkSeries),
		metricCase("no series of the namespace", queue, series(func(*Series) {}), v1alpha1.AutoscalerSeriesNotInNamespace, LinkSeries),
		metricCase("no series of an Ingress, whoever scrapes the pods", ingress, func(m *Metric) {
			m.Series = Series{Total: 8, InNamespace: 3, NamespaceLabel: "namespace", ObjectLabel: "ingress", OtherObjects: []string{"api"}}
			m.Scrape = Scrape{Known: true}
		}, v1alpha1.AutoscalerSeriesOfOthers, LinkSeries),
	}
}

func scrapeCases() []testCase {
	// scrape is of pods of which there are no series.
	scrape := func(change func(*Scrape)) func(*Metric) {
		return func(m *Metric) {
			m.Series = Series{Total: 8, NamespaceLabel: "namespace", ObjectLabel: "pod"}
			m.Scrape.Up, m.Scrape.Prefix = 0, "prometheus.io"
			change(&m.Scrape)
		}
	}
	return []testCase{
		metricCase("the targets are down", requests, scrape(func(s *Scrape) {
			s.Down, s.URL, s.Error = 2, "http://10.244.0.9:8080/metrics", "server returned HTTP status 404 Not Found"
		}), v1alpha1.AutoscalerScrapeDown, LinkScrape),
		metricCase("the targets of a monitor of its own are down", requests, scrape(func(s *Scrape) {
			s.Down, s.Error, s.Annotated, s.Monitors = 1, "context deadline exceeded", nil, []string{"PodMonitor web"}
		}), v1alpha1.AutoscalerScrapeDown, LinkScrape),
		metricCase("a target is down, and nobody says why", requests, scrape(func(s *Scrape) { s.Down = 1 }),
			v1alpha1.AutoscalerScrapeDown, LinkScrape),
		metricCase("a limit drops the samples", requests, scrape(func(s *Scrape) {
			s.Down, s.Dropped = 2, "sample limit exceeded: 10000 samples of a target"
		}), v1alpha1.AutoscalerSamplesDropped, LinkScrape),
		metricCase("the monitor names a port that there is not", requests, scrape(func(s *Scrape) {
			s.Annotated, s.Monitors = nil, []string{"ServiceMonitor web"}
		}), v1alpha1.AutoscalerNotScraped, LinkScrape),
		metricCase("the monitor has not the labels", requests, scrape(func(s *Scrape) {
			s.Annotated, s.Monitors, s.Unselected = nil, []string{"ServiceMonitor web"}, []string{"ServiceMonitor web"}
			s.Selector = `serviceMonitorSelector "release=monitoring"`
		}), v1alpha1.AutoscalerMonitorNotSelected, LinkMonitor),
		metricCase("our monitor has not the labels", requests, scrape(func(s *Scrape) {
			s.Unselected, s.Selector = s.Monitors, `serviceMonitorSelector "release=monitoring"`
		}), v1alpha1.AutoscalerMonitorNotSelected, LinkMonitor),
		metricCase("Prometheus does not look into the namespace", requests, scrape(func(s *Scrape) {
			s.Unselected, s.Selector = s.Monitors, `serviceMonitorNamespaceSelector, which is "team=a",`
		}), v1alpha1.AutoscalerMonitorNotSelected, LinkMonitor),
		metricCase("an agent that reads no ServiceMonitors", requests, scrape(func(s *Scrape) {
			s.Unselected, s.Selector = s.Monitors, "its mode DaemonSet reads no ServiceMonitors; change its mode, or set spec.scrape.targets to [Pods]"
		}), v1alpha1.AutoscalerMonitorNotSelected, LinkMonitor),
		metricCase("Prometheus has no selector of monitors", requests, scrape(func(s *Scrape) {
			s.Unselected, s.Selector = s.Monitors, "serviceMonitorSelector, which is not set,"
		}), v1alpha1.AutoscalerMonitorNotSelected, LinkMonitor),
		metricCase("Prometheus may not list the namespace", requests, scrape(func(s *Scrape) {
			s.NamespaceNotScraped = "Prometheus has no target in the namespace: it is not allowed to list its Services"
		}), v1alpha1.AutoscalerNamespaceNotScraped, LinkApp),
		metricCase("the namespace is not scraped", requests, scrape(func(s *Scrape) {
			s.Monitors, s.NamespaceNotScraped = nil, "spec.scrape.namespaceSelector does not select it"
		}), v1alpha1.AutoscalerNamespaceNotScraped, LinkApp),
		metricCase("the annotations are rejected", requests, scrape(func(s *Scrape) {
			s.Rejected = `Service web: annotation prometheus.io/port "metrics" is no port of the Service`
		}), v1alpha1.AutoscalerAppRejected, LinkApp),
		metricCase("the app is not annotated", requests, scrape(func(s *Scrape) { *s = Scrape{Known: true, Prefix: "prometheus.io"} }),
			v1alpha1.AutoscalerAppNotAnnotated, LinkApp),
		metricCase("the app of the Service is not annotated", objectMetric("Service", "web", "http_requests_per_second"),
			scrape(func(s *Scrape) { *s = Scrape{Known: true} }), v1alpha1.AutoscalerAppNotAnnotated, LinkApp),
	}
}

func valueCases() []testCase {
	selecting := podsMetric("http_requests_per_second")
	selecting.Pods.Metric.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"path": "/checkout"}}
	series := func(change func(*Series)) func(*Metric) { return func(m *Metric) { change(&m.Series) } }
	return []testCase{
		metricCase("no usage of the pods", cpu, func(m *Metric) { m.PodsWithMetrics = []string{"api-1"} },
			v1alpha1.AutoscalerUsageMissing, LinkValue),
		metricCase("no usage of the container", containerCPU("app"), func(m *Metric) { m.ContainersWithMetrics = []string{"istio-proxy"} },
			v1alpha1.AutoscalerContainerUsageMissing, LinkValue),
		metricCase("a selector that matches nothing", selecting, series(func(s *Series) { s.Samples, s.ForSelector = 0, 0 }),
			v1alpha1.AutoscalerMetricSelectorMatchesNone, LinkValue),
		metricCase("a query without a value", requests, series(func(s *Series) { s.Samples = 0 }),
			v1alpha1.AutoscalerValueMissing, LinkValue),
		metricCase("a selector that matches, and no value", selecting, series(func(s *Series) { s.Samples, s.ForSelector = 0, 1 }),
			v1alpha1.AutoscalerValueMissing, LinkValue),
		metricCase("a query that Prometheus refuses", requests, series(func(s *Series) {
			s.Samples, s.QueryError = -1, "found duplicate series for the match group on the right hand-side of the operation"
		}), v1alpha1.AutoscalerQueryFailed, LinkValue),
		metricCase("a division by zero", queue, series(func(s *Series) { s.Samples, s.NaN = 1, 1 }), v1alpha1.AutoscalerValueNaN, LinkValue),
		metricCase("one number for all pods", requests, series(func(s *Series) { s.Samples, s.Pods = 1, nil }),
			v1alpha1.AutoscalerValueNotPerPod, LinkValue),
	}
}
