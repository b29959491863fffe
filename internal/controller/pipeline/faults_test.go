// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
)

// forbids returns the answer to an operator without a permission.
func forbids(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no permission"))
}

// TestUnreadableKinds: a kind that cannot be read becomes a condition that names it, and what does not need it works.
func TestUnreadableKinds(t *testing.T) {
	for kind, tc := range map[string]struct {
		group     schema.GroupVersion
		condition string
		// lamp, with a certificate and a Service, and plain, with neither, are deployed.
		lamp, plain bool
	}{
		"Pod":           {corev1.SchemeGroupVersion, v1alpha1.ConditionComponentsReady, true, true},
		"Service":       {corev1.SchemeGroupVersion, v1alpha1.ConditionComponentsReady, true, true},
		"Namespace":     {corev1.SchemeGroupVersion, v1alpha1.ConditionComponentsReady, true, true},
		"Secret":        {corev1.SchemeGroupVersion, v1alpha1.ConditionCertificatesReady, false, true},
		"ConfigMap":     {corev1.SchemeGroupVersion, v1alpha1.ConditionComponentsReady, true, true},
		"EndpointSlice": {schema.GroupVersion{Group: "discovery.k8s.io", Version: "v1"}, v1alpha1.ConditionComponentsReady, true, true},
		"Deployment":    {appsv1.SchemeGroupVersion, v1alpha1.ConditionComponentsReady, false, false},
		"APIService":    {apiregv1.SchemeGroupVersion, v1alpha1.ConditionAPIServicesAvailable, false, false},
	} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, []*gadget{lamp(), {name: "plain", plain: true}})
			unreadable := &cluster.UnreadableError{Kind: tc.group.WithKind(kind), Err: forbids(strings.ToLower(kind) + "s")}
			w.facts.Unreadable = []*cluster.UnreadableError{unreadable}
			w.unreadable = map[string]error{kind: unreadable}
			for range 2 {
				result, err := w.reconcile()
				if err != nil || result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
					t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
				}
			}
			if got := w.condition(tc.condition); !strings.HasPrefix(got, "False Unreadable: ") || !strings.Contains(got, kind+" objects (") {
				t.Errorf("%s: %s", tc.condition, got)
			}
			if got := w.condition(v1alpha1.ConditionStalled); !strings.HasPrefix(got, "True ") {
				t.Errorf("Stalled: %s", got)
			}
			for name, want := range map[string]bool{"lamp": tc.lamp, "plain": tc.plain} {
				if got := w.exists(&appsv1.Deployment{}, name); got != want {
					t.Errorf("%s is deployed: %v, want %v", name, got, want)
				}
			}
			w.facts.Unreadable, w.unreadable = nil, nil
			w.settle()
			if got := w.condition(tc.condition); strings.Contains(got, "Unreadable") || !w.exists(&appsv1.Deployment{}, "lamp") {
				t.Errorf("after it can be read: %s", got)
			}
		})
	}
}

// TestUnreadableTakesNothingAway of what serves.
func TestUnreadableTakesNothingAway(t *testing.T) {
	for kind, group := range map[string]schema.GroupVersion{
		"Pod": corev1.SchemeGroupVersion, "Service": corev1.SchemeGroupVersion, "Secret": corev1.SchemeGroupVersion,
		"ConfigMap": corev1.SchemeGroupVersion, "Deployment": appsv1.SchemeGroupVersion, "APIService": apiregv1.SchemeGroupVersion,
		"EndpointSlice": {Group: "discovery.k8s.io", Version: "v1"},
	} {
		t.Run(kind, func(t *testing.T) {
			w := healthy(t, lamp(), radio())
			unreadable := &cluster.UnreadableError{Kind: group.WithKind(kind), Err: forbids(strings.ToLower(kind) + "s")}
			w.facts.Unreadable, w.unreadable = []*cluster.UnreadableError{unreadable}, map[string]error{kind: unreadable}
			w.restart()
			for range 3 {
				_, _ = w.reconcile()
			}
			for _, wrote := range w.wrote {
				if strings.HasPrefix(wrote, "delete ") {
					t.Error(wrote)
				}
			}
			if len(w.left()) != 2 {
				t.Errorf("left are %q", w.left())
			}
		})
	}
}

// TestForeignObject: one of our name is left alone, a condition names it, and the other component is deployed.
func TestForeignObject(t *testing.T) {
	foreign := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "lamp",
		Labels: map[string]string{"made": "by hand"}}}
	w := newWorld(t, []*gadget{lamp(), radio()}, foreign)
	if result, err := w.reconcile(); err != nil || result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
		t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
	}
	got := w.condition(v1alpha1.ConditionComponentsReady)
	if !strings.HasPrefix(got, "False NameTaken: ") || !strings.Contains(got, "Deployment metrics/lamp") {
		t.Error(got)
	}
	if !w.exists(&appsv1.Deployment{}, "radio") {
		t.Error("the other component was not deployed")
	}
	w.run("radio")
	w.registered(metricsapi.External)
	found := &appsv1.Deployment{}
	if w.exists(found, "lamp"); found.Labels["made"] != "by hand" || len(found.Labels) != 1 || found.Spec.Selector != nil {
		t.Errorf("the foreign object was changed: %v", found)
	}
	w.remove(found, "lamp")
	w.settle()
	if !w.exists(&appsv1.Deployment{}, "lamp") {
		t.Error("not deployed once the name was free")
	}
}

