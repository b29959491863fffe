// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"strconv"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/kinds"
)

func crds() []client.Object {
	var all []client.Object
	for _, name := range []string{kinds.ServiceMonitorCRD, kinds.PodMonitorCRD, kinds.PrometheusCRD, kinds.PrometheusAgentCRD} {
		all = append(all, crd(name, "keepequal", "bodySizeLimit", "targetLimit", "keepDroppedTargets"))
	}
	return all
}

// crd is a CRD of monitors with a relabeling action and limits.
func crd(name, action string, limits ...string) *apiextv1.CustomResourceDefinition {
	object := func(properties map[string]apiextv1.JSONSchemaProps) apiextv1.JSONSchemaProps {
		return apiextv1.JSONSchemaProps{Type: "object", Properties: properties}
	}
	list := func(of apiextv1.JSONSchemaProps) apiextv1.JSONSchemaProps {
		return apiextv1.JSONSchemaProps{Type: "array", Items: &apiextv1.JSONSchemaPropsOrArray{Schema: &of}}
	}
	endpoints := list(object(map[string]apiextv1.JSONSchemaProps{"relabelings": list(object(map[string]apiextv1.JSONSchemaProps{
		"action": {Type: "string", Enum: []apiextv1.JSON{{Raw: []byte(`"replace"`)}, {Raw: []byte(strconv.Quote(action))}}}}))}))
	spec := map[string]apiextv1.JSONSchemaProps{"endpoints": endpoints, "podMetricsEndpoints": endpoints}
	for _, limit := range limits {
		spec[limit] = apiextv1.JSONSchemaProps{Type: "string"}
	}
	schema := object(map[string]apiextv1.JSONSchemaProps{"spec": object(spec)})
	return &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: apiextv1.CustomResourceDefinitionSpec{
		Versions: []apiextv1.CustomResourceDefinitionVersion{{Name: "v1", Schema: &apiextv1.CustomResourceValidation{OpenAPIV3Schema: &schema}}}}}
}

// everything is a Prometheus that selects all monitors in all namespaces.
func everything(changes ...func(*monitoringv1.PrometheusSpec)) *monitoringv1.Prometheus {
	p := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
	for _, selector := range []**metav1.LabelSelector{&p.Spec.ServiceMonitorSelector, &p.Spec.ServiceMonitorNamespaceSelector,
		&p.Spec.PodMonitorSelector, &p.Spec.PodMonitorNamespaceSelector} {
		*selector = &metav1.LabelSelector{}
	}
	for _, change := range changes {
		change(&p.Spec)
	}
	return p
}

// agent is a PrometheusAgent that selects all monitors in all namespaces.
func agent(changes ...func(*monitoringv1alpha1.PrometheusAgentSpec)) *monitoringv1alpha1.PrometheusAgent {
	a := &monitoringv1alpha1.PrometheusAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "agent"}}
	a.Spec.CommonPrometheusFields = everything().Spec.CommonPrometheusFields
	for _, change := range changes {
		change(&a.Spec)
	}
	return a
}
