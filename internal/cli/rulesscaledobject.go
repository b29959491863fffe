// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// What KEDA reads: the API keda.sh/v1alpha1, as of KEDA 2.21. Its Go module brings the SDK of every cloud.
const (
	kedaAPI          = "keda.sh/v1alpha1"
	scaledObjectKind = "ScaledObject"
	// transferAnnotation has KEDA take over an HPA that is there, if the ScaledObject names it; else its webhook refuses the ScaledObject.
	transferAnnotation = "scaledobject.keda.sh/transfer-hpa-ownership"
	// longestScaledName bounds the names of a ScaledObject and its HPA: they are values of labels.
	longestScaledName = 63
)

type (
	scaledObject struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        scaledMetadata   `json:"metadata"`
		Spec            scaledObjectSpec `json:"spec"`
	}
	scaledMetadata struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Annotations map[string]string `json:"annotations"`
	}
	scaledObjectSpec struct {
		ScaleTargetRef autoscalingv2.CrossVersionObjectReference `json:"scaleTargetRef"`
		// MinReplicaCount is always written: KEDA's default is 0.
		MinReplicaCount int32          `json:"minReplicaCount"`
		MaxReplicaCount int32          `json:"maxReplicaCount"`
		Advanced        scaledAdvanced `json:"advanced"`
		Triggers        []trigger      `json:"triggers"`
	}
	scaledAdvanced struct {
		Config scaledConfig `json:"horizontalPodAutoscalerConfig"`
	}
	scaledConfig struct {
		Name     string                                         `json:"name"`
		Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
	}
	trigger struct {
		Type       string                         `json:"type"`
		MetricType autoscalingv2.MetricTargetType `json:"metricType"`
		Metadata   map[string]string              `json:"metadata"`
	}
)

// scaledFrom is what a ScaledObject is made with beside its HPA.
type scaledFrom struct {
	// server is the address of Prometheus, insecure that its certificate is not verified.
	server   string
	insecure bool
	// query is what is sent for an external metric; the error says why nothing is.
	query func(*autoscalingv2.ExternalMetricSource) (string, error)
}

// scaled returns the ScaledObject that does what an HPA does. The error names what KEDA does not do, or does otherwise.
func scaled(hpa *autoscalingv2.HorizontalPodAutoscaler, from scaledFrom) (scaledObject, error) {
	if len(hpa.Name) > longestScaledName {
		return scaledObject{}, fmt.Errorf("its name has %d characters, and KEDA takes %d: give it a shorter one", len(hpa.Name),
			longestScaledName)
	}
	object := scaledObject{
		TypeMeta: metav1.TypeMeta{APIVersion: kedaAPI, Kind: scaledObjectKind},
		Metadata: scaledMetadata{Name: hpa.Name, Namespace: hpa.Namespace, Annotations: map[string]string{transferAnnotation: "true"}},
		Spec: scaledObjectSpec{
			ScaleTargetRef:  hpa.Spec.ScaleTargetRef,
			MinReplicaCount: ptr.Deref(hpa.Spec.MinReplicas, 1),
			MaxReplicaCount: hpa.Spec.MaxReplicas,
			Advanced:        scaledAdvanced{scaledConfig{Name: hpa.Name, Behavior: hpa.Spec.Behavior}},
		},
	}
	for i, metric := range hpa.Spec.Metrics {
		made, err := triggerOf(metric, from)
		if err != nil {
			return scaledObject{}, fmt.Errorf("spec.metrics[%d]: %w", i, err)
		}
		object.Spec.Triggers = append(object.Spec.Triggers, made)
	}
	return object, nil
}

