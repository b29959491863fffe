// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package derive

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/internal/autoscaler"
)

// Ask is a metric that one HPA asks for. All of it is tenant input.
type Ask struct {
	autoscaler.Metric
	// HPA is its name, and Target its scaleTargetRef, to which the pods of a metric of type Pods belong.
	HPA    string
	Target autoscalingv2.CrossVersionObjectReference
	// Object is the name of the object that a metric of type Object describes.
	Object string
}

// Asks returns what each HPA asks for.
func Asks(all []autoscaler.Asked) []Ask {
	var asks []Ask
	for _, asked := range all {
		for _, by := range asked.HPAs {
			asks = append(asks, Ask{Metric: asked.Metric, HPA: by.Name, Target: by.Target, Object: by.Object})
		}
	}
	return asks
}

// AskOf returns what an HPA asks for by one metric of its spec; false for one that no rule makes, such as cpu.
func AskOf(hpa *autoscalingv2.HorizontalPodAutoscaler, spec autoscalingv2.MetricSpec) (Ask, bool) {
	ask := Ask{Metric: autoscaler.Metric{Namespace: hpa.Namespace, Type: spec.Type}, HPA: hpa.Name, Target: hpa.Spec.ScaleTargetRef}
	var of autoscalingv2.MetricIdentifier
	switch {
	case spec.Pods != nil:
		of = spec.Pods.Metric
	case spec.Object != nil:
		of = spec.Object.Metric
		ask.APIVersion, ask.Kind, ask.Object = spec.Object.DescribedObject.APIVersion, spec.Object.DescribedObject.Kind,
			spec.Object.DescribedObject.Name
	case spec.External != nil:
		of = spec.External.Metric
	default:
		return Ask{}, false
	}
	ask.Name = of.Name
	if of.Selector != nil {
		selector, err := metav1.LabelSelectorAsSelector(of.Selector)
		if ask.Selector = invalidSelector; err == nil {
			ask.Selector = selector.String()
		}
	}
	return ask, true
}

// invalidSelector stands for one that cannot be read. It is none that can.
const invalidSelector = "="

func (a Ask) external() bool { return a.Type == autoscalingv2.ExternalMetricSourceType }
