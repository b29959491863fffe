// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

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
		metricCase("no rule, and an ingress controller counts", ingress, withoutRule(func(m *Metric) {
			m.Presets, m.FromController = []string{"ingress-nginx"}, true
			m.Scrape = Scrape{Known: true} // Whether the app is scraped does not matter.
		}), v1alpha1.AutoscalerRuleMissing, LinkRule),
		metricCase("no rule, and two controllers have the metric's name", objectMetric("Service", "web", "haproxy_backend_http_requests_per_second"),
			withoutRule(func(m *Metric) {
				m.Presets, m.FromController, m.Scrape = []string{"haproxy", "haproxy-ingress"}, true, Scrape{Known: true}
			}), v1alpha1.AutoscalerRuleMissing, LinkRule),
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
		{"no series of the queue that is to wake the target", queue, func(e *Evidence) {
			atZero(e)
			e.Metrics[0].Series = Series{NamespaceLabel: "namespace"}
		}, v1alpha1.AutoscalerSeriesMissing, LinkSeries},
		{"series of the pods themselves, which are to wake the target", objectMetric("Service", "web", "http_requests_per_second"),
			func(e *Evidence) {
				atZero(e)
				e.Metrics[0].Series = Series{Total: 4, NamespaceLabel: "namespace", ObjectLabel: "service", LastSeen: now.Add(-12 * time.Minute)}
				e.Metrics[0].Scrape = Scrape{Known: true}
			}, v1alpha1.AutoscalerSeriesStale, LinkSeries},
		{"another Service, which is to wake the target, is not annotated", objectMetric("Service", "queue", "http_requests_per_second"),
			func(e *Evidence) {
				atZero(e)
				e.Metrics[0].Series = Series{NamespaceLabel: "namespace", ObjectLabel: "service"}
				e.Metrics[0].Scrape = Scrape{Of: "Service queue", Known: true}
			}, v1alpha1.AutoscalerAppNotAnnotated, LinkApp},
		metricCase("series of other Services than the one that is described", objectMetric("Service", "queue", "http_requests_per_second"),
			func(m *Metric) {
				m.Series = Series{Total: 8, InNamespace: 2, NamespaceLabel: "namespace", ObjectLabel: "service", OtherObjects: []string{"web"}}
				m.Scrape = Scrape{Of: "Service queue", Known: true, Up: 1, Annotated: []string{"Service queue"}}
			}, v1alpha1.AutoscalerSeriesOfOthers, LinkSeries),
		metricCase("an ingress controller that is not scraped", objectMetric("Service", "web", "requests_per_second"), func(m *Metric) {
			m.FromController, m.Series, m.Scrape = true, Series{ByQuery: true, ForPods: -1, ForSelector: -1}, Scrape{Known: true}
		}, v1alpha1.AutoscalerSeriesMissing, LinkSeries),
		metricCase("an Ingress without a request", ingress, func(m *Metric) {
			m.FromController = true
			m.Series = Series{Total: 8, NamespaceLabel: "exported_namespace", ObjectLabel: "ingress", ForSelector: -1}
		}, v1alpha1.AutoscalerSeriesNotInNamespace, LinkSeries),
		metricCase("no series of an Ingress, whoever scrapes the pods", ingress, func(m *Metric) {
			m.Series = Series{Total: 8, InNamespace: 3, NamespaceLabel: "namespace", ObjectLabel: "ingress", OtherObjects: []string{"api"}}
			m.Scrape = Scrape{Known: true}
		}, v1alpha1.AutoscalerSeriesOfOthers, LinkSeries),
	}
}

func scrapeCases() []testCase {
	knative := objectMetric("Service", "web", "http_requests_per_second")
	knative.Object.DescribedObject.APIVersion = "serving.knative.dev/v1"
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
		metricCase("the app of another Service is not annotated", objectMetric("Service", "queue", "http_requests_per_second"),
			scrape(func(s *Scrape) { *s = Scrape{Of: "Service queue", Known: true} }), v1alpha1.AutoscalerAppNotAnnotated, LinkApp),
		metricCase("a Service of another API, whoever scrapes the pods", knative, scrape(func(s *Scrape) { *s = Scrape{Known: true} }),
			v1alpha1.AutoscalerSeriesNotInNamespace, LinkSeries),
		metricCase("another Service selects no pod", objectMetric("Service", "queue", "http_requests_per_second"),
			scrape(func(s *Scrape) { *s = Scrape{Of: "Service queue", Known: true, NoPods: "app=queue"} }),
			v1alpha1.AutoscalerNotScraped, LinkScrape),
		{"another Service, which is to wake the target, selects no pod", objectMetric("Service", "queue", "http_requests_per_second"),
			func(e *Evidence) {
				atZero(e)
				e.Metrics[0].Series = Series{NamespaceLabel: "namespace", ObjectLabel: "service"}
				e.Metrics[0].Scrape = Scrape{Of: "Service queue", Known: true, NoPods: "app=queue"}
			}, v1alpha1.AutoscalerNotScraped, LinkScrape},
		metricCase("the pods of another Service are down", objectMetric("Service", "queue", "http_requests_per_second"),
			scrape(func(s *Scrape) {
				*s = Scrape{Of: "Service queue", Known: true, Down: 1, Annotated: []string{"Service queue"}}
			}),
			v1alpha1.AutoscalerScrapeDown, LinkScrape),
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
		metricCase("a Service without a request", objectMetric("Service", "web", "requests_per_second"), func(m *Metric) {
			m.FromController, m.Scrape = true, Scrape{Known: true}
			m.Series = Series{ByQuery: true, Total: 8, InNamespace: 8, ForPods: -1, ForSelector: -1}
		}, v1alpha1.AutoscalerValueMissing, LinkValue),
		metricCase("an object that no query of a rule finds", ingress, func(m *Metric) {
			m.Series = Series{ByQuery: true, Total: 8, InNamespace: 8, ForPods: -1, ForSelector: -1}
		}, v1alpha1.AutoscalerValueMissing, LinkValue),
		metricCase("a division by zero", queue, series(func(s *Series) { s.Samples, s.NaN = 1, 1 }), v1alpha1.AutoscalerValueNaN, LinkValue),
		metricCase("one number for all pods", requests, series(func(s *Series) { s.Samples, s.Pods = 1, nil }),
			v1alpha1.AutoscalerValueNotPerPod, LinkValue),
	}
}

// atZero is an HPA that has scaled its target to 0 itself.
func atZero(e *Evidence) {
	e.Target.Replicas, e.PodsTotal, e.PodsReady, e.Pods = 0, 0, 0, nil
	e.HPA.Spec.MinReplicas, e.HPA.Status.CurrentReplicas = ptr.To(int32(0)), 0
	condition(e, autoscalingv2.ScaledToZero, corev1.ConditionTrue, "ScaledToZero", "the HPA controller scaled the workload to zero")
}
