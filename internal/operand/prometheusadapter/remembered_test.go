// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// TestWhatIsRememberedIsNotStale: whatever changes, a plan is the same as one that is worked out anew.
func TestWhatIsRememberedIsNotStale(t *testing.T) {
	remembering, forgetful := newDeriving(t, "http_requests_total", "queue_depth"), newDeriving(t, "http_requests_total", "queue_depth")
	forgetful.forgetful = true
	for _, step := range []struct {
		name   string
		change func(*deriving)
	}{
		{"one metric is asked for", func(d *deriving) { d.asks("http_requests_per_second") }},
		{"nothing", func(*deriving) {}},
		{"another one is", func(d *deriving) { d.asks("!queue_depth", "http_requests_per_second") }},
		{"another HPA asks for it", func(d *deriving) { d.in.Facts.Asked[1].HPAs[0].Name = "api" }},
		{"its target is another one", func(d *deriving) { d.in.Facts.Asked[1].HPAs[0].Target.Name = "api" }},
		{"Prometheus has no series of it any more", func(d *deriving) { d.series = []string{"queue_depth"} }},
		{"Prometheus has a series of its name", func(d *deriving) { d.series = append(d.series, "http_requests_per_second") }},
		{"Prometheus has the first again", func(d *deriving) { d.series = []string{"http_requests_total", "queue_depth"} }},
		{"a stated rule", func(d *deriving) { d.in.Spec.CustomMetrics.Rules = operandtest.Spec().CustomMetrics.Rules }},
		{"it makes a derived metric", func(d *deriving) {
			d.in.Spec.CustomMetrics.Rules[0].Name = v1alpha1.MetricName{As: "http_requests_per_second"}
		}},
		{"it is removed", func(d *deriving) { d.in.Spec.CustomMetrics.Rules = nil }},
		{"apps are scraped less often", func(d *deriving) { d.in.Facts.Prometheus.Target.ScrapeInterval = 5 * time.Minute }},
		{"none are derived of one API", func(d *deriving) { d.in.Spec.ExternalMetrics.Derive = v1alpha1.DeriveDisabled }},
		{"they are again", func(d *deriving) { d.in.Spec.ExternalMetrics.Derive = "" }},
		{"it is not known what is asked for", func(d *deriving) { d.in.Facts.AskedKnown = false }},
		{"it is", func(d *deriving) { d.in.Facts.AskedKnown = true }},
		{"nothing is asked for", func(d *deriving) { d.asks() }},
		{"that lasts", func(d *deriving) { d.clock.Step(lingering) }},
		{"a restart", func(d *deriving) { d.restart() }},
		{"all that is stored is lost", func(d *deriving) { d.in.LastGood = nil }},
		{"it is asked for again", func(d *deriving) {
			d.in.Facts.AskedKnown = true
			d.asks("http_requests_per_second")
		}},
	} {
		var plans [2][]byte
		for i, d := range []*deriving{remembering, forgetful} {
			before := d.last.Memory
			step.change(d)
			d.plan(rolloutPace)
			d.plan(time.Second)
			if plans[i] = d.last.Memory; step.name == "nothing" && (len(before) == 0 || (&before[0] == &plans[i][0]) == d.forgetful) {
				t.Errorf("the memory of %d bytes was written anew: %t", len(before), !d.forgetful)
			}
		}
		if !reflect.DeepEqual(remembering.last, forgetful.last) {
			t.Errorf("%s (-anew +remembered):\n%s", step.name, cmp.Diff(forgetful.last, remembering.last, cmp.Exporter(func(reflect.Type) bool { return true })))
		}
		if !bytes.Equal(plans[0], plans[1]) {
			t.Errorf("%s: stored %s, and anew %s", step.name, plans[0], plans[1])
		}
	}
}