// triggerOf returns the trigger for one metric of an HPA.
func triggerOf(metric autoscalingv2.MetricSpec, from scaledFrom) (trigger, error) {
	switch {
	case metric.External != nil:
		query, err := from.query(metric.External)
		if err != nil {
			return trigger{}, fmt.Errorf("the external metric %s: %w", metric.External.Metric.Name, err)
		}
		target := metric.External.Target
		made := trigger{Type: "prometheus", MetricType: target.Type, Metadata: map[string]string{
			"serverAddress": from.server,
			"query":         query,
			"threshold":     threshold(target),
			// Without it KEDA takes an empty answer for 0 and scales in, where an HPA without a value stays as it is.
			"ignoreNullValues": "false",
		}}
		if from.insecure {
			made.Metadata["unsafeSsl"] = "true"
		}
		return made, nil
	case metric.Resource != nil:
		return resourceTrigger(metric.Resource.Name, "", metric.Resource.Target)
	case metric.ContainerResource != nil:
		return resourceTrigger(metric.ContainerResource.Name, metric.ContainerResource.Container, metric.ContainerResource.Target)
	default:
		return trigger{}, fmt.Errorf("a metric of type %s has no counterpart in KEDA: keep this HorizontalPodAutoscaler, and make its "+
			"external metrics custom ones", metric.Type)
	}
}

// resourceTrigger is KEDA's for the usage of cpu and memory.
func resourceTrigger(name corev1.ResourceName, container string, target autoscalingv2.MetricTarget) (trigger, error) {
	if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
		return trigger{}, fmt.Errorf("KEDA has triggers for cpu and memory, and none for the resource %s: keep this "+
			"HorizontalPodAutoscaler, and make its external metrics custom ones", name)
	}
	made := trigger{Type: string(name), MetricType: target.Type, Metadata: map[string]string{}}
	if target.AverageUtilization != nil {
		made.Metadata["value"] = strconv.Itoa(int(*target.AverageUtilization))
	} else if target.AverageValue != nil {
		made.Metadata["value"] = target.AverageValue.String()
	}
	if container != "" {
		made.Metadata["containerName"] = container
	}
	return made, nil
}

// threshold is the target of an external metric as KEDA reads it: a number without a unit.
func threshold(target autoscalingv2.MetricTarget) string {
	value := resource.Quantity{}
	if target.AverageValue != nil {
		value = *target.AverageValue
	} else if target.Value != nil {
		value = *target.Value
	}
	return strconv.FormatFloat(value.AsApproximateFloat64(), 'f', -1, 64)
}

// inOne is a query with one series at most: KEDA refuses several, of which an HPA adds the values up.
func inOne(query string) string {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	for err == nil {
		inner, wrapped := parsed.(*parser.ParenExpr)
		if !wrapped {
			break
		}
		parsed = inner.Expr
	}
	// What is no PromQL may be of another dialect.
	if aggregate, is := parsed.(*parser.AggregateExpr); err == nil && is && !aggregate.Without && len(aggregate.Grouping) == 0 &&
		!slices.Contains([]parser.ItemType{parser.TOPK, parser.BOTTOMK, parser.COUNT_VALUES}, aggregate.Op) {
		return query
	}
	return "sum(" + query + ")"
}

// credentialFields are the fields of the spec that a trigger does not have: KEDA takes them from a TriggerAuthentication.
func credentialFields(spec v1alpha1.PrometheusSpec) []string {
	// What the operator runs is verified by an authority of its own, and its Deployment asks for a password.
	set := map[string]bool{"spec.prometheus.auth": spec.Auth != nil, "spec.prometheus.managed": spec.Managed != nil}
	if tls := spec.TLS; tls != nil {
		set["spec.prometheus.tls.ca"] = tls.CA != nil
		set["spec.prometheus.tls.clientCert"] = tls.ClientCert != nil
		set["spec.prometheus.tls.serverName"] = tls.ServerName != ""
	}
	maps.DeleteFunc(set, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(set))
}

// madeByScaledObject is true for an HPA that a ScaledObject makes.
func madeByScaledObject(hpa *autoscalingv2.HorizontalPodAutoscaler) bool {
	return slices.ContainsFunc(hpa.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return owner.Kind == scaledObjectKind && strings.HasPrefix(owner.APIVersion, "keda.sh/")
	})
}