// TestIssuedIsWhatIsStored: of a certificate whose Secret the API server refuses no Event says that it was issued, each time that
// one is made anew.
func TestIssuedIsWhatIsStored(t *testing.T) {
	w := newWorld(t, []*gadget{lamp(), radio()})
	w.refuse = func(object, _ string) error {
		if object == "Secret metrics/lamp-tls" {
			return forbids("secrets")
		}
		return nil
	}
	issued := func() string {
		t.Helper()
		for range 2 {
			_, _ = w.reconcile()
		}
		var all []string
		for _, event := range w.drain() {
			if strings.Contains(event, "CertificateIssued") {
				all = append(all, event)
			}
		}
		return strings.Join(all, "\n")
	}
	got := issued()
	if strings.Contains(got, "lamp-tls") || strings.Count(got, "radio-tls") != 1 || strings.Count(got, "metricspipeline-ca") != 1 {
		t.Errorf("Events:\n%s", got)
	}
	if got := w.condition(v1alpha1.ConditionComponentsReady); !strings.Contains(got, "Secret metrics/lamp-tls") {
		t.Errorf("ComponentsReady: %s", got)
	}
	w.refuse = nil
	w.restart() // A refusal is tried again after a minute only.
	if got := issued(); strings.Count(got, "lamp-tls") != 1 || strings.Contains(got, "radio-tls") {
		t.Errorf("Events once it is stored:\n%s", got)
	}
}

// TestFailedLadderKeepsItsAPI, and puts back its Deployment, also across a restart.
func TestFailedLadderKeepsItsAPI(t *testing.T) {
	for name, begin := range map[string]func(*world){
		"the Secret is refused": func(w *world) {
			w.clock.SetTime(moment.AddDate(0, 9, 0)) // A new certificate is due.
			w.refuse = func(object, _ string) error {
				if object == "Secret metrics/lamp-tls" {
					return forbids("secrets")
				}
				return nil
			}
		},
		"the APIService is refused": func(w *world) {
			w.refuse = func(object, _ string) error {
				if strings.HasPrefix(object, "APIService ") {
					return forbids("apiservices")
				}
				return nil
			}
			w.trust(nil)
		},
		"its endpoints cannot be read": func(w *world) { w.unreadable = map[string]error{"EndpointSlice": forbids("endpointslices")} },
		"its Secret cannot be read":    func(w *world) { w.unreadable = map[string]error{"Secret": forbids("secrets")} },
		"its Service is gone":          func(w *world) { w.remove(&corev1.Service{}, "lamp") },
	} {
		t.Run(name, func(t *testing.T) {
			w := healthy(t, lamp(), radio())
			begin(w)
			w.remove(&appsv1.Deployment{}, "lamp")
			for range 2 {
				w.restart()
				_, _ = w.reconcile()
			}
			if len(w.left()) != 2 || !w.exists(&appsv1.Deployment{}, "lamp") {
				t.Errorf("left are %q", w.left())
			}
		})
	}
}

// TestDeregisterGoesOn while another APIService cannot be deleted; a condition says which.
func TestDeregisterGoesOn(t *testing.T) {
	w := healthy(t, lamp(), radio())
	w.available(apiregv1.ConditionFalse, metricsapi.Resource, metricsapi.External)
	w.edit(func(spec *v1alpha1.MetricsPipelineSpec) {
		spec.ResourceMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
		spec.ExternalMetrics.OnUnavailable = v1alpha1.UnavailableDeregister
	})
	w.refuseDelete = map[string]error{metricsapi.Resource.Name(): forbids("apiservices")}
	w.clock.SetTime(moment.Add(6 * time.Minute))
	w.drain()
	if result, err := w.reconcile(); err != nil || result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
		t.Errorf("requeueAfter %s, error %v", result.RequeueAfter, err)
	}
	if left := w.left(); len(left) != 1 || left[0] != metricsapi.Resource.Name() {
		t.Errorf("left are %q", left)
	}
	if got := w.condition(v1alpha1.ConditionComponentsReady); !strings.Contains(got, metricsapi.Resource.Name()) {
		t.Errorf("ComponentsReady: %s", got)
	}
	events := strings.Join(w.drain(), "\n")
	const deleted = "Deleted APIService "
	if !strings.Contains(events, deleted+metricsapi.External.Name()) || strings.Contains(events, deleted+metricsapi.Resource.Name()) {
		t.Errorf("Events:\n%s", events)
	}
	for _, name := range []string{"lamp", "radio"} {
		if !w.exists(&appsv1.Deployment{}, name) {
			t.Errorf("%s went with its API", name)
		}
	}
}
