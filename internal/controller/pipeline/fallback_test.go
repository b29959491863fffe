// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

// patched sets one patch of a Deployment.
func patched(spec *v1alpha1.MetricsPipelineSpec, name, patch string) {
	spec.Patches = []v1alpha1.Patch{{Target: v1alpha1.PatchTarget{Kind: "Deployment", Name: name}, Patch: patch}}
}

// unpatchable is a patch that applies to nothing.
const unpatchable = "[{op: remove, path: /spec/nothing}]"

// withoutExternal is a world whose gadget serves the resource metrics, and would serve external ones if the spec did not disable them.
func withoutExternal(t *testing.T) *world {
	t.Helper()
	both := lamp()
	both.apis = []metricsapi.API{metricsapi.Resource, metricsapi.External}
	w := newWorld(t, []*gadget{both})
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ExternalMetrics.Policy = v1alpha1.PolicyDisabled })
	w.settle()
	w.run("lamp")
	w.registered(metricsapi.Resource)
	return w
}

// TestRegistersWhatIsServed: a metrics API that the spec adds is registered only when pods run that serve it. Those of the last good
// form do not, and an APIService without a backend would hold up the deletion of every namespace.
func TestRegistersWhatIsServed(t *testing.T) {
	for name, fault := range map[string]func(*world, *v1alpha1.MetricsPipelineSpec){
		"a patch does not apply":     func(_ *world, spec *v1alpha1.MetricsPipelineSpec) { patched(spec, "lamp", unpatchable) },
		"a patch has a wrong target": func(_ *world, spec *v1alpha1.MetricsPipelineSpec) { patched(spec, "lantern", "spec: {replicas: 2}") },
		"the Deployment is refused": func(w *world, spec *v1alpha1.MetricsPipelineSpec) {
			patched(spec, "lamp", "spec: {replicas: 3}")
			w.refuse = func(object, content string) error {
				if object == "Deployment metrics/lamp" && strings.Contains(content, `"replicas":3`) {
					return apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "lamp", nil)
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := withoutExternal(t)
			w.settle()

			w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
				spec.ExternalMetrics.Policy = v1alpha1.PolicyAuto
				fault(w, spec)
			})
			w.restart()
			w.awaits(metricsapi.External, "The API is registered when lamp runs as desired")
			if w.exists(&apiregv1.APIService{}, metricsapi.External.Name()) {
				t.Error("an API was registered that the pods do not serve")
			}
			if !w.exists(&apiregv1.APIService{}, metricsapi.Resource.Name()) {
				t.Error("an API that worked was taken away")
			}
			w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.Patches = nil })
			w.registered(metricsapi.External)
		})
	}
}

// awaits calls the operator until the status says something of a metrics API: a certificate is verified beside the worker.
func (w *world) awaits(api metricsapi.API, message string) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, _ = w.reconcile()
		for _, status := range w.pipeline().Status.APIServices {
			if status.Name == api.Name() && strings.Contains(status.Message, message) {
				return
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the status does not say %q of %s: %+v", message, api.Name(), w.pipeline().Status.APIServices)
		}
	}
}

// TestServiceSelectsAvailablePods: what is rolled out and not available gets no traffic that others still answer.
func TestServiceSelectsAvailablePods(t *testing.T) {
	w := healthy(t, lamp())
	available := func(pods int32) {
		t.Helper()
		deployment := &appsv1.Deployment{}
		w.exists(deployment, "lamp")
		deployment.Status.AvailableReplicas, deployment.Status.ReadyReplicas = pods, pods
		if err := w.client.Status().Update(t.Context(), deployment); err != nil {
			t.Fatal(err)
		}
	}
	selector := func() string {
		t.Helper()
		_, _ = w.reconcile()
		service := &corev1.Service{}
		w.exists(service, "lamp")
		return service.Spec.Selector["app"]
	}
	available(0)
	w.gadgets[0].plan = func(_ operand.Input, p *operand.Proposal) error {
		selector := operand.Operation{Op: "replace", Path: "/spec/selector/app", Value: "new"}
		p.Component.Patches = append(p.Component.Patches, operand.PatchOf("Service", "lamp", selector))
		return nil
	}
	if got := selector(); got != "lamp" {
		t.Errorf("no pod is available, and the Service selects %q", got)
	}
	available(1)
	if got := selector(); got != "new" {
		t.Errorf("a pod is available, and the Service selects %q", got)
	}
}

