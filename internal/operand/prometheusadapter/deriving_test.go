// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	clocktesting "k8s.io/utils/clock/testing"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// deriving is an operand in a cluster in which HPAs of Deployments come and go, and what it has wanted last.
type deriving struct {
	*testing.T
	*Operand
	clock *clocktesting.FakeClock
	in    operand.Input
	last  operand.Proposal
	// series are the names of those that the pods of every HPA have.
	series []string
	// unanswered is true while Prometheus answers nothing, and forgetful where each plan is worked out anew.
	unanswered, forgetful bool
}

func newDeriving(t *testing.T, series ...string) *deriving {
	t.Helper()
	d := &deriving{T: t, series: series, in: operand.Input{Facts: operandtest.Facts(), Image: "example.com/adapter:1"}}
	d.Operand, d.clock = newOperand()
	d.in.Facts.Prometheus.Target.ScrapeInterval = 30 * time.Second
	d.in.Facts.AskedKnown = true
	return d
}

// asks has an HPA of the namespace shop ask for metrics of its pods, of type External where the name begins with a bang.
func (d *deriving) asks(metrics ...string) {
	d.in.Facts.Asked = nil
	for _, name := range metrics {
		kind := autoscalingv2.PodsMetricSourceType
		if strings.HasPrefix(name, "!") {
			kind = autoscalingv2.ExternalMetricSourceType
		}
		d.in.Facts.Asked = append(d.in.Facts.Asked, autoscaler.Asked{
			Metric: autoscaler.Metric{Namespace: "shop", Type: kind, Name: strings.TrimPrefix(name, "!")}, Total: 1,
			HPAs: []autoscaler.Asker{{Name: "web", Target: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}}}})
	}
}

// plan plans after a time, and has Prometheus answer what is asked for the next time. What is planned is applied.
func (d *deriving) plan(after time.Duration) operand.Proposal {
	d.Helper()
	d.clock.Step(after)
	for range 2 {
		if d.forgetful {
			d.derived.last, d.stored, d.written = decided{}, recollection{}, writing{}
		}
		d.last = planAgain(d.T, d.Operand, d.in)
		if d.last.Component != nil && d.last.Retained == "" {
			d.in.LastGood = &operand.LastGood{Component: *d.last.Component, Memory: d.last.Memory}
		}
		if d.unanswered {
			break
		}
		d.in.Facts.Prometheus.Names = map[string]prometheus.Names{}
		for _, selector := range d.last.Names {
			names := prometheus.Names{}
			for _, name := range d.series {
				if strings.Contains(selector.Text, name) && !strings.Contains(selector.Text, "kubernetes_") {
					names[name] = prometheus.NameCount{Series: 2}
				}
			}
			d.in.Facts.Prometheus.Names[selector.Text] = names
		}
	}
	return d.last
}

// restart is one of the operator.
func (d *deriving) restart() {
	clock := d.clock
	d.Operand, d.clock = newOperand()
	d.clock.SetTime(clock.Now())
	d.in.Facts.Prometheus.Names = nil
	d.in.Facts.AskedKnown, d.in.Facts.Asked = false, nil
}

// has expects derived rules, by id.
func (d *deriving) has(want ...string) {
	d.Helper()
	var got []string
	for _, rule := range d.last.Derived {
		got = append(got, rule.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.Errorf("derived rules (-want +got):\n%s", diff)
	}
}

// configured returns the names of the adapter's rules, by what they are made from, in their order.
func configured(t *testing.T, c *operand.Component) []string {
	t.Helper()
	if c == nil {
		return nil
	}
	var config adapter.MetricsDiscoveryConfig
	if err := yaml.UnmarshalStrict([]byte(c.Files[rules.ConfigFile]), &config); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rule := range slices.Concat(config.Rules, config.ExternalRules) {
		all = append(all, rule.SeriesQuery)
	}
	return all
}

const perSecond = "derived/http_requests_per_second/pods"
