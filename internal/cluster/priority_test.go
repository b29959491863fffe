// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestSystemPriority: a priority class that the cluster may refuse is used only where a quota says that it does not.
func TestSystemPriority(t *testing.T) {
	const class = corev1.ResourceQuotaScopePriorityClass
	quota := func(pods string, scopes []corev1.ResourceQuotaScope, expressions ...corev1.ScopedResourceSelectorRequirement) corev1.ResourceQuotaSpec {
		spec := corev1.ResourceQuotaSpec{Scopes: scopes}
		if pods != "" {
			spec.Hard = corev1.ResourceList{corev1.ResourcePods: resource.MustParse(pods)}
		}
		if expressions != nil {
			spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: expressions}
		}
		return spec
	}
	scope := func(name corev1.ResourceQuotaScope, operator corev1.ScopeSelectorOperator, values ...string) corev1.ScopedResourceSelectorRequirement {
		return corev1.ScopedResourceSelectorRequirement{ScopeName: name, Operator: operator, Values: values}
	}
	installed := quota("1G", nil, scope(class, "In", SystemPriorityClass))
	for name, tc := range map[string]struct {
		namespace string
		quotas    []corev1.ResourceQuotaSpec
		want      bool
	}{
		"no quota":                        {"metrics", nil, false},
		"kube-system":                     {"kube-system", nil, true},
		"the quota of the installation":   {"metrics", []corev1.ResourceQuotaSpec{installed}, true},
		"one of two":                      {"metrics", []corev1.ResourceQuotaSpec{quota("10", nil), installed}, true},
		"both system classes":             {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "In", "system-node-critical", SystemPriorityClass))}, true},
		"every class":                     {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "Exists"))}, true},
		"every class, as a scope":         {"metrics", []corev1.ResourceQuotaSpec{quota("5", []corev1.ResourceQuotaScope{class})}, true},
		"every class but one":             {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "NotIn", "batch"))}, true},
		"a quota of all pods":             {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil)}, false},
		"another class":                   {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "In", "batch"))}, false},
		"every class but this one":        {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "NotIn", SystemPriorityClass))}, false},
		"pods without a class":            {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "DoesNotExist"))}, false},
		"only pods of best effort":        {"metrics", []corev1.ResourceQuotaSpec{quota("5", []corev1.ResourceQuotaScope{class, corev1.ResourceQuotaScopeBestEffort})}, false},
		"only pods that end":              {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "Exists"), scope(corev1.ResourceQuotaScopeTerminating, "Exists"))}, false},
		"an operator of a later release":  {"metrics", []corev1.ResourceQuotaSpec{quota("5", nil, scope(class, "Like", SystemPriorityClass))}, false},
		"one that keeps the class out":    {"metrics", []corev1.ResourceQuotaSpec{installed, quota("0", nil, scope(class, "Exists"))}, false},
		"one that does so in kube-system": {"kube-system", []corev1.ResourceQuotaSpec{quota("0", nil, scope(class, "Exists"))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{&corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "a"}, Spec: installed}}
			for i, spec := range tc.quotas {
				objects = append(objects, &corev1.ResourceQuota{Spec: spec,
					ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Name: string(rune('a' + i))}})
			}
			source := &Source{Namespace: tc.namespace, Client: fake.NewClientBuilder().WithObjects(objects...).Build()}
			if got, err := source.systemPriority(t.Context()); err != nil || got != tc.want {
				t.Errorf("%v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

// TestQuotasUnreadable: it is unknown then, and what runs must not be replaced for it.
func TestQuotasUnreadable(t *testing.T) {
	refused := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		if _, quotas := list.(*corev1.ResourceQuotaList); quotas {
			return errors.New("refused")
		}
		return c.List(ctx, list, options...)
	}}
	source := &Source{Namespace: "metrics", Client: fake.NewClientBuilder().WithInterceptorFuncs(refused).Build()}
	if got, err := source.systemPriority(t.Context()); got || err == nil {
		t.Errorf("%v, %v", got, err)
	}
}
