// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// moment is a time that nothing in a status may change by itself.
var moment = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// working is what is observed of a pipeline in which everything works.
func working() observation {
	o := observation{
		generation: 3, version: "v1.2.3",
		planned: true, requestHeaderCA: true, certificates: certificatesObservation{looked: true},
		expiries: map[string]time.Time{component.MetricsServer: moment, component.PrometheusAdapter: moment},
		rules:    rulesObservation{stated: 2},
		prometheus: prometheusObservation{
			required: true,
			target: prometheus.Target{
				URL: "http://prometheus-operated.monitoring.svc:9090", Origin: "Prometheus monitoring/k8s", ScrapeInterval: 30 * time.Second},
			answer: probe.Answer{Known: true},
		},
		scrape:  scraping.State{Met: true, Reason: v1alpha1.ReasonSelected, Message: "Prometheus monitoring/k8s selects every monitor."},
		scraped: v1alpha1.ScrapeStatus{Services: 3, Pods: 1, Monitors: 2},
		components: []componentObservation{
			{name: component.MetricsServer, deployment: deployment(component.MetricsServer)},
			{name: component.PrometheusAdapter, deployment: deployment(component.PrometheusAdapter)},
		},
	}
	for _, api := range component.APIs() {
		backend := component.PrometheusAdapter
		if api == component.ResourceMetrics {
			backend = component.MetricsServer
		}
		o.apis = append(o.apis, apiObservation{api: api, backend: backend,
			apiService: registered(api, backend, apiregv1.ConditionTrue, "Passed")})
	}
	return o
}

// deployment returns a Deployment whose two pods run as specified.
func deployment(name string) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "metrics", Generation: 1},
		Spec:       appsv1.DeploymentSpec{Replicas: ptr.To[int32](2)},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
			},
		},
	}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: name, Image: "registry.k8s.io/" + name + ":v7"}}
	return d
}

// starting is a Deployment of which one pod is missing.
func starting(name string) *appsv1.Deployment {
	d := deployment(name)
	d.Status.ReadyReplicas, d.Status.AvailableReplicas = 1, 1
	return d
}

// failed is a Deployment that Kubernetes gave up on.
func failed(name string) *appsv1.Deployment {
	d := starting(name)
	d.Status.Conditions[1] = appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}
	return d
}

// registered returns an APIService of ours, as kube-aggregator sees it.
func registered(api component.API, backend string, available apiregv1.ConditionStatus, reason string) *apiregv1.APIService {
	return &apiregv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: api.Name(), Labels: map[string]string{
			v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: backend}},
		Spec: apiregv1.APIServiceSpec{Group: api.Group, Version: api.Version},
		Status: apiregv1.APIServiceStatus{Conditions: []apiregv1.APIServiceCondition{{
			Type: apiregv1.Available, Status: available, Reason: reason, Message: "said kube-aggregator",
			LastTransitionTime: metav1.NewTime(moment)}}},
	}
}

// foreign returns somebody else's APIService.
func foreign(api component.API, available apiregv1.ConditionStatus, reason string) *apiregv1.APIService {
	apiService := registered(api, "", available, reason)
	apiService.Labels = nil
	apiService.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "helm", Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: "apiregistration.k8s.io/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:service":{}}}`)}}
	apiService.Spec.Service = &apiregv1.ServiceReference{Namespace: "keda", Name: "keda-operator-metrics-apiserver"}
	return apiService
}

// unregister takes an API away and says why there is none.
func unregister(o *observation, api component.API, omission *component.Omission) {
	for i := range o.apis {
		if o.apis[i].api == api {
			o.apis[i].apiService, o.apis[i].omission = nil, omission
		}
	}
}

// replace puts another APIService in the place of ours.
func replace(o *observation, apiService *apiregv1.APIService) {
	for i := range o.apis {
		if o.apis[i].api.Name() == apiService.Name {
			o.apis[i].apiService = apiService
			o.apis[i].backend = apiService.Labels[v1alpha1.ComponentLabel]
		}
	}
}

// wantConditions holds that conditions of a status have a status and a reason, written with a space between.
func wantConditions(t *testing.T, in v1alpha1.MetricsPipelineStatus, wanted map[string]string) {
	t.Helper()
	for condition, want := range wanted {
		found := meta.FindStatusCondition(in.Conditions, condition)
		if got := string(found.Status) + " " + found.Reason; got != want {
			t.Errorf("%s: %s, want %s", condition, got, want)
		}
	}
}
