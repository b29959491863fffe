// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/scale"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// refusedScales refuses every scale.
type refusedScales struct{ scale.ScaleInterface }

func (refusedScales) Scales(string) scale.ScaleInterface { return refusedScales{} }

func (refusedScales) Get(_ context.Context, of schema.GroupResource, name string, _ metav1.GetOptions) (*autoscalingv1.Scale, error) {
	return nil, apierrors.NewForbidden(of, name, errors.New("no"))
}

// TestRefusals: a permission that the operator should have is an error beside what was found; that it may not read the scale of any kind
// that an HPA names is none.
func TestRefusals(t *testing.T) {
	scheme := newInformers(t).scheme
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Game"}, meta.RESTScopeNamespace)
	for name, tc := range map[string]struct {
		target autoscalingv2.CrossVersionObjectReference
		lists  bool
		denied bool
	}{
		"a Deployment":           {autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, true, true},
		"a kind of others":       {autoscalingv2.CrossVersionObjectReference{APIVersion: "example.com/v1", Kind: "Game", Name: "web"}, true, false},
		"HPAs may not be listed": {autoscalingv2.CrossVersionObjectReference{APIVersion: "example.com/v1", Kind: "Game", Name: "web"}, false, true},
	} {
		objects := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if _, hpas := list.(*autoscalingv2.HorizontalPodAutoscalerList); hpas && !tc.lists {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "horizontalpodautoscalers"}, "", nil)
				}
				return c.List(ctx, list, options...)
			}})
		e := &examiner{sources: collect.Sources{Objects: objects, Mapper: mapper, Scales: refusedScales{}, Budget: collect.NewBudget(1, 1),
			Pipeline: func(context.Context) (*v1alpha1.MetricsPipeline, error) { return &v1alpha1.MetricsPipeline{}, nil }}}
		hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: tc.target},
			Status: autoscalingv2.HorizontalPodAutoscalerStatus{Conditions: []autoscalingv2.HorizontalPodAutoscalerCondition{
				{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionFalse, Reason: "FailedGetScale"}}}}
		found, _, err := e.examine(t.Context(), hpa)
		if apierrors.IsForbidden(err) != tc.denied || !found.Failing || len(found.Chains) != 1 {
			t.Errorf("%s: error %v, found %+v", name, err, found)
		}
	}
}

// TestWhomToAsk: nobody is asked who is not known, or who must not be sent what the spec names.
func TestWhomToAsk(t *testing.T) {
	at := prometheus.Target{URL: "http://prometheus:9090", TargetsURL: "http://prometheus:9090"}
	for name, tc := range map[string]struct {
		known         *cluster.Prometheus
		asks, targets bool
	}{
		"not known yet": {nil, false, false},
		"none":          {&cluster.Prometheus{NotFound: &prometheus.NotFoundError{Message: "there is none"}}, false, false},
		"withheld":      {&cluster.Prometheus{Target: at, CredentialsWithheld: "it is http"}, false, false},
		"missing":       {&cluster.Prometheus{Target: at, CredentialsMissing: "no Secret"}, false, false},
		"an agent":      {&cluster.Prometheus{Target: prometheus.Target{TargetsURL: "http://agent:9090"}}, false, true},
		"known":         {&cluster.Prometheus{Target: at}, true, true},
	} {
		e := &examiner{}
		if tc.known != nil {
			e.prometheus.Store(tc.known)
		}
		asker, problem := e.asker()
		if (asker != nil) != tc.asks || (problem == "") != tc.asks || (e.targets() != nil) != tc.targets {
			t.Errorf("%s: asks %v, problem %q, targets %v", name, asker != nil, problem, e.targets() != nil)
		}
	}
}

// TestOneClient: a client stays while whom it queries and what it presents are the same, and not a moment longer.
func TestOneClient(t *testing.T) {
	e := &examiner{}
	client := func(change func(*cluster.Prometheus)) *prometheus.Client {
		known := &cluster.Prometheus{Target: prometheus.Target{URL: "http://prometheus:9090"},
			Access: prometheus.Access{Token: []byte("secret"), Headers: []prometheus.Header{{Name: "X-Scope-OrgID", Value: []byte("shop")}}}}
		change(known)
		e.prometheus.Store(known)
		asker, problem := e.asker()
		if problem != "" {
			t.Fatal(problem)
		}
		return asker
	}
	for name, change := range map[string]func(*cluster.Prometheus){
		"another URL":               func(p *cluster.Prometheus) { p.Target.URL = "http://thanos:9090" },
		"another token":             func(p *cluster.Prometheus) { p.Access.Token = []byte("other") },
		"another value of a header": func(p *cluster.Prometheus) { p.Access.Headers[0].Value = []byte("other") },
		"another method":            func(p *cluster.Prometheus) { p.Access.Method = v1alpha1.QueryPOST },
		"any certificate accepted":  func(p *cluster.Prometheus) { p.Access.Insecure = true },
	} {
		first := client(func(*cluster.Prometheus) {})
		if client(func(*cluster.Prometheus) {}) != first {
			t.Errorf("%s: another client with equal values", name)
		}
		if client(change) == first {
			t.Errorf("%s: the same client", name)
		}
	}
}
