// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/ownership"
)

func namespaceObject(name string, leaving bool) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"kubernetes"}}}
	if leaving {
		ns.DeletionTimestamp = ptr.To(metav1.NewTime(moment))
	}
	return ns
}

// apiServices are one of ours, one of ours without its label, and a foreign one.
func apiServices() (labeled, unlabeled, foreign *apiregv1.APIService) {
	of := func(api metricsapi.API) *apiregv1.APIService {
		return &apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: api.Name(), UID: types.UID(api.Name())},
			Spec: apiregv1.APIServiceSpec{Group: api.Group, Version: api.Version}}
	}
	labeled, unlabeled, foreign = of(metricsapi.Resource), of(metricsapi.CustomV1Beta2), of(metricsapi.External)
	labeled.Labels = ownership.Labels("lamp")
	unlabeled.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: v1alpha1.FieldManager, FieldsType: "FieldsV1",
		APIVersion: "apiregistration.k8s.io/v1", Operation: metav1.ManagedFieldsOperationApply,
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:caBundle":{}}}`)}}
	return labeled, unlabeled, foreign
}

// left returns the names of the APIServices that there are.
func (w *world) left() []string {
	w.t.Helper()
	var list apiregv1.APIServiceList
	if err := w.client.List(w.t.Context(), &list); err != nil {
		w.t.Fatal(err)
	}
	names := []string{}
	for _, item := range list.Items {
		names = append(names, item.Name)
	}
	slices.Sort(names)
	return names
}

// TestTerminating: when the operator's own namespace is deleted, its APIServices are first, and no foreign one. Nothing is put back.
func TestTerminating(t *testing.T) {
	labeled, unlabeled, foreign := apiServices()
	for name, tc := range map[string]struct {
		leaving bool
		left    []string
	}{
		"the namespace is there":   {false, []string{foreign.Name, labeled.Name, unlabeled.Name}},
		"the namespace is leaving": {true, []string{foreign.Name}},
	} {
		t.Run(name, func(t *testing.T) {
			labeled, unlabeled, foreign := apiServices()
			// Of the two that are ours, the spec does not do without either.
			w := newWorld(t, []*gadget{{name: "lamp", apis: []metricsapi.API{metricsapi.Resource, metricsapi.CustomV1Beta2}}},
				namespaceObject(namespace, tc.leaving), namespaceObject("other", true), labeled, unlabeled, foreign)
			for _, round := range []string{"at first", "again"} {
				if _, err := w.reconcile(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.left, w.left()); diff != "" {
					t.Errorf("%s: left (-want +got):\n%s", round, diff)
				}
				if w.exists(&appsv1.Deployment{}, "lamp") == tc.leaving {
					t.Errorf("%s: leaving %v, and there is a Deployment: %v", round, tc.leaving, !tc.leaving)
				}
				said := strings.Contains(w.condition(v1alpha1.ConditionReady),
					"Namespace metrics, in which the operator and its components run, is being deleted")
				if said != tc.leaving {
					t.Errorf("%s: Ready is %s", round, w.condition(v1alpha1.ConditionReady))
				}
			}
		})
	}
}

// TestTerminatingWithoutNamespace: an operator that runs outside of the cluster may name a namespace that is not there yet.
func TestTerminatingWithoutNamespace(t *testing.T) {
	labeled, _, _ := apiServices()
	w := newWorld(t, []*gadget{lamp()}, labeled)
	if _, err := w.reconcile(); err != nil || len(w.left()) != 1 || !w.exists(&appsv1.Deployment{}, "lamp") {
		t.Errorf("error %v, %v are left", err, w.left())
	}
}