// TestPlansAgain: what kept an operand from planning may pass without an event.
func TestPlansAgain(t *testing.T) {
	w := healthy(t, lamp())
	w.gadgets[0].plan = func(operand.Input, *operand.Proposal) error { return errors.New("discovery is away") }
	if result, err := w.reconcile(); err != nil || result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
		t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
	}
}

// TestFormsAreOfThePipeline: a pipeline that is created after another was deleted begins without the forms of that one, also where
// garbage collection has not come to the ConfigMap yet.
func TestFormsAreOfThePipeline(t *testing.T) {
	for name, restart := range map[string]bool{"the operator goes on": false, "the operator is restarted": true} {
		t.Run(name, func(t *testing.T) {
			w := healthy(t, lamp())
			before := w.pipeline()
			if err := w.client.Delete(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			_, _ = w.reconcile()
			w.remove(&appsv1.Deployment{}, "lamp")
			if err := w.client.Create(t.Context(), &v1alpha1.MetricsPipeline{Spec: before.Spec,
				ObjectMeta: metav1.ObjectMeta{Name: before.Name, UID: "another", Generation: 1}}); err != nil {
				t.Fatal(err)
			}
			w.gadgets[0].plan = func(operand.Input, *operand.Proposal) error { return errors.New("discovery is away") }
			if restart {
				w.restart()
			}
			for range 3 {
				_, _ = w.reconcile()
			}
			if w.exists(&appsv1.Deployment{}, "lamp") {
				t.Error("the form of the deleted pipeline was deployed")
			}
		})
	}
}

// TestRepairsWithoutAPIServices: where it cannot be known who serves the metrics APIs, as without the permission to list them, what
// runs is repaired all the same, with the owners that it had.
func TestRepairsWithoutAPIServices(t *testing.T) {
	w := healthy(t, lamp(), radio())
	before := &appsv1.Deployment{}
	w.exists(before, "lamp")
	unreadable := &cluster.UnreadableError{Kind: apiregv1.SchemeGroupVersion.WithKind("APIService"), Err: forbids("apiservices")}
	w.facts.Unreadable, w.unreadable = []*cluster.UnreadableError{unreadable}, map[string]error{"APIService": unreadable}
	w.restart()
	w.remove(&appsv1.Deployment{}, "lamp")
	w.remove(&corev1.Service{}, "radio")
	for range 2 {
		_, _ = w.reconcile()
	}
	after := &appsv1.Deployment{}
	if !w.exists(after, "lamp") || !w.exists(&corev1.Service{}, "radio") {
		t.Fatal("it is not put back")
	}
	if diff := cmp.Diff(before.OwnerReferences, after.OwnerReferences); diff != "" || len(after.OwnerReferences) != 2 {
		t.Errorf("owners (-before +after):\n%s", diff)
	}
	if got := w.condition(v1alpha1.ConditionAPIServicesAvailable); !strings.HasPrefix(got, "False Unreadable: ") {
		t.Error(got)
	}
	w.facts.Unreadable, w.unreadable = nil, nil
	w.settle()
	if len(w.left()) != 2 {
		t.Errorf("left are %q", w.left())
	}
}

// TestEditedForm: what others write into the ConfigMap of a form is undone, and does not run.
func TestEditedForm(t *testing.T) {
	w := healthy(t, lamp())
	stored := &corev1.ConfigMap{}
	w.exists(stored, operand.LastGoodName("lamp"))
	form := operand.ReadLastGood(stored)
	for _, object := range form.Objects {
		object.SetAnnotations(map[string]string{"edited": "by others"})
	}
	edited, err := form.Object()
	if err != nil {
		t.Fatal(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(edited.Object, stored); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { patched(spec, "lamp", unpatchable) })
	w.remove(&appsv1.Deployment{}, "lamp")
	_, _ = w.reconcile()
	deployment := &appsv1.Deployment{}
	if !w.exists(deployment, "lamp") || deployment.Annotations["edited"] != "" {
		t.Errorf("the Deployment has the annotations %v", deployment.Annotations)
	}
}

// TestRetainedIsReported: rules that changed are not reported as in use while the component stays in its last good form.
func TestRetainedIsReported(t *testing.T) {
	for name, patch := range map[string][2]string{
		"a patch does not apply": {"lamp", unpatchable}, "a patch has a wrong target": {"lantern", "spec: {replicas: 2}"},
	} {
		t.Run(name, func(t *testing.T) {
			ruled := lamp()
			ruled.plan = func(_ operand.Input, p *operand.Proposal) error {
				p.Rules = []v1alpha1.RuleStatus{{ID: "a", API: metricsapi.Resource.Group, State: v1alpha1.RuleInUse}}
				return nil
			}
			w := healthy(t, ruled)
			w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.Prometheus.URL = "https://127.0.0.1:1" })
			_, _ = w.reconcile()
			if got := w.condition(v1alpha1.ConditionRulesAccepted); !strings.Contains(got, "All 1 rules are in use.") {
				t.Error(got)
			}
			w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { patched(spec, patch[0], patch[1]) })
			_, _ = w.reconcile()
			if got := w.condition(v1alpha1.ConditionRulesAccepted); strings.Contains(got, "are in use.") || !strings.Contains(got, "in use as soon as") {
				t.Error(got)
			}
		})
	}
}

