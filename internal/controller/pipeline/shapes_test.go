// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

func withoutService(c *operand.Component)     { c.Service = "" }
func withoutCertificate(c *operand.Component) { c.Serving = "" }

// TestOrphansOfUnprobedComponents: where there is no Service or no certificate by which to probe what serves, a replaced Deployment's
// pods go once the new ones are available, and not before.
func TestOrphansOfUnprobedComponents(t *testing.T) {
	for name, fan := range map[string]*gadget{
		"no certificate": {name: "fan", shape: withoutCertificate},
		"no Service":     {name: "fan", shape: withoutService},
		"neither":        {name: "fan", plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []*gadget{fan}, &appsv1.ReplicaSet{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orphan", Labels: ownership.Labels("fan")}})
			w.settle()
			deployment := &appsv1.Deployment{}
			w.exists(deployment, "fan")
			deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation, Replicas: 1, UpdatedReplicas: 1}
			if err := w.client.Status().Update(t.Context(), deployment); err != nil {
				t.Fatal(err)
			}
			w.settle()
			if !w.exists(&appsv1.ReplicaSet{}, "orphan") {
				t.Error("the old pods were deleted before the new one was available")
			}
			w.run("fan")
			w.settle()
			if w.exists(&appsv1.ReplicaSet{}, "orphan") {
				t.Error("the old pods stay")
			}
		})
	}
}

// TestCertificateWithoutService is issued once, for the component's name.
func TestCertificateWithoutService(t *testing.T) {
	w := newWorld(t, []*gadget{{name: "fan", shape: withoutService}})
	w.settle()
	before, after := &corev1.Secret{}, &corev1.Secret{}
	if !w.exists(before, "fan-tls") {
		t.Fatal("there is no certificate")
	}
	w.settle()
	if w.exists(after, "fan-tls"); string(after.Data[corev1.TLSCertKey]) != string(before.Data[corev1.TLSCertKey]) {
		t.Error("another certificate is issued by each reconcile")
	}
}

// TestComponentWithAConditionOfItsOwn: what is wrong with it surfaces there, keeps nothing else from being written, and changes no other
// condition. Nothing runs for it, so nothing is looked for that pods left behind.
func TestComponentWithAConditionOfItsOwn(t *testing.T) {
	const own = v1alpha1.ConditionMonitoringReady
	lens := &gadget{name: "lens", plain: true, shape: func(c *operand.Component) { c.Workloads, c.Condition = nil, own }}
	w := newWorld(t, []*gadget{{name: "fan", plain: true}, lens})
	w.refuse = func(object, _ string) error {
		if object == "ConfigMap metrics/lens-first" {
			return apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "lens-first", nil)
		}
		return nil
	}
	w.settle()
	w.run("fan")
	w.settle()
	if got := w.condition(own); !strings.HasPrefix(got, "False ApplyFailed: ") || !strings.Contains(got, "lens-first") {
		t.Errorf("its condition: %s", got)
	}
	if !w.exists(&corev1.ConfigMap{}, "lens-second") {
		t.Error("the other object is not written")
	}
	for _, condition := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionComponentsReady} {
		if got := w.condition(condition); !strings.HasPrefix(got, "True ") {
			t.Errorf("%s: %s", condition, got)
		}
	}
	for _, status := range w.pipeline().Status.Components {
		if status.Name == "lens" {
			t.Errorf("it is listed among what runs: %+v", status)
		}
	}

	w.refuse = nil
	w.restart()
	w.settle()
	if got := w.condition(own); !strings.HasPrefix(got, "True InPlace: ") || !w.exists(&corev1.ConfigMap{}, "lens-first") {
		t.Errorf("its condition once nothing is refused: %s", got)
	}
}

// TestForeignAPIServiceLeadsToOurs: what answers for an APIService is not pruned, also where its Service has a name of its own.
func TestForeignAPIServiceLeadsToOurs(t *testing.T) {
	for _, service := range []string{"fan", "wind"} {
		t.Run(service, func(t *testing.T) {
			w := newWorld(t, []*gadget{{name: "fan", apis: []metricsapi.API{metricsapi.Resource},
				shape: func(c *operand.Component) { c.Service = service }}})
			w.settle()
			foreign := &apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: metricsapi.Resource.Name()}, Spec: apiregv1.APIServiceSpec{
				Group: metricsapi.Resource.Group, Version: metricsapi.Resource.Version,
				Service: &apiregv1.ServiceReference{Namespace: namespace, Name: service}}}
			if err := w.client.Create(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			w.settle()
			if !w.exists(&corev1.Service{}, service) || !w.exists(&appsv1.Deployment{}, "fan") {
				t.Error("the backend of a foreign APIService was pruned")
			}
		})
	}
}
