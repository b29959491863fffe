// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import (
	"fmt"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// young is how long pods may have no metrics: who measures them, and Prometheus, have to see them twice. The HPA controller itself does not
// count the cpu of a pod before it has been measured for a whole window since it turned Ready, whatever metrics.k8s.io has of it: settling.
const (
	young    = 45 * time.Second
	settling = 2 * time.Minute
)

// view is the evidence as one metric of the HPA sees it.
type view struct {
	*Evidence
	// at is the metric's place in spec.metrics, and spec what stands there.
	at   int
	spec autoscalingv2.MetricSpec
	// metric is its evidence; empty where there is none.
	metric Metric
	// failing is true where the HPA fails by this metric, or by what all of its metrics need.
	failing bool
}

func viewOf(evidence *Evidence, at int, failing bool) view {
	v := view{Evidence: evidence, at: at, failing: failing}
	if at < len(evidence.HPA.Spec.Metrics) {
		v.spec = evidence.HPA.Spec.Metrics[at]
	}
	if at < len(evidence.Metrics) {
		v.metric = evidence.Metrics[at]
	}
	return v
}

// condition of the HPA; an empty one where it has none of the type.
func (v view) condition(name autoscalingv2.HorizontalPodAutoscalerConditionType) autoscalingv2.HorizontalPodAutoscalerCondition {
	for _, condition := range v.HPA.Status.Conditions {
		if condition.Type == name {
			return condition
		}
	}
	return autoscalingv2.HorizontalPodAutoscalerCondition{}
}

// is true where a condition has a status and a reason.
func (v view) is(name autoscalingv2.HorizontalPodAutoscalerConditionType, status corev1.ConditionStatus, reason string) bool {
	condition := v.condition(name)
	return condition.Status == status && condition.Reason == reason
}

func (v view) hpa() string { return "HPA " + name(v.HPA.Name) }

func (v view) target() string {
	return name(v.HPA.Spec.ScaleTargetRef.Kind) + " " + name(v.HPA.Spec.ScaleTargetRef.Name)
}

// podsOf names the pods of the target.
func (v view) podsOf() string { return count(v.PodsTotal, "pod") + " of " + v.target() }

// measured is the metric in words, as a sentence has it.
func (v view) measured() string {
	switch {
	case v.spec.Resource != nil:
		return "resource " + name(string(v.spec.Resource.Name))
	case v.spec.ContainerResource != nil:
		return "resource " + name(string(v.spec.ContainerResource.Name)) + " of container " + name(v.spec.ContainerResource.Container)
	default:
		return "metric " + quoted(v.metricName())
	}
}

// metricName is the name of a custom or an external metric.
func (v view) metricName() string { return v.identifier().Name }

// identifier is that of a custom or an external metric; empty for a resource.
func (v view) identifier() autoscalingv2.MetricIdentifier {
	switch {
	case v.spec.Pods != nil:
		return v.spec.Pods.Metric
	case v.spec.Object != nil:
		return v.spec.Object.Metric
	case v.spec.External != nil:
		return v.spec.External.Metric
	default:
		return autoscalingv2.MetricIdentifier{}
	}
}

// subject is whose series the metric is made of.
func (v view) subject() string {
	if v.spec.Object != nil {
		object := v.spec.Object.DescribedObject
		return name(object.Kind) + " " + name(object.Name)
	}
	return "the pods of " + v.target()
}

// CoreKind is the kind of an object of the core API; empty for one of another group, such as a Service of serving.knative.dev.
func CoreKind(object autoscalingv2.CrossVersionObjectReference) string {
	if version, err := schema.ParseGroupVersion(object.APIVersion); err != nil || version.Group != "" {
		return ""
	}
	return object.Kind
}

// measure is what the HPA measures of a resource.
type measure struct {
	resource  corev1.ResourceName
	container string
	target    autoscalingv2.MetricTarget
}

// utilization is true where the HPA compares the usage to the requests.
func (m measure) utilization() bool {
	return m.target.AverageUtilization != nil && m.target.AverageValue == nil
}

// resource returns what is measured of a resource; false for another metric.
func (v view) resource() (measure, bool) {
	switch {
	case v.spec.Resource != nil:
		return measure{v.spec.Resource.Name, "", v.spec.Resource.Target}, true
	case v.spec.ContainerResource != nil:
		return measure{v.spec.ContainerResource.Name, v.spec.ContainerResource.Container, v.spec.ContainerResource.Target}, true
	default:
		return measure{}, false
	}
}

// fromSeries is true for a metric that a rule makes of series.
func (v view) fromSeries() bool {
	return v.spec.Pods != nil || v.spec.Object != nil || v.spec.External != nil
}

// ofPods is true for a metric of the pods themselves: nothing has a value of it while there are none.
func (v view) ofPods() bool { return v.spec.External == nil && v.spec.Object == nil }

// perTarget is true for a metric of the target as a whole, for which the HPA controller counts the pods that are Ready.
func (v view) perTarget() bool {
	return v.spec.Object != nil && v.spec.Object.Target.Value != nil || v.spec.External != nil && v.spec.External.Target.Value != nil
}

// fromKEDA is true for a metric that KEDA gives, for a ScaledObject: no rule makes it.
func (v view) fromKEDA() bool {
	return v.spec.External != nil && v.ScaledObject != nil && (!v.metric.API.Ours || !v.served())
}

// scaledToZero is true while the HPA itself keeps its target at 0 replicas.
func (v view) scaledToZero() bool { return autoscaler.AtZero(v.HPA) }

// group is the metrics API that the metric is read from.
func (v view) group() string {
	switch {
	case v.spec.External != nil:
		return metricsapi.External.Group
	case v.spec.Pods != nil || v.spec.Object != nil:
		return metricsapi.CustomV1Beta1.Group
	default:
		return metricsapi.Resource.Group
	}
}

// hasValue is true where the HPA has a current value of the metric.
func (v view) hasValue() bool {
	current := v.HPA.Status.CurrentMetrics
	return v.at < len(current) && current[v.at].Type != "" && current[v.at].Type == v.spec.Type
}

// field is the section of the pipeline's spec that is about that API.
func (v view) field() string { return metricsapi.Field(v.group()) }

// alive are the pods that are not being deleted and have not ended.
func (v view) alive() []Pod {
	return slices.DeleteFunc(slices.Clone(v.Pods), func(pod Pod) bool {
		return pod.Deleted || pod.Phase == corev1.PodFailed || pod.Phase == corev1.PodSucceeded
	})
}

// starting is true while no pod is older than that, and none waits for something that time does not bring.
func (v view) starting(age time.Duration) bool {
	alive := v.alive()
	return len(alive) > 0 && !slices.ContainsFunc(alive, func(pod Pod) bool {
		return pod.Waiting != "" || v.Now.Sub(pod.Created) >= age
	})
}

// saidByController is what the HPA controller says of why it does not scale; empty for nothing.
func (v view) saidByController() string {
	for _, kind := range []autoscalingv2.HorizontalPodAutoscalerConditionType{autoscalingv2.AbleToScale, autoscalingv2.ScalingActive} {
		if condition := v.condition(kind); condition.Status != "" && condition.Status != corev1.ConditionTrue && condition.Message != "" {
			return fmt.Sprintf("%s is %s, %s: %s", kind, condition.Status, condition.Reason, condition.Message)
		}
	}
	return ""
}