// TestPruneGoesOn: an APIService that may not be deleted keeps what no APIService needs from nothing.
func TestPruneGoesOn(t *testing.T) {
	w := healthy(t, lamp(), radio())
	unwanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "unwanted", Labels: ownership.Labels("lamp")}}
	if err := w.client.Create(t.Context(), unwanted); err != nil {
		t.Fatal(err)
	}
	w.refuseDelete = map[string]error{metricsapi.External.Name(): forbids("apiservices")}
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ExternalMetrics.Policy = v1alpha1.PolicyDisabled })
	_, _ = w.reconcile()
	if w.exists(&corev1.ConfigMap{}, "unwanted") {
		t.Error("it was not pruned")
	}
	if !w.exists(&appsv1.Deployment{}, "radio") {
		t.Error("the backend went before its APIService")
	}
}

// TestShareOf: no component takes the time of the others, and each has enough for a write that a webhook delays by 10 seconds.
func TestShareOf(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		time.Hour: 20 * time.Minute, Timing{}.OrDefaults().Work: leastShare, leastShare: leastShare, time.Second: time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), left)
		defer cancel()
		share, cancel := shareOf(ctx, 3)
		defer cancel()
		deadline, limited := share.Deadline()
		if got := time.Until(deadline); !limited || got > want || got < want-time.Second {
			t.Errorf("of %s one of three has %s, want %s", left, got, want)
		}
	}
	if work := (Timing{}).OrDefaults().Work; work < 2*leastShare {
		t.Errorf("%s are not enough for two components", work)
	}
}

// TestRegistersWithAvailablePods: pods that a replaced Deployment left behind answer for the component, and do not serve what the spec
// adds.
func TestRegistersWithAvailablePods(t *testing.T) {
	w := withoutExternal(t)
	deployment := &appsv1.Deployment{}
	w.exists(deployment, "lamp")
	deployment.Status.AvailableReplicas = 0
	if err := w.client.Status().Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) { spec.ExternalMetrics.Policy = v1alpha1.PolicyAuto })
	w.awaits(metricsapi.External, "is being rolled out")
	if w.exists(&apiregv1.APIService{}, metricsapi.External.Name()) {
		t.Error("an API was registered without a pod that serves it")
	}
}

// TestContestedIsRemembered: another writer that keeps changing a Service does not freeze the last good form of the rest.
func TestContestedIsRemembered(t *testing.T) {
	w := healthy(t, lamp())
	service := &corev1.Service{}
	w.fight(service, "lamp", func() { service.Spec.Selector = map[string]string{"app": "rival"} })
	const image = "example.com/lamp:v2"
	w.gadgets[0].plan = func(_ operand.Input, p *operand.Proposal) error {
		p.Component.Images = map[string]string{"lamp": image}
		return nil
	}
	_, _ = w.reconcile()
	for _, object := range w.forms["lamp"].Objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if got := containers[0].(map[string]any)["image"]; got != image {
			t.Errorf("the form has the image %v", got)
		}
		return
	}
	t.Error("the form has no Deployment")
}
