// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

// keeps is what a keeper decides for an object, after a change to a keeper that knows of nothing.
type keeps struct {
	object client.Object
	change func(*keeper)
	want   bool
}

// TestKeeps says what is not pruned.
func TestKeeps(t *testing.T) {
	backend := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "lamp", Labels: ownership.Labels("lamp")}}
	backend.SetGroupVersionKind(kinds.Deployment.GroupVersionKind)
	monitor := backend.DeepCopy()
	monitor.Labels = ownership.Labels(ownership.MonitorsComponent)
	theirs := &apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: metricsapi.Resource.Name()},
		Spec: apiregv1.APIServiceSpec{Service: &apiregv1.ServiceReference{Namespace: namespace, Name: "lamp"}}}
	elsewhere := theirs.DeepCopy()
	elsewhere.Spec.Service.Namespace = "kube-system"
	leads := func(apiService *apiregv1.APIService) func(*keeper) {
		return func(k *keeper) { k.facts.APIServices[apiService.Name] = apiService }
	}
	planned := func(complete bool) func(*keeper) {
		return func(k *keeper) {
			k.plan.Components = []operand.Planned{{Component: operand.Component{Name: "lamp"}}}
			k.complete["lamp"] = complete
		}
	}
	both := func(changes ...func(*keeper)) func(*keeper) {
		return func(k *keeper) {
			for _, change := range changes {
				change(k)
			}
		}
	}
	for name, tc := range map[string]keeps{
		"unwanted":                      {backend, func(*keeper) {}, false},
		"desired":                       {backend, func(k *keeper) { k.desired[ownership.Identity(backend)] = true }, true},
		"a monitor for annotated apps":  {monitor, func(*keeper) {}, true},
		"its ladder is incomplete":      {backend, planned(false), true},
		"its ladder is complete":        {backend, planned(true), false},
		"another ladder is incomplete":  {backend, func(k *keeper) { k.complete["radio"] = false }, false},
		"an APIService leads to it":     {backend, leads(theirs), true},
		"an APIService leads elsewhere": {backend, leads(elsewhere), false},
		"a part that is no longer desired, although an APIService leads to the rest": {
			backend, both(leads(theirs), planned(true)), false},
	} {
		t.Run(name, func(t *testing.T) { tc.judge(t) })
	}
}

// TestKeepsAPIs: an APIService is pruned only where the spec does without it or another owner serves it, whatever became of the
// component that serves it.
func TestKeepsAPIs(t *testing.T) {
	api := &apiregv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: metricsapi.CustomV1Beta1.Name(), Labels: ownership.Labels("lamp")}}
	api.SetGroupVersionKind(kinds.APIService.GroupVersionKind)
	stranger := api.DeepCopy()
	stranger.Name = "v1.example.com"
	for reason, want := range map[string]bool{
		"": true, v1alpha1.ReasonConfigurationInvalid: true, v1alpha1.ReasonWaitingForBackend: true, v1alpha1.ReasonAuthMissing: true,
		v1alpha1.ReasonDisabled: false, v1alpha1.ReasonNoRules: false, v1alpha1.ReasonNotServed: false, v1alpha1.ReasonServedByOther: false,
	} {
		for _, complete := range []bool{true, false} {
			omit := func(k *keeper) {
				k.plan.Components = []operand.Planned{{Component: operand.Component{Name: "lamp"}}}
				k.complete["lamp"] = complete
				if reason != "" {
					k.plan.Omitted = metricsapi.Omissions{api.Name: {Reason: reason}}
				}
			}
			t.Run(reason, func(t *testing.T) { keeps{api, omit, want}.judge(t) })
		}
	}
	t.Run("of no metrics API", func(t *testing.T) { keeps{stranger, func(*keeper) {}, false}.judge(t) })
}

func (tc keeps) judge(t *testing.T) {
	t.Helper()
	k := keeper{facts: cluster.Facts{Namespace: namespace, APIServices: map[string]*apiregv1.APIService{}},
		desired: map[string]bool{}, complete: map[string]bool{}}
	tc.change(&k)
	if got := k.keeps(tc.object); got != tc.want {
		t.Errorf("kept %v, want %v", got, tc.want)
	}
}
