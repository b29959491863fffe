// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"slices"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/kinds"
)

// TestOldCRDs: what they do not define is left out and named, and without keepequal nothing is written.
func TestOldCRDs(t *testing.T) {
	for name, tc := range map[string]struct {
		action string
		limits []string
		reason string
		says   string
	}{
		"of today":                     {"keepequal", []string{"bodySizeLimit", "targetLimit", "keepDroppedTargets"}, "Selected", ""},
		"without the newest limits":    {"keepequal", []string{"targetLimit"}, "Selected", "spec.scrape.limits.bodySize, droppedTargets"},
		"without comparison of labels": {"hashmod", []string{"targetLimit"}, v1alpha1.ReasonCRDsOutdated, "0.64 or newer"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := append(namespaces("shop"), everything(), pipeline(), crd(kinds.PrometheusCRD, ""))
			for _, name := range []string{kinds.ServiceMonitorCRD, kinds.PodMonitorCRD} {
				objects = append(objects, crd(name, tc.action, tc.limits...))
			}
			w := newWorld(t, objects...)
			w.seen(t)
			w.change(t, func(s *v1alpha1.ScrapeSpec) {
				one := int64(1)
				s.Limits = v1alpha1.ScrapeLimits{BodySize: "1MB", Targets: &one, DroppedTargets: &one}
			})
			must(t, w.services().Add(service("shop", "a", annotated())))
			w.reconcile(t, "shop")
			state, _ := w.observe(t)
			if state.Reason != tc.reason || !strings.Contains(state.Message, tc.says) || tc.says == "" && strings.Contains(state.Message, "limits") {
				t.Errorf("state %+v, want %s and %q", state, tc.reason, tc.says)
			}
			monitors := w.monitors(t)
			if tc.reason != "Selected" {
				if len(monitors) > 0 {
					t.Errorf("%d monitors", len(monitors))
				}
				return
			}
			spec := monitors[0].Spec
			for limit, sent := range map[string]bool{"bodySizeLimit": spec.BodySizeLimit != nil, "targetLimit": spec.TargetLimit != nil,
				"keepDroppedTargets": spec.KeepDroppedTargets != nil} {
				if sent != slices.Contains(tc.limits, limit) {
					t.Errorf("%s is sent: %v", limit, sent)
				}
			}
		})
	}
}
