// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// resourceInput is that of a spec which wants metrics.k8s.io from Prometheus and has no rule, where Prometheus has the series.
func resourceInput() operand.Input {
	in := input()
	in.Spec = v1alpha1.MetricsPipelineSpec{}
	in.Spec.ResourceMetrics.Backend = v1alpha1.BackendPrometheusAdapter
	in.Facts.Prometheus.Demands = map[string]probe.Answer{Name: {Known: true}}
	return in
}

// lacking has Prometheus lack series.
func lacking(kinds ...string) func(*operand.Input) {
	return func(in *operand.Input) {
		in.Facts.Prometheus.Demands = map[string]probe.Answer{Name: {Known: true, Err: &prometheus.MissingError{Kinds: kinds}}}
	}
}

// leading has our APIService of metrics.k8s.io lead to a component.
func leading(component string) func(*operand.Input) {
	return func(in *operand.Input) {
		in.Facts.APIServices = operandtest.Registered(in.Facts.Namespace, component, metricsapi.Resource)
	}
}

// TestResourceMetrics says when the adapter serves metrics.k8s.io, when it is leaving that, and what it waits for.
func TestResourceMetrics(t *testing.T) {
	var (
		elsewhere = func(in *operand.Input) { in.Spec.ResourceMetrics.Backend = v1alpha1.BackendMetricsServer }
		noSource  = func(in *operand.Input) { in.Facts.Prometheus = cluster.Prometheus{Required: true} }
		unknown   = func(in *operand.Input) { in.Facts.Prometheus.Demands = map[string]probe.Answer{Name: {}} }
		withRules = func(in *operand.Input) {
			in.Spec.CustomMetrics, in.Spec.ExternalMetrics = input().Spec.CustomMetrics, input().Spec.ExternalMetrics
		}
		stored     = func(in *operand.Input) { in.LastGood = applied(t, *in) }
		managed    = func(in *operand.Input) { in.Facts.Prometheus.Target.Managed = true }
		unanswered = func(in *operand.Input) {
			in.Facts.Prometheus.Demands = map[string]probe.Answer{Name: {Known: true, Err: errors.New("timeout")}}
		}
		withheld = func(in *operand.Input) {
			in.Omitted = metricsapi.Withhold(in.Spec, map[string]bool{metricsapi.Resource.Group: true})
		}
	)
	resource, others := metricsapi.Resource.Name(), []string{
		"v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}
	all := slices.Sorted(slices.Values(append([]string{resource}, others...)))
	for name, tc := range map[string]struct {
		change []func(*operand.Input)
		// serves are the APIs, leaves is true where metrics.k8s.io is to be another's, waits are words of why it is not served, and
		// found those of what is said in PrometheusReady.
		serves       []string
		leaves       bool
		waits, found string
		retained     bool
	}{
		"the series are there":                 {nil, []string{resource}, false, "", "", false},
		"the series are there, beside rules":   {[]func(*operand.Input){withRules}, all, false, "", "", false},
		"no series":                            {[]func(*operand.Input){lacking(containerCPU, containerMemory, nodeCPU, nodeMemory)}, nil, false, "/metrics/cadvisor", "/metrics/cadvisor", false},
		"no series, and rules":                 {[]func(*operand.Input){withRules, lacking(containerCPU, containerMemory)}, others, false, "/metrics/cadvisor", "cpu of containers, memory of containers", false},
		"no series of cpu":                     {[]func(*operand.Input){lacking(containerCPU, nodeCPU)}, nil, false, "raise spec.resourceMetrics.window", "averaged over 5m", false},
		"no series of nodes":                   {[]func(*operand.Input){lacking(nodeCPU, nodeMemory)}, nil, false, "node-exporter", `id="/"`, false},
		"no series in the operator's own":      {[]func(*operand.Input){managed, lacking(nodeCPU, nodeMemory)}, nil, false, "spec.metricsServer.kubelet.tls", "metricsServer.kubelet.port", false},
		"the series have gone":                 {[]func(*operand.Input){leading(Name), lacking(containerCPU, containerMemory)}, []string{resource}, false, "", "/metrics/cadvisor", false},
		"not known yet":                        {[]func(*operand.Input){unknown}, nil, false, "is being queried", "", false},
		"not known yet, it serves":             {[]func(*operand.Input){unknown, leading(Name)}, []string{resource}, false, "", "", false},
		"not known yet, another serves":        {[]func(*operand.Input){unknown, leading("another")}, nil, false, "is being queried", "", false},
		"the query fails":                      {[]func(*operand.Input){unanswered}, nil, false, "timeout", "is not known: timeout", false},
		"no Prometheus":                        {[]func(*operand.Input){noSource}, nil, false, "There is no Prometheus", "", true},
		"the backend is another":               {[]func(*operand.Input){elsewhere}, nil, false, "", "", false},
		"the backend is another, it serves":    {[]func(*operand.Input){elsewhere, leading(Name)}, []string{resource}, true, "", "", false},
		"the same, without series":             {[]func(*operand.Input){elsewhere, leading(Name), lacking(nodeCPU)}, []string{resource}, true, "", "", false},
		"the same, beside rules":               {[]func(*operand.Input){withRules, elsewhere, leading(Name)}, all, true, "", "", false},
		"the backend is another, which serves": {[]func(*operand.Input){withRules, elsewhere, leading("another")}, others, false, "", "", false},
		"another owner serves it":              {[]func(*operand.Input){withheld}, nil, false, "", "", false},
		"a source that does not answer, stored": {[]func(*operand.Input){stored, func(in *operand.Input) {
			in.Facts.Prometheus.Target.URL, in.Facts.Prometheus.Answer = "https://thanos.monitoring.svc", probe.Answer{}
		}}, nil, false, "keeps querying http://prometheus.monitoring.svc:9090", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			in := resourceInput()
			for _, change := range tc.change {
				change(&in)
			}
			proposal := plan(t, in)
			if diff := cmp.Diff(tc.serves, apis(proposal.Component)); diff != "" {
				t.Errorf("serves (-want +got):\n%s", diff)
			}
			if (len(proposal.Leaving) > 0) != tc.leaves || (proposal.Retained != "") != tc.retained {
				t.Errorf("leaving %v, retained %q", proposal.Leaving, proposal.Retained)
			}
			omission := proposal.Omitted[resource]
			if (omission.Reason != "") != (tc.waits != "") || !strings.Contains(omission.Message, tc.waits) ||
				omission.Reason != "" && (omission.Reason != v1alpha1.ReasonWaitingForBackend || !strings.HasSuffix(omission.Message, ".")) {
				t.Errorf("omitted: %+v, want %q", omission, tc.waits)
			}
			if (len(proposal.Findings) > 0) != (tc.found != "") {
				t.Fatalf("found %+v, want %q", proposal.Findings, tc.found)
			}
			for _, f := range proposal.Findings {
				if f.Condition != v1alpha1.ConditionPrometheusReady || f.Reason != v1alpha1.ReasonResourceSeriesMissing || f.Stalled ||
					!strings.Contains(f.Message, tc.found) || !strings.HasPrefix(f.Message, "spec.resourceMetrics.backend is PrometheusAdapter") {
					t.Errorf("found %+v, want %q", f, tc.found)
				}
			}
		})
	}
}

