// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"fmt"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// monitors are the kinds of monitors for annotated apps.
var monitors = []string{monitoringv1.ServiceMonitorsKind, monitoringv1.PodMonitorsKind}

// monitorName is what the operator calls the monitors of annotated apps.
const monitorName = "metricspipeline-annotated"

// meetStrangers has foreign monitors in the place of ours, which are left alone and named with their field manager.
func meetStrangers(w *world) error {
	if err := w.apply(builtIn); err != nil {
		return err
	}
	about := metav1.ObjectMeta{Namespace: appsNamespace, Name: "app", Annotations: map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}}
	service := &corev1.Service{ObjectMeta: about, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "app"}, Ports: []corev1.ServicePort{{Name: "http", Port: 8080}}}}
	pod := &corev1.Pod{ObjectMeta: about, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
	apps := map[string]client.Object{"ServiceMonitor": service, "PodMonitor": pod}
	endpoints := map[string]string{"ServiceMonitor": "endpoints", "PodMonitor": "podMetricsEndpoints"}
	for _, kind := range monitors {
		theirs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"selector": map[string]any{}, endpoints[kind]: []any{}}}}
		theirs.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(kind))
		theirs.SetNamespace(appsNamespace)
		theirs.SetName(monitorName)
		if err := w.meet(theirs, apps[kind]); err != nil {
			return err
		}
	}
	return nil
}

// meet annotates an app whose monitor exists already, as a foreign one.
func (w *world) meet(theirs *unstructured.Unstructured, app client.Object) error {
	for _, object := range []client.Object{theirs, app} {
		if err := w.Client.Create(w.Ctx, object, client.FieldOwner("stranger")); err != nil {
			return err
		}
		defer func() { _ = w.Client.Delete(w.Ctx, object, client.GracePeriodSeconds(0)) }()
	}
	return w.until("the status names who made the "+theirs.GetKind()+" in our place", func() error {
		pipeline, err := w.pipeline()
		if err != nil {
			return err
		}
		words := fmt.Sprintf("%s was made by the field manager %q", harness.Identity(theirs), "stranger")
		isAboutIt := func(namespace v1alpha1.NotScrapedNamespace) bool { return strings.Contains(namespace.Message, words) }
		if scrape := pipeline.Status.Scrape; scrape == nil || !slices.ContainsFunc(scrape.NotScraped, isAboutIt) {
			return fmt.Errorf("status.scrape is %+v, not %s", scrape, words)
		}
		return nil
	})
}
