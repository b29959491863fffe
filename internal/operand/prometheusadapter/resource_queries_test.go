// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"

	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Each series was scraped scrapes times, scrapeInterval apart, and queryWindow is the window of the queries.
const (
	scrapes        = 5
	scrapeInterval = 30 * time.Second
	queryWindow    = 2 * time.Minute
)

// queryTime is when queries are evaluated.
var queryTime = time.Unix(1_800_000_000, 0)

// store is what Prometheus has: series with what each grows by in a second, or, for one that does not grow, its value.
type store struct{ counters, gauges map[string]float64 }

// series of the store.
func (s store) series(t *testing.T) []storage.Series {
	t.Helper()
	var all []storage.Series
	add := func(metric string, at func(ago time.Duration) float64) {
		set, err := parser.NewParser(parser.Options{}).ParseMetric(metric)
		if err != nil {
			t.Fatal(err)
		}
		one := promql.Series{Metric: set}
		for i := range scrapes {
			ago := time.Duration(scrapes-1-i) * scrapeInterval
			one.Floats = append(one.Floats, promql.FPoint{T: queryTime.Add(-ago).UnixMilli(), F: at(ago)})
		}
		all = append(all, promql.NewStorageSeries(one))
	}
	for metric, growth := range s.counters {
		add(metric, func(ago time.Duration) float64 { return 1e6 - growth*ago.Seconds() })
	}
	for metric, value := range s.gauges {
		add(metric, func(time.Duration) float64 { return value })
	}
	return all
}

// selected is a storage.SeriesSet.
type selected struct {
	all []storage.Series
	at  int
}

func (s *selected) Next() bool                      { s.at++; return s.at <= len(s.all) }
func (s *selected) At() storage.Series              { return s.all[s.at-1] }
func (*selected) Err() error                        { return nil }
func (*selected) Warnings() annotations.Annotations { return nil }

// query evaluates a query with Prometheus' own engine, and returns the values by some labels.
func (s store) query(t *testing.T, query string, by ...string) map[string]float64 {
	t.Helper()
	stored := s.series(t)
	querier := &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		return &selected{all: slices.DeleteFunc(slices.Clone(stored), func(one storage.Series) bool {
			return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.Labels().Get(m.Name)) })
		})}
	}}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 20, Timeout: time.Minute})
	defer func() { _ = engine.Close() }()
	prepared, err := engine.NewInstantQuery(t.Context(), &storage.MockQueryable{MockQuerier: querier}, nil, query, queryTime)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer prepared.Close()
	vector, err := prepared.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	values := map[string]float64{}
	for _, sample := range vector {
		name := ""
		for i, label := range by {
			if i > 0 {
				name += "/"
			}
			name += sample.Metric.Get(label)
		}
		values[name] = sample.F
	}
	return values
}

// served is what the adapter answers from a store for pods of namespace shop, or for nodes, by the code that it builds queries with:
// "NAME cpu" and "NAME memory".
func (s store) served(t *testing.T, resource string, names ...string) map[string]float64 {
	t.Helper()
	return s.servedBy(t, resourceRules(queryWindow, false), resource, names...)
}

// servedBy is what it answers by these rules.
func (s store) servedBy(t *testing.T, configured *adapter.ResourceRules, resource string, names ...string) map[string]float64 {
	t.Helper()
	all, by, namespace, groups := map[string]float64{}, []string{"node"}, "", []string(nil)
	if resource == "pods" {
		by, namespace, groups = []string{"pod", "container"}, "shop", []string{"container"}
	}
	for what, rule := range map[string]adapter.ResourceRule{"cpu": configured.CPU, "memory": configured.Memory} {
		converter, err := naming.NewResourceConverter(rule.Resources.Template, rule.Resources.Overrides, operandtest.Mapper())
		if err != nil {
			t.Fatal(err)
		}
		template := rule.NodeQuery
		if resource == "pods" {
			template = rule.ContainerQuery
		}
		query, err := naming.NewMetricsQuery(template, converter)
		if err != nil {
			t.Fatal(err)
		}
		built, err := query.Build("", schema.GroupResource{Resource: resource}, namespace, groups, kubelabels.Everything(), names...)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range s.query(t, string(built), by...) {
			all[name+" "+what] = value
		}
	}
	return all
}

