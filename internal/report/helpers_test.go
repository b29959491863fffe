// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// The components of the pipelines here. This package knows no operand, so these are none.
const (
	usageServer = "usage-server" // serves metrics.k8s.io
	rulesServer = "rules-server" // serves custom and external metrics, by rules
)

// moment is a time that nothing in a status may change by itself.
var moment = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// working is what is observed of a pipeline in which everything works.
func working() Observation {
	o := Observation{
		Generation: 3, Version: "v1.2.3", Planned: true,
		Facts: cluster.Facts{Namespace: "metrics", RequestHeaderCA: true, Prometheus: cluster.Prometheus{
			Required: true,
			Target: prometheus.Target{URL: "http://prometheus-operated.monitoring.svc:9090", Origin: "Prometheus monitoring/k8s", Object: "Prometheus monitoring/k8s",
				Namespace: "monitoring", ScrapeInterval: 30 * time.Second},
			Answer: probe.Answer{Known: true},
		}},
		Plan: operand.Plan{Omitted: metricsapi.Omissions{}, Rules: []v1alpha1.RuleStatus{
			{ID: "requests", API: metricsapi.CustomV1Beta1.Group, State: v1alpha1.RuleInUse},
			{ID: "queue", API: metricsapi.External.Group, State: v1alpha1.RuleInUse},
		}},
		Workloads: map[string][]cluster.Workload{}, APIServices: map[string]*apiregv1.APIService{},
		Autoscalers: &Autoscalers{Status: &v1alpha1.AutoscalersStatus{}},
		Scrape: &Scrape{Current: true, Met: true, Reason: v1alpha1.ReasonSelected, Message: "Prometheus monitoring/k8s selects every monitor.",
			Status: v1alpha1.ScrapeStatus{Services: 3, Pods: 1, Monitors: 2}},
	}
	runs(&o, usageServer, metricsapi.Resource)
	runs(&o, rulesServer, metricsapi.CustomV1Beta1, metricsapi.CustomV1Beta2, metricsapi.External)
	return o
}

// runs adds a component that runs, with one workload, a certificate, and metrics APIs.
func runs(o *Observation, name string, apis ...metricsapi.API) {
	o.Plan.Components = append(o.Plan.Components, operand.Planned{Component: operand.Component{
		Name: name, Namespace: "metrics", Workloads: []string{name}, Service: name, Serving: name + "-tls", APIs: apis}})
	outcome := Outcome{Component: name, Complete: true, Certificate: Certificate{Known: true, InUse: v1alpha1.CertificateStatus{
		Name: name + "-tls", Provider: v1alpha1.CertificatesBuiltIn, Expires: ptr.To(metav1.NewTime(moment))}}}
	for _, api := range apis {
		outcome.APIs = append(outcome.APIs, Registration{API: api})
		o.APIServices[api.Name()] = registered(api, name, apiregv1.ConditionTrue, "Passed")
	}
	o.Outcomes = append(o.Outcomes, outcome)
	stands(o, name, deployment(name))
}

// stands gives a component one workload; a nil Deployment does not exist.
func stands(o *Observation, name string, d *appsv1.Deployment, pods ...corev1.Pod) {
	o.Workloads[name] = []cluster.Workload{{Name: name, Deployment: d, Pods: pods}}
}

// outcomeOf returns the outcome of a component, to be changed.
func outcomeOf(o *Observation, name string) *Outcome {
	return &o.Outcomes[slices.IndexFunc(o.Outcomes, func(outcome Outcome) bool { return outcome.Component == name })]
}

// planOf returns the plan of a component, to be changed.
func planOf(o *Observation, name string) *operand.Planned {
	return &o.Plan.Components[slices.IndexFunc(o.Plan.Components, func(c operand.Planned) bool { return c.Name == name })]
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

// givenUp is a Deployment that Kubernetes gave up on.
func givenUp(name string) *appsv1.Deployment {
	d := starting(name)
	d.Status.Conditions[1] = appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}
	return d
}

