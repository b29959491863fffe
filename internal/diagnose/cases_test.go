// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
		{"a trigger fails", queue, func(e *Evidence) {
			ofKEDA(ScaledObject{Name: "web", ReadyFalse: true, Observed: true, Ready: "Triggers defined in ScaledObject are not working correctly"})(e)
			condition(e, autoscalingv2.ScalingActive, corev1.ConditionFalse, "FailedGetExternalMetric",
				"unable to get external metric shop/s0-prometheus: rpc error: code = Unknown desc = error when getting metric: no such host")
		}, v1alpha1.AutoscalerScaledObjectNotReady, LinkAutoscaler},
		{"a resource that nothing measures", averageOf("nvidia.com/gpu", "1"), func(*Evidence) {},
			v1alpha1.AutoscalerResourceNotMeasured, LinkAutoscaler},
		{"type Value beside averageValue", wrongType, func(*Evidence) {}, v1alpha1.AutoscalerTargetTypeMismatch, LinkAutoscaler},
		metricCase("the kind of the object is not served", ingress, func(m *Metric) {
			m.ObjectKindNotServed, m.RuleProblem, m.Rules = true, "no matches for kind", nil
		}, v1alpha1.AutoscalerObjectKindNotServed, LinkAutoscaler),

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
	const external = "external.metrics.k8s.io"
	ofScaledObject := func(api API) func(*Evidence) {
		return func(e *Evidence) {
			e.Metrics[0], e.ScaledObject = Metric{API: api}, &ScaledObject{Name: "web", Observed: true}
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
		{"KEDA's API is not registered", queue, ofScaledObject(API{Group: external, Policy: "Auto"}), v1alpha1.AutoscalerAPINotRegistered, LinkAPI},
		{"KEDA's API belongs to a third", queue,
			ofScaledObject(API{Group: external, Registered: true, Available: true, Owner: "helm (Service datadog/datadog-cluster-agent)"}),
			v1alpha1.AutoscalerAPIForeign, LinkAPI},
		metricCase("the API belongs to another owner", queue, foreign(func(*API) {}), v1alpha1.AutoscalerAPIForeign, LinkAPI),
		{"the API was taken from KEDA", externalMetric("s0-prometheus"), func(e *Evidence) {
			e.ScaledObject, e.Metrics[0].Rules = &ScaledObject{Name: "web"}, nil
		}, v1alpha1.AutoscalerAPITaken, LinkAPI},
	}
}
