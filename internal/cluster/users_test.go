// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
)

// crds is a cluster with CRDs that the operator does not use.
type crds string

func (c crds) Ensure(context.Context) Served {
	served := Serving()
	served.CRDs = string(c)
	return served
}

// TestAssignsUsers: OpenShift is known by the definition of its policies, and by what it writes on each namespace.
func TestAssignsUsers(t *testing.T) {
	for name, tc := range map[string]struct {
		crds       crds
		namespace  map[string]string
		elsewhere  map[string]string
		unreadable bool
		want       bool
	}{
		"any cluster":                    {crds: "prometheuses.monitoring.coreos.com@7"},
		"by its policies":                {crds: "a.example.com@7 securitycontextconstraints.security.openshift.io@12", want: true},
		"a definition of a similar name": {crds: "securitycontextconstraints.security.openshift.io.example.com@12"},
		"by the namespace":               {namespace: map[string]string{UserRangeAnnotation: "1000680000/10000"}, want: true},
		"by another namespace":           {elsewhere: map[string]string{UserRangeAnnotation: "1000680000/10000"}},
		"another annotation":             {namespace: map[string]string{"openshift.io/description": "a"}},
		"a namespace that is unreadable": {unreadable: true},
		"the same, by its policies":      {crds: "securitycontextconstraints.security.openshift.io@12", unreadable: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			get := func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if tc.unreadable && object.GetObjectKind().GroupVersionKind().Kind == kinds.Namespace.Kind {
					return errors.New("refused")
				}
				return c.Get(ctx, key, object, options...)
			}
			reader := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Get: get}).WithObjects(
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "metrics", Annotations: tc.namespace}},
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Annotations: tc.elsewhere}}).Build()
			source := &Source{Namespace: "metrics", Client: reader, Prometheuses: reader, Kinds: tc.crds}
			facts := source.Read(t.Context(), v1alpha1.MetricsPipelineSpec{}, nil)
			if facts.AssignsUsers != tc.want {
				t.Errorf("%v, want %v", facts.AssignsUsers, tc.want)
			}
			// What runs must not be replaced for what is not known.
			if unknown := tc.unreadable && !tc.want; facts.Incomplete != unknown {
				t.Errorf("incomplete: %v, want %v; problems %v", facts.Incomplete, unknown, facts.Problems)
			}
		})
	}
}
