// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestMakes: which metrics a rule makes, by its names or by those of series.
func TestMakes(t *testing.T) {
	const perSecond = "http_requests_per_second"
	pattern := selecting(`{__name__=~"^http_.*_total$"}`)
	for name, tc := range map[string]struct {
		rule             v1alpha1.CustomMetricRule
		metric, resource string
		makes            bool
	}{
		"the name that it says":        {requests(), perSecond, "pods", true},
		"the name of the series":       {requests(), "http_requests_total", "pods", false},
		"another resource":             {requests(), perSecond, "services", false},
		"any resource":                 {requests(), perSecond, "", true},
		"a resource by a template":     {requests(templating("<<.Resource>>")), perSecond, "services", true},
		"a name of one of the series":  {requests(pattern), perSecond, "pods", true},
		"a name of none of the series": {requests(pattern), "http_errors_per_second", "pods", false},
		"a name that is not selected":  {requests(selecting(`{__name__=~"^grpc_.*"}`)), perSecond, "pods", false},
		"a name that is filtered":      {requests(pattern, filtering(v1alpha1.SeriesFilter{IsNot: "requests"})), perSecond, "pods", false},
		"a name that does not match":   {requests(pattern, named("^(.*)_seconds_total$", "${1}_per_second")), perSecond, "pods", false},
	} {
		if makes := found(t, customSpec(tc.rule)).Makes(tc.metric, tc.resource, []string{"up", "http_requests_total"}); makes != tc.makes {
			t.Errorf("%s: %t, want %t", name, makes, tc.makes)
		}
	}
	if !found(t, externalSpec(depth())).Makes("queue_depth", "", nil) || found(t, externalSpec(depth())).Makes("queue_depth", "pods", nil) {
		t.Error("an external metric describes no resource")
	}
	if (Findings{}).Makes(perSecond, "pods", []string{perSecond}) {
		t.Error("a rule of which nothing is known makes a metric")
	}
}
