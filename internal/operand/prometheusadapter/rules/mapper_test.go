// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// TestUnservedResource distinguishes a resource that may be served later from a rule that is wrong in any case.
func TestUnservedResource(t *testing.T) {
	mapper := operandtest.Mapper()
	for name, tc := range map[string]struct {
		rule     v1alpha1.CustomMetricRule
		unserved bool
	}{
		"a resource of a CRD that is not there": {requests(leading("gadget", "example.com", "gadgets")), true},
		"a resource of another group":           {requests(leading("d", "extensions", "deployments")), true},
		"no PromQL":                             {requests(querying("sum(")), false},
	} {
		_, err := Of(customSpec(tc.rule))[0].Check(mapper, v1alpha1.DialectPromQL)
		var unserved *UnservedError
		if err == nil || errors.As(err, &unserved) != tc.unserved {
			t.Errorf("%s: an UnservedError is wanted: %t; got %v", name, tc.unserved, err)
		}
	}
}

// unreachable is a mapper whose API server does not answer.
type unreachable struct{ meta.RESTMapper }

var errNetwork = errors.New("dial tcp: connection refused")

func (unreachable) KindFor(schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	return schema.GroupVersionKind{}, errNetwork
}

// halfway answers the first question and not the second.
type halfway struct{ meta.RESTMapper }

func (halfway) RESTMapping(schema.GroupKind, ...string) (*meta.RESTMapping, error) {
	return nil, errNetwork
}

// TestUnreachableAPIServer is no fault of a rule: none may be rejected for it, or a blip would roll the adapter without it.
func TestUnreachableAPIServer(t *testing.T) {
	for name, mapper := range map[string]meta.RESTMapper{
		"at once": unreachable{operandtest.Mapper()}, "halfway": halfway{operandtest.Mapper()}} {
		for api, spec := range map[string]v1alpha1.MetricsPipelineSpec{
			"custom.metrics.k8s.io": customSpec(requests()), "external.metrics.k8s.io": externalSpec(depth())} {
			_, err := Of(spec)[0].Check(mapper, v1alpha1.DialectPromQL)
			var apiServer *UnreachableError
			if !errors.As(err, &apiServer) || !errors.Is(err, errNetwork) {
				t.Errorf("%s, %s: error %v, want that of the network", name, api, err)
			}
		}
	}
}