// TestResourceConfiguration: the adapter's configuration has the queries where it serves metrics.k8s.io, and is as before where it does
// not; users who may view a cluster's objects may read what it serves.
func TestResourceConfiguration(t *testing.T) {
	read := func(c operand.Component) adapter.MetricsDiscoveryConfig {
		var config adapter.MetricsDiscoveryConfig
		if err := yaml.UnmarshalStrict([]byte(c.Files[rules.ConfigFile]), &config); err != nil {
			t.Fatal(err)
		}
		return config
	}
	readers := func(c operand.Component) bool {
		return slices.ContainsFunc(c.Patches, func(p operand.Patch) bool {
			return p.Kind == "ClusterRole" && p.Name == readerRole && strings.Contains(p.Content, `"metrics.k8s.io"`)
		})
	}
	plain := component(t, input())
	if config := read(plain); config.ResourceRules != nil || readers(plain) {
		t.Errorf("without metrics.k8s.io: %+v", config.ResourceRules)
	}
	in := input()
	in.Spec.ResourceMetrics.Backend, in.Facts.Prometheus.Demands = v1alpha1.BackendPrometheusAdapter, map[string]probe.Answer{Name: {Known: true}}
	in.Spec.ResourceMetrics.Window = "90s"
	with := component(t, in)
	config := read(with)
	if config.ResourceRules == nil || config.ResourceRules.Window != model.Duration(90*time.Second) || !readers(with) ||
		!strings.Contains(config.ResourceRules.CPU.NodeQuery, "[1m30s]") || len(config.Rules) != 1 || len(config.ExternalRules) != 1 {
		t.Errorf("with metrics.k8s.io: %s", with.Files[rules.ConfigFile])
	}
	const digest = "/spec/template/metadata/annotations"
	if cmp.Equal(operandtest.ValueAt(t, plain, digest), operandtest.ValueAt(t, with, digest)) {
		t.Error("the pods are not replaced when the configuration changes")
	}
}

// TestWindow is four scrapes where the scrape interval is known.
func TestWindow(t *testing.T) {
	for _, tc := range []struct {
		stated   v1alpha1.Duration
		interval time.Duration
		want     time.Duration
	}{
		{"", 0, 5 * time.Minute}, {"", 15 * time.Second, 2 * time.Minute}, {"", 30 * time.Second, 2 * time.Minute},
		{"", time.Minute, 4 * time.Minute}, {"30s", time.Minute, 30 * time.Second}, {"30s", 0, 30 * time.Second},
	} {
		in := resourceInput()
		in.Spec.ResourceMetrics.Window, in.Facts.Prometheus.Target.ScrapeInterval = tc.stated, tc.interval
		if got := window(in); got != tc.want {
			t.Errorf("window %q, scraped every %s: %s, want %s", tc.stated, tc.interval, got, tc.want)
		}
	}
}

// TestDemand is there where the backend is the adapter, and changes with the window.
func TestDemand(t *testing.T) {
	in := resourceInput()
	first, needed := New().Demand(in.Spec, in.Facts)
	in.Spec.ResourceMetrics.Window = "7m"
	second, _ := New().Demand(in.Spec, in.Facts)
	if !needed || len(first.Kinds) != 4 || first.Query == second.Query || !strings.Contains(second.Query, "[7m]") {
		t.Errorf("demands %+v, then %+v", first, second)
	}
	if _, needed := New().Demand(input().Spec, in.Facts); needed {
		t.Error("demands series although another backend serves")
	}
}
