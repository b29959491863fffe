// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// askedByMany returns as many metrics as rules are derived for, each asked for by two HPAs of 50 namespaces.
func askedByMany() []autoscaler.Asked {
	const perNamespace = 10
	var all []autoscaler.Asked
	for i := range derive.Most {
		metric := autoscaler.Metric{Namespace: fmt.Sprintf("bench-%03d", i/perNamespace), Type: autoscalingv2.PodsMetricSourceType,
			Name: fmt.Sprintf("application_%05d_requests_per_second", i)}
		asked := autoscaler.Asked{Metric: metric, Total: 2}
		for j := range asked.Total {
			name := fmt.Sprintf("application-%05d-%d", i, j)
			asked.HPAs = append(asked.HPAs, autoscaler.Asker{Name: name,
				Target: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}})
		}
		all = append(all, asked)
	}
	return all
}

// answered answers every selector by the counter that the metric is the rate of.
func answered(selectors []prometheus.Selector) map[string]prometheus.Names {
	all := map[string]prometheus.Names{}
	for _, selector := range selectors {
		names := prometheus.Names{}
		if _, after, found := strings.Cut(selector.Text, "|"); found && !strings.Contains(selector.Text, "kubernetes_namespace") {
			name, _, _ := strings.Cut(after, "|")
			names[name] = prometheus.NameCount{Series: 3}
		}
		all[selector.Text] = names
	}
	return all
}

// BenchmarkPlan is what a plan costs with 500 derived rules and 1,000 HPAs that ask for them: one in which nothing has changed, one that is
// worked out anew, and the first one after a start.
func BenchmarkPlan(b *testing.B) {
	for name, forget := range map[string]func(*Operand) *Operand{
		"unchanged": func(o *Operand) *Operand { return o },
		"anew": func(o *Operand) *Operand {
			o.derived.last, o.stored, o.written = decided{}, recollection{}, writing{}
			return o
		},
		"first": func(o *Operand) *Operand { return with(o.derived.clock) },
	} {
		b.Run(name, func(b *testing.B) {
			clock := clocktesting.NewFakeClock(time.Unix(0, 0))
			o, in := with(clock), operand.Input{Facts: operandtest.Facts(), Image: "example.com/adapter:1"}
			in.Facts.AskedKnown, in.Facts.Asked = true, askedByMany()
			for range 4 {
				proposal, err := o.Plan(in)
				if err != nil {
					b.Fatal(err)
				}
				in.Facts.Prometheus.Names = answered(proposal.Names)
				if proposal.Component != nil {
					in.LastGood = &operand.LastGood{Component: *proposal.Component, Memory: proposal.Memory}
				}
				clock.Step(rolloutPace)
			}
			b.ReportAllocs()
			for b.Loop() {
				o = forget(o)
				proposal, err := o.Plan(in)
				if err != nil || len(proposal.Derived) != derive.Most {
					b.Fatalf("%d derived rules, %v", len(proposal.Derived), err)
				}
			}
		})
	}
}
