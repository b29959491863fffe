// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// explain has HPAs explained that fail, of each kind that the operator may read the scale of, and of KEDA.
func explain(w *world) error {
	defer func() { _ = w.notAutoscaled() }()
	if err := errors.Join(w.autoscaled(), install(w)); err != nil {
		return err
	}
	return w.until("every HPA is explained", func() error {
		pipeline, err := w.pipeline()
		if err != nil {
			return err
		}
		served := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionAutoscalersServed)
		if served == nil || served.Reason == v1alpha1.ReasonUnreadable || pipeline.Status.Autoscalers == nil {
			return fmt.Errorf("the condition is %+v", served)
		}
		explained := map[string]string{}
		for _, failing := range pipeline.Status.Autoscalers.Failing {
			explained[failing.Name] = failing.Reason
		}
		for name, reason := range map[string]string{"deployment": v1alpha1.AutoscalerPodsMissing, "replicaset": v1alpha1.AutoscalerPodsMissing,
			"statefulset": v1alpha1.AutoscalerPodsMissing, "replicationcontroller": v1alpha1.AutoscalerPodsMissing,
			"keda": v1alpha1.AutoscalerScaledObjectPaused} {
			if explained[name] != reason {
				return fmt.Errorf("HPA %s: %q, want %s; all are %v", name, explained[name], reason, explained)
			}
		}
		return nil
	})
}

// autoscaled makes HPAs that fail, what they scale, and the ScaledObject above one of them.
func (w *world) autoscaled() error {
	var errs []error
	for _, object := range scaledObjects() {
		status := object.DeepCopyObject().(client.Object)
		err := client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, object))
		for apimeta.IsNoMatchError(err) { // Its CRD has just come.
			err = w.until("the CRD of "+object.GetObjectKind().GroupVersionKind().Kind+" is served", func() error {
				return client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, object))
			})
		}
		errs = append(errs, err)
		switch status.(type) {
		case *autoscalingv2.HorizontalPodAutoscaler, *corev1.Pod:
			status.SetResourceVersion(object.GetResourceVersion())
			status.SetUID(object.GetUID())
			errs = append(errs, w.Client.Status().Update(w.Ctx, status))
		}
	}
	return errors.Join(errs...)
}

func (w *world) notAutoscaled() error {
	var errs []error
	for _, object := range scaledObjects() {
		if _, definition := object.(*apiextv1.CustomResourceDefinition); !definition {
			errs = append(errs, client.IgnoreNotFound(w.Client.Delete(w.Ctx, object, client.GracePeriodSeconds(0))))
		}
	}
	return errors.Join(errs...)
}

// scaledObjects are the objects of autoscaled, in the order in which they are made.
func scaledObjects() []client.Object {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: appsNamespace, Name: name} }
	template := func(name string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"scaled": name}}, Spec: corev1.PodSpec{
			AutomountServiceAccountToken: ptr.To(false),
			Containers: []corev1.Container{{Name: "app", Image: "app", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}}}}}
	}
	selector := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"scaled": name}}
	}
	deployment := func(name string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta(name), Spec: appsv1.DeploymentSpec{Selector: selector(name), Template: template(name)}}
	}
	running := &corev1.Pod{ObjectMeta: meta("usage-1"), Spec: template("usage").Spec, Status: corev1.PodStatus{Phase: corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	running.Labels = template("usage").Labels
	paused := &unstructured.Unstructured{}
	paused.SetGroupVersionKind(scaledObject)
	paused.SetNamespace(appsNamespace)
	paused.SetName("keda")
	paused.SetAnnotations(map[string]string{"autoscaling.keda.sh/paused": "true"})
	above := failingHPA("keda", "apps/v1", "Deployment")
	above.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "s0-queue"},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: ptr.To(resource.MustParse("5"))}}}}
	above.Labels = map[string]string{"scaledobject.keda.sh/name": "keda"}

	return []client.Object{
		definitionOf(scaledObject.Group, scaledObject.Version, scaledObject.Kind), definitionOf("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler"),
		deployment("usage"), running, failingHPA("a-usage", "apps/v1", "Deployment", "usage"),
		deployment("deployment"), failingHPA("deployment", "apps/v1", "Deployment"),
		&appsv1.ReplicaSet{ObjectMeta: meta("replicaset"), Spec: appsv1.ReplicaSetSpec{Selector: selector("replicaset"), Template: template("replicaset")}},
		failingHPA("replicaset", "apps/v1", "ReplicaSet"),
		&appsv1.StatefulSet{ObjectMeta: meta("statefulset"), Spec: appsv1.StatefulSetSpec{Selector: selector("statefulset"), Template: template("statefulset")}},
		failingHPA("statefulset", "apps/v1", "StatefulSet"),
		&corev1.ReplicationController{ObjectMeta: meta("replicationcontroller"), Spec: corev1.ReplicationControllerSpec{
			Template: ptr.To(template("replicationcontroller"))}},
		failingHPA("replicationcontroller", "v1", "ReplicationController"),
		deployment("keda"), paused, above,
	}
}

// failingHPA has a status as the HPA controller writes it where there is no usage. It scales what has its name.
func failingHPA(name, version, kind string, target ...string) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: appsNamespace, Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 10,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: version, Kind: kind, Name: append(target, name)[0]},
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(80))}}}}},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{CurrentMetrics: []autoscalingv2.MetricStatus{{}},
			Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
				{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "SucceededGetScale"},
				{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionFalse, Reason: "FailedGetResourceMetric", Message: "no metrics returned"}}}}
}

var scaledObject = schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}

// definitionOf is a CRD of KEDA or of the VPA as far as the operator reads of it.
func definitionOf(group, version, kind string) *apiextv1.CustomResourceDefinition {
	plural := strings.ToLower(kind) + "s"
	return &apiextv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group, Annotations: map[string]string{
			"api-approved.kubernetes.io": "unapproved, for a test"}},
		Spec: apiextv1.CustomResourceDefinitionSpec{Group: group, Scope: apiextv1.NamespaceScoped,
			Names: apiextv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List"},
			Versions: []apiextv1.CustomResourceDefinitionVersion{{Name: version, Served: true, Storage: true,
				Schema: &apiextv1.CustomResourceValidation{OpenAPIV3Schema: &apiextv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: ptr.To(true)}}}}}}
}