// stores have what exporters are known to give, under the labels that scrapes in use put on it.
var stores = map[string]store{
	"prometheus-operator scrapes cAdvisor": {
		counters: map[string]float64{
			`container_cpu_usage_seconds_total{id="/",node="n1",instance="10.0.0.1:10250",cpu="total"}`:                                   1.5,
			`container_cpu_usage_seconds_total{id="/",node="n2",instance="10.0.0.2:10250",cpu="total"}`:                                   0.5,
			`container_cpu_usage_seconds_total{id="/kubepods/a",node="n1",namespace="shop",pod="a",cpu="total"}`:                          9,
			`container_cpu_usage_seconds_total{id="/kubepods/a/0",node="n1",namespace="shop",pod="a",container="POD",cpu="total"}`:        8,
			`container_cpu_usage_seconds_total{id="/kubepods/a/1",node="n1",namespace="shop",pod="a",container="app",cpu="total"}`:        0.25,
			`container_cpu_usage_seconds_total{id="/kubepods/a/2",node="n1",namespace="shop",pod="a",container="side",cpu="total"}`:       0.125,
			`container_cpu_usage_seconds_total{id="/kubepods/a/1",node="n1",namespace="shop",pod="a",container="app",job="a second one"}`: 0.25,
			`container_cpu_usage_seconds_total{id="/kubepods/b/1",node="n2",namespace="other",pod="a",container="app",cpu="total"}`:       7,
		},
		gauges: map[string]float64{
			`container_memory_working_set_bytes{id="/",node="n1",instance="10.0.0.1:10250"}`:                             4e9,
			`container_memory_working_set_bytes{id="/",node="n2",instance="10.0.0.2:10250"}`:                             2e9,
			`container_memory_working_set_bytes{id="/kubepods/a",node="n1",namespace="shop",pod="a"}`:                    9e6,
			`container_memory_working_set_bytes{id="/kubepods/a/1",node="n1",namespace="shop",pod="a",container="app"}`:  5e6,
			`container_memory_working_set_bytes{id="/kubepods/a/2",node="n1",namespace="shop",pod="a",container="side"}`: 1e6,
			`container_memory_working_set_bytes{id="/kubepods/b/1",node="n2",namespace="other",pod="a",container="app"}`: 7e6,
			`node_memory_MemTotal_bytes{namespace="monitoring",pod="exporter-1",instance="n1",job="beside it"}`:          8e9,
			`node_memory_MemAvailable_bytes{namespace="monitoring",pod="exporter-1",instance="n1",job="beside it"}`:      1e9,
		},
	},
	"Prometheus discovers nodes": {
		counters: map[string]float64{
			`container_cpu_usage_seconds_total{id="/",instance="n1"}`:                                             1.5,
			`container_cpu_usage_seconds_total{id="/",instance="n2"}`:                                             0.5,
			`container_cpu_usage_seconds_total{id="/a/1",instance="n1",namespace="shop",pod="a",container="app"}`: 0.25,
		},
		gauges: map[string]float64{
			`container_memory_working_set_bytes{id="/",instance="n1"}`:                                             4e9,
			`container_memory_working_set_bytes{id="/",instance="n2"}`:                                             2e9,
			`container_memory_working_set_bytes{id="/a/1",instance="n1",namespace="shop",pod="a",container="app"}`: 5e6,
		},
	},
	"the kubelet's /metrics/resource": {
		counters: map[string]float64{
			`node_cpu_usage_seconds_total{node="n1"}`: 1.5, `node_cpu_usage_seconds_total{instance="n2"}`: 0.5,
			`container_cpu_usage_seconds_total{node="n1",namespace="shop",pod="a",container="app"}`: 0.25,
		},
		gauges: map[string]float64{
			`node_memory_working_set_bytes{node="n1"}`: 4e9, `node_memory_working_set_bytes{instance="n2"}`: 2e9,
			`container_memory_working_set_bytes{node="n1",namespace="shop",pod="a",container="app"}`: 5e6,
		},
	},
	// kube-prometheus-stack drops the series of cAdvisor without a pod.
	"node-exporter, known by its pods": {
		counters: map[string]float64{
			`node_cpu_seconds_total{cpu="0",mode="user",namespace="monitoring",pod="e1",instance="10.0.0.1:9100"}`:   1,
			`node_cpu_seconds_total{cpu="1",mode="system",namespace="monitoring",pod="e1",instance="10.0.0.1:9100"}`: 0.5,
			`node_cpu_seconds_total{cpu="1",mode="idle",namespace="monitoring",pod="e1",instance="10.0.0.1:9100"}`:   0.5,
			`node_cpu_seconds_total{cpu="1",mode="iowait",namespace="monitoring",pod="e1",instance="10.0.0.1:9100"}`: 0.5,
			`node_cpu_seconds_total{cpu="0",mode="user",namespace="monitoring",pod="e2",instance="n2"}`:              0.5,
			`container_cpu_usage_seconds_total{node="n1",namespace="shop",pod="a",container="app"}`:                  0.25,
		},
		gauges: map[string]float64{
			`kube_pod_info{created_by_kind="StatefulSet",namespace="shop",pod="a-0",node="n1"}`:        1,
			`kube_pod_info{created_by_kind="StatefulSet",namespace="shop",pod="a-0",node="n2"}`:        1,
			`kube_pod_info{created_by_kind="DaemonSet",namespace="monitoring",pod="e1",node="n1"}`:     1,
			`node_memory_MemTotal_bytes{namespace="monitoring",pod="e1",instance="10.0.0.1:9100"}`:     8e9,
			`node_memory_MemAvailable_bytes{namespace="monitoring",pod="e1",instance="10.0.0.1:9100"}`: 4e9,
			`node_memory_MemTotal_bytes{namespace="monitoring",pod="e2",instance="n2"}`:                3e9,
			`node_memory_MemAvailable_bytes{namespace="monitoring",pod="e2",instance="n2"}`:            1e9,
			`container_memory_working_set_bytes{node="n1",namespace="shop",pod="a",container="app"}`:   5e6,
			`container_memory_working_set_bytes{node="n1",namespace="shop",pod="a",container=""}`:      6e6,
		},
	},
	"windows-exporter, a new and an old one": {
		counters: map[string]float64{
			`windows_cpu_time_total{core="0,0",mode="user",namespace="monitoring",pod="w1",instance="10.0.0.1:9182"}`:  1,
			`windows_cpu_time_total{core="0,1",mode="user",namespace="monitoring",pod="w1",instance="10.0.0.1:9182"}`:  0.5,
			`windows_cpu_time_total{core="0,1",mode="idle",namespace="monitoring",pod="w1",instance="10.0.0.1:9182"}`:  0.5,
			`windows_cpu_time_total{core="0,0",mode="privileged",instance="n2"}`:                                       0.5,
			`windows_container_cpu_usage_seconds_total{container_id="containerd://1",namespace="monitoring",pod="w1"}`: 0.25,
			`windows_container_cpu_usage_seconds_total{container_id="containerd://2",namespace="monitoring",pod="w1"}`: 7,
		},
		gauges: map[string]float64{
			`kube_pod_info{created_by_kind="DaemonSet",namespace="monitoring",pod="w1",node="n1"}`:             1,
			`kube_pod_container_info{container_id="containerd://1",namespace="shop",pod="a",container="app"}`:  1,
			`kube_pod_container_info{container_id="containerd://2",namespace="other",pod="a",container="app"}`: 1,
			`kube_pod_container_info{container_id="",namespace="shop",pod="a",container="starting"}`:           1,
			`windows_memory_physical_total_bytes{namespace="monitoring",pod="w1",instance="10.0.0.1:9182"}`:    8e9,
			`windows_memory_available_bytes{namespace="monitoring",pod="w1",instance="10.0.0.1:9182"}`:         4e9,
			`windows_cs_physical_memory_bytes{instance="n2"}`:                                                  3e9,
			`windows_memory_available_bytes{instance="n2"}`:                                                    1e9,
			`windows_container_memory_usage_private_working_set_bytes{container_id="containerd://1",pod="w1"}`: 5e6,
			`windows_container_memory_usage_private_working_set_bytes{container_id="containerd://2",pod="w1"}`: 7e6,
		},
	},
}

