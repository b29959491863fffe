// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

func lamp() *gadget { return &gadget{name: "lamp", apis: []metricsapi.API{metricsapi.Resource}} }
func radio() *gadget {
	return &gadget{name: "radio", apis: []metricsapi.API{metricsapi.External}}
}

// TestAnOperandNeedsNothingButTheRegistry: what is planned for it is certified, applied, registered, reported and pruned.
func TestAnOperandNeedsNothingButTheRegistry(t *testing.T) {
	w := newWorld(t, []*gadget{lamp()})
	w.settle()
	for object, name := range map[string]bool{
		"Deployment": w.exists(&appsv1.Deployment{}, "lamp"), "Service": w.exists(&corev1.Service{}, "lamp"),
		"Secret": w.exists(&corev1.Secret{}, "lamp-tls"), "form": w.exists(&corev1.ConfigMap{}, "lamp-last-good"),
	} {
		if !name {
			t.Errorf("there is no %s", object)
		}
	}
	if w.exists(&apiregv1.APIService{}, metricsapi.Resource.Name()) {
		t.Error("registered before anything serves")
	}
	w.run("lamp")
	w.registered(metricsapi.Resource)
	deployment := &appsv1.Deployment{}
	if w.exists(deployment, "lamp"); len(deployment.OwnerReferences) != 2 {
		t.Errorf("owners %v, want the pipeline and the APIService", deployment.OwnerReferences)
	}
	status := w.pipeline().Status
	if len(status.Components) != 1 || status.Components[0].Version != "v1" || len(status.Certificates) != 2 ||
		status.APIServices[0].Backend != "lamp" {
		t.Errorf("status %+v", status)
	}

	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ResourceMetrics.Policy = v1alpha1.PolicyDisabled })
	w.settle()
	for _, left := range []bool{w.exists(&apiregv1.APIService{}, metricsapi.Resource.Name()), w.exists(&appsv1.Deployment{}, "lamp"),
		w.exists(&corev1.Secret{}, "lamp-tls"), w.exists(&corev1.ConfigMap{}, "lamp-last-good")} {
		if left {
			t.Error("not pruned")
		}
	}
}

// TestShapesOfComponents: several workloads, and neither Service nor certificate.
func TestShapesOfComponents(t *testing.T) {
	w := newWorld(t, []*gadget{{name: "twins", plain: true, workloads: []string{"other-twin"}}})
	w.settle()
	if w.exists(&corev1.Secret{}, "twins-tls") {
		t.Error("a certificate was issued for a component that needs none")
	}
	if got := w.condition(v1alpha1.ConditionCertificatesReady); !strings.HasPrefix(got, "True ") {
		t.Error(got)
	}
	w.run("twins")
	w.settle()
	if got := w.condition(v1alpha1.ConditionComponentsReady); !strings.HasPrefix(got, "False Unavailable: other-twin: ") {
		t.Error(got)
	}
	w.run("twins", "other-twin")
	w.settle()
	if got := w.condition(v1alpha1.ConditionComponentsReady); !strings.HasPrefix(got, "True ") {
		t.Error(got)
	}
	if components := w.pipeline().Status.Components; len(components) != 1 || components[0].Ready != 2 {
		t.Errorf("components %+v", components)
	}
}

// faultOf is a fault of the component lamp, and how it shows.
type faultOf struct {
	begin     func(*world)
	condition string
	shows     string
}

func faults() map[string]faultOf {
	refusing := func(err error) func(*world) {
		return func(w *world) {
			w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
				spec.Patches = []v1alpha1.Patch{{Target: v1alpha1.PatchTarget{Kind: "Deployment", Name: "lamp"}, Patch: "spec: {replicas: 3}"}}
			})
			w.refuse = func(object, content string) error {
				if object == "Deployment metrics/lamp" && strings.Contains(content, `"replicas":3`) {
					return err
				}
				return nil
			}
		}
	}
	return map[string]faultOf{
		"a patch that does not apply": {
			begin: func(w *world) {
				w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
					spec.Patches = []v1alpha1.Patch{{Target: v1alpha1.PatchTarget{Kind: "Deployment", Name: "lamp"},
						Patch: "[{op: remove, path: /spec/nothing}]"}}
				})
			},
			condition: v1alpha1.ConditionComponentsReady, shows: "False RenderFailed: spec.patches[0] does not apply to lamp"},
		"an object that the API server refuses": {
			begin:     refusing(apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "lamp", nil)),
			condition: v1alpha1.ConditionComponentsReady, shows: "False ApplyFailed: apply Deployment metrics/lamp"},
		"an operand that cannot plan": {
			begin: func(w *world) {
				w.gadgets[0].plan = func(operand.Input, *operand.Proposal) error { return errors.New("discovery is away") }
			},
			condition: v1alpha1.ConditionComponentsReady, shows: "False Retained: lamp: what should run is not known: discovery is away"},
		"what would replace it is unknown": {
			begin: func(w *world) {
				w.gadgets[0].plan = func(_ operand.Input, p *operand.Proposal) error {
					p.Component, p.Retained = nil, "the credential is missing"
					return nil
				}
			},
			condition: v1alpha1.ConditionComponentsReady, shows: "True AllAvailable: "},
	}
}

// TestAFaultStaysInTheComponentThatHasIt: with the fault in place, and after a restart, both components are put back when they
// are deleted, both certificates are renewed, and no API is deleted.
func TestAFaultStaysInTheComponentThatHasIt(t *testing.T) {
	for name, fault := range faults() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []*gadget{lamp(), radio()})
			w.settle()
			w.run("lamp")
			w.run("radio")
			w.registered(metricsapi.Resource)
			w.registered(metricsapi.External)

			fault.begin(w)
			w.restart()
			_, _ = w.reconcile()
			if got := w.condition(fault.condition); !strings.HasPrefix(got, fault.shows) {
				t.Errorf("%s: %s, want %s", fault.condition, got, fault.shows)
			}
			certificates := map[string]string{}
			for _, component := range []string{"lamp", "radio"} {
				secret := &corev1.Secret{}
				w.exists(secret, component+"-tls")
				certificates[component] = string(secret.Data[corev1.TLSCertKey])
				w.remove(&appsv1.Deployment{}, component)
			}
			w.clock.SetTime(moment.AddDate(0, 9, 0)) // A third of the year is left.
			for range 3 {
				_, _ = w.reconcile()
			}
			for _, component := range []string{"lamp", "radio"} {
				if !w.exists(&appsv1.Deployment{}, component) {
					t.Errorf("the Deployment of %s was not put back", component)
				}
				secret := &corev1.Secret{}
				if w.exists(secret, component+"-tls"); string(secret.Data[corev1.TLSCertKey]) == certificates[component] {
					t.Errorf("the certificate of %s was not renewed", component)
				}
			}
			for _, api := range []metricsapi.API{metricsapi.Resource, metricsapi.External} {
				if !w.exists(&apiregv1.APIService{}, api.Name()) {
					t.Errorf("%s was taken away", api.Name())
				}
			}
		})
	}
}
