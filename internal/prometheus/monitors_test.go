// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestShardsMakeAnswersPartial unless a person gave an endpoint that sees them all.
func TestShardsMakeAnswersPartial(t *testing.T) {
	for name, tc := range map[string]struct {
		spec   v1alpha1.PrometheusSpec
		shards *int32
		want   int32
		says   []string
	}{
		"not set":  {want: 1},
		"none":     {shards: ptr.To[int32](0), want: 1},
		"negative": {shards: ptr.To[int32](-2), want: 1},
		"one":      {shards: ptr.To[int32](1), want: 1},
		"three": {shards: ptr.To[int32](3), want: 3,
			says: []string{"Prometheus monitoring/k8s has spec.shards 3", "spec.prometheus.url", "Thanos Query", "beside spec.prometheus.ref"}},
		"three behind a URL that a person gave": {
			spec: v1alpha1.PrometheusSpec{URL: "http://thanos-query.monitoring.svc:9090"}, shards: ptr.To[int32](3)},
	} {
		t.Run(name, func(t *testing.T) {
			p := object("monitoring", "k8s", func(p *monitoringv1.Prometheus) { p.Spec.Shards = tc.shards })
			target, err := Resolve(tc.spec, among(p), nil)
			if err != nil {
				t.Fatal(err)
			}
			if target.Shards != tc.want || target.Given != (tc.spec.URL != "") {
				t.Errorf("shards %d, want %d; given %v", target.Shards, tc.want, target.Given)
			}
			message := target.PartialAnswers()
			if (message != "") != (len(tc.says) > 0) {
				t.Errorf("message %q", message)
			}
			for _, part := range tc.says {
				if !strings.Contains(message, part) {
					t.Errorf("%q does not say %q", message, part)
				}
			}
		})
	}
}

// TestTimeoutAboveTheIntervalIsRejected as by prometheus-operator, which compares it with the monitor's interval and
// without that with the Prometheus object's.
func TestTimeoutAboveTheIntervalIsRejected(t *testing.T) {
	target := Target{Object: "Prometheus monitoring/k8s", ScrapeInterval: 30 * time.Second}
	for name, tc := range map[string]struct {
		target                  Target
		interval, scrapeTimeout time.Duration
		says                    []string
	}{
		"neither is set":                            {target: target},
		"only an interval":                          {target: target, interval: time.Second},
		"a timeout as long as the Prometheus' own":  {target: target, scrapeTimeout: 30 * time.Second},
		"a timeout as long as the interval":         {target: target, interval: 45 * time.Second, scrapeTimeout: 45 * time.Second},
		"a timeout below a shorter interval":        {target: target, interval: 10 * time.Second, scrapeTimeout: 5 * time.Second},
		"a timeout where no object is known":        {target: Target{Origin: "spec.prometheus.url"}, scrapeTimeout: time.Hour},
		"a timeout above the Prometheus' own":       {target: target, scrapeTimeout: 45 * time.Second, says: []string{"spec.scrape.scrapeTimeout is 45s", "scrapeInterval 30s of Prometheus monitoring/k8s", "to at most 30s", "spec.scrape.interval to at least 45s"}},
		"a timeout above the interval":              {target: target, interval: time.Minute, scrapeTimeout: 90 * time.Second, says: []string{"scrapeTimeout is 1m30s", "spec.scrape.interval 1m", "to at most 1m,", "at least 1m30s"}},
		"a timeout above the interval of no object": {interval: time.Second, scrapeTimeout: 2 * time.Second, says: []string{"is 2s", "spec.scrape.interval 1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			message := tc.target.RejectedTimeout(tc.interval, tc.scrapeTimeout)
			if (message != "") != (len(tc.says) > 0) {
				t.Errorf("message %q", message)
			}
			for _, part := range tc.says {
				if !strings.Contains(message, part) {
					t.Errorf("%q does not say %q", message, part)
				}
			}
		})
	}
}