// TestResourceQueries on series as exporters give them, with Prometheus' own engine and the adapter's own code: what is served of two nodes and
// of a pod is the same from each store, and each store meets the demand.
func TestResourceQueries(t *testing.T) {
	nodes := map[string]float64{"n1 cpu": 1.5, "n2 cpu": 0.5, "n1 memory": 4e9, "n2 memory": 2e9}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			near := cmpopts.EquateApprox(0, 1e-6)
			if diff := cmp.Diff(nodes, store.served(t, "nodes", "n1", "n2"), near); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]float64{"n2 cpu": 0.5, "n2 memory": 2e9}, store.served(t, "nodes", "n2"), near); diff != "" {
				t.Errorf("one node (-want +got):\n%s", diff)
			}
			want := map[string]float64{"a/app cpu": 0.25, "a/app memory": 5e6}
			if name == "prometheus-operator scrapes cAdvisor" {
				want["a/side cpu"], want["a/side memory"] = 0.125, 1e6
			}
			if diff := cmp.Diff(want, store.served(t, "pods", "a", "b"), near); diff != "" {
				t.Errorf("containers (-want +got):\n%s", diff)
			}
			wanted := demand(queryWindow, false)
			got := store.query(t, wanted.Query, prometheus.KindLabel)
			for _, kind := range wanted.Kinds {
				if got[kind] < 1 {
					t.Errorf("the demand finds no %s: %v", kind, got)
				}
			}
		})
	}
}