// registered returns an APIService of ours, as kube-aggregator sees it.
func registered(api metricsapi.API, backend string, available apiregv1.ConditionStatus, reason string) *apiregv1.APIService {
	return &apiregv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: api.Name(), Labels: ownership.Labels(backend)},
		Spec:       apiregv1.APIServiceSpec{Group: api.Group, Version: api.Version},
		Status: apiregv1.APIServiceStatus{Conditions: []apiregv1.APIServiceCondition{{
			Type: apiregv1.Available, Status: available, Reason: reason, Message: "said kube-aggregator",
			LastTransitionTime: metav1.NewTime(moment)}}},
	}
}

// foreign returns another owner's APIService.
func foreign(api metricsapi.API, available apiregv1.ConditionStatus, reason string) *apiregv1.APIService {
	apiService := registered(api, "", available, reason)
	apiService.Labels = nil
	apiService.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "helm", Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: "apiregistration.k8s.io/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:service":{}}}`)}}
	apiService.Spec.Service = &apiregv1.ServiceReference{Namespace: "vendor", Name: "metrics-apiserver"}
	return apiService
}

// unregister takes an API away. An omission says why it is not registered by us; nil for one that waits for its backend.
func unregister(o *Observation, api metricsapi.API, omission *metricsapi.Omission) {
	delete(o.APIServices, api.Name())
	notOurs(o, api)
	if omission != nil {
		omit(o, api, *omission)
	}
}

// omit takes an API from the plan.
func omit(o *Observation, api metricsapi.API, omission metricsapi.Omission) {
	o.Plan.Omitted[api.Name()] = omission
	for i := range o.Plan.Components {
		c := &o.Plan.Components[i]
		c.APIs = slices.DeleteFunc(c.APIs, func(a metricsapi.API) bool { return a == api })
	}
}

// notOurs takes an API from the outcomes.
func notOurs(o *Observation, api metricsapi.API) {
	for i := range o.Outcomes {
		outcome := &o.Outcomes[i]
		outcome.APIs = slices.DeleteFunc(outcome.APIs, func(r Registration) bool { return r.API == api })
	}
}

// waits unregisters an API whose backend came to register it, and says what it waits for.
func waits(o *Observation, api metricsapi.API, reason, message string) {
	unregister(o, api, nil)
	backend, _ := o.Plan.Backend(api)
	outcome := outcomeOf(o, backend.Name)
	outcome.APIs = append(outcome.APIs, Registration{API: api, Reason: reason, Message: message})
}

// served puts another owner's APIService in the place of ours, where that is left to them.
func served(o *Observation, apiService *apiregv1.APIService) {
	api, _ := metricsapi.ByName(apiService.Name)
	unregister(o, api, &metricsapi.Omission{Reason: v1alpha1.ReasonServedByOther, Message: "theirs."})
	o.APIServices[apiService.Name] = apiService
}

// statusOf computes the status after changes to a pipeline that works, of which nothing was known before.
func statusOf(changes ...func(*Observation)) (Observation, v1alpha1.MetricsPipelineStatus) {
	o := working()
	for _, change := range changes {
		change(&o)
	}
	return o, Status(o, v1alpha1.MetricsPipelineStatus{})
}

// settled is a status whose transition times are long past.
func settled(status v1alpha1.MetricsPipelineStatus) v1alpha1.MetricsPipelineStatus {
	status = *status.DeepCopy()
	for i := range status.Conditions {
		status.Conditions[i].LastTransitionTime = metav1.NewTime(moment)
	}
	return status
}

// wantConditions checks status and reason of conditions, written with a space between.
func wantConditions(t *testing.T, in v1alpha1.MetricsPipelineStatus, wanted map[string]string) {
	t.Helper()
	for condition, want := range wanted {
		found := meta.FindStatusCondition(in.Conditions, condition)
		if got := string(found.Status) + " " + found.Reason; got != want {
			t.Errorf("%s: %s, want %s (%s)", condition, got, want, found.Message)
		}
	}
}