// TestNodesCannotBeForged: an annotated app may expose any series, with any label but the job and the namespace of its monitor, and a
// foreign monitor may choose the job until it is deleted. In the Prometheus that the operator runs none of them is what a node uses, and
// none meets the demand.
func TestNodesCannotBeForged(t *testing.T) {
	forged := store{counters: map[string]float64{}, gauges: map[string]float64{}}
	for _, of := range []string{`id="/",node="n1"`, `id="/",instance="n1"`, `node="n1",mode="user"`, `instance="n1",mode="user"`} {
		for _, by := range []string{`job="shop/app",namespace="shop"`, `job="` + prometheus.ResourceJob + `",namespace="shop"`, `job="shop/app"`} {
			labels := `{` + of + `,` + by + `,pod="a"}`
			for _, name := range []string{"container_cpu_usage_seconds_total", "node_cpu_usage_seconds_total", "node_cpu_seconds_total"} {
				forged.counters[name+labels] = 99
			}
			for _, name := range []string{"container_memory_working_set_bytes", "node_memory_working_set_bytes", "node_memory_MemTotal_bytes"} {
				forged.gauges[name+labels] = 99e9
			}
		}
	}
	rules := resourceRules(queryWindow, true)
	if got := forged.servedBy(t, rules, "nodes", "n1", "n2"); len(got) > 0 {
		t.Errorf("an app says of nodes %v", got)
	}
	if got := forged.query(t, demand(queryWindow, true).Query, prometheus.KindLabel); got[nodeCPU]+got[nodeMemory] > 0 {
		t.Errorf("an app meets the demand: %v", got)
	}
	ofKubelet := `{node="n1",job="` + prometheus.ResourceJob + `"}`
	forged.counters["node_cpu_usage_seconds_total"+ofKubelet], forged.gauges["node_memory_working_set_bytes"+ofKubelet] = 1.5, 4e9
	want := map[string]float64{"n1 cpu": 1.5, "n1 memory": 4e9}
	if diff := cmp.Diff(want, forged.servedBy(t, rules, "nodes", "n1", "n2"), cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("beside the kubelet (-want +got):\n%s", diff)
	}
	if got := forged.query(t, demand(queryWindow, true).Query, prometheus.KindLabel); got[nodeCPU] != 1 || got[nodeMemory] != 1 {
		t.Errorf("the kubelet does not meet the demand: %v", got)
	}
}

// TestDemandIsNotMet where series are missing, or name no Node.
func TestDemandIsNotMet(t *testing.T) {
	for name, tc := range map[string]struct {
		store store
		want  map[string]float64
	}{
		"nothing": {store{}, map[string]float64{}},
		"an instance that names no Node": {store{gauges: map[string]float64{
			`container_memory_working_set_bytes{id="/",instance="10.0.0.1:10250"}`: 1}}, map[string]float64{}},
		"containers without namespaces": {store{gauges: map[string]float64{
			`container_memory_working_set_bytes{id="/a",name="docker",container="app"}`: 1}}, map[string]float64{}},
		"memory alone": {store{gauges: map[string]float64{
			`container_memory_working_set_bytes{id="/",node="n1"}`: 1, `container_memory_working_set_bytes{namespace="a",pod="b",container="c"}`: 1,
			`container_memory_working_set_bytes{namespace="a",pod="b",container="d"}`: 1}},
			map[string]float64{containerMemory: 2, nodeMemory: 1}},
	} {
		if diff := cmp.Diff(tc.want, tc.store.query(t, demand(queryWindow, false).Query, prometheus.KindLabel)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
