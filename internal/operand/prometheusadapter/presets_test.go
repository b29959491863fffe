// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/api/meta"
	kubelabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/prometheus-adapter/pkg/client"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
	"github.com/metricspipeline/operator/internal/presets"
)

// gatewayMapper knows the kinds of a cluster with Gateway API.
func gatewayMapper() meta.RESTMapper {
	mapper := operandtest.Mapper()
	mapper.Add(schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}, meta.RESTScopeNamespace)
	return mapper
}

// scraped is what Prometheus has of an exposition that counts the requests of queryWindow, from a target with these labels: like
// Prometheus without honorLabels it moves an exposed label of the same name out of the way.
func scraped(t *testing.T, exposition string, target map[string]string) map[string]float64 {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "presets", exposition))
	if err != nil {
		t.Fatal(err)
	}
	text := expfmt.NewTextParser(model.UTF8Validation)
	families, err := text.TextToMetricFamilies(strings.NewReader(string(content)))
	if err != nil {
		t.Fatalf("%s: %v", exposition, err)
	}
	counters := map[string]float64{}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			all := maps.Clone(target)
			for _, pair := range metric.GetLabel() {
				label := pair.GetName()
				if _, taken := target[label]; taken {
					label = model.ExportedLabelPrefix + label
				}
				all[label] = pair.GetValue()
			}
			all[model.MetricNameLabel] = name
			set := labels.FromMap(all)
			counters[set.String()] = metric.GetCounter().GetValue() / queryWindow.Seconds()
		}
	}
	return counters
}

// presetQuery is what the adapter sends by a preset for an HPA's object; empty where it sends nothing.
func presetQuery(t *testing.T, p presets.Preset, namespace, name, selector string) string {
	t.Helper()
	namer := presetNamer(t, p)
	parsed, err := kubelabels.Parse(selector)
	if err != nil {
		t.Fatal(err)
	}
	query, err := namer.QueryForSeries(p.Series, schema.GroupResource{Group: p.Object.Group, Resource: p.Object.Resource}, namespace, parsed, name)
	if err != nil {
		return ""
	}
	return string(query)
}

func presetRule(p presets.Preset) rules.Rule {
	spec := v1alpha1.MetricsPipelineSpec{}
	spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{p.Rule(p.Namespace, "", queryWindow)}
	return rules.Of(spec)[0]
}

func presetNamer(t *testing.T, p presets.Preset) naming.MetricNamer {
	t.Helper()
	namers, err := naming.NamersFromConfig([]adapter.DiscoveryRule{presetRule(p).Discovery}, gatewayMapper())
	if err != nil {
		t.Fatal(err)
	}
	return namers[0]
}

// TestPresetsAreAccepted: the operator finds nothing wrong with a preset's rule.
func TestPresetsAreAccepted(t *testing.T) {
	for _, p := range presets.All {
		found, err := presetRule(p).Check(gatewayMapper(), v1alpha1.DialectPromQL)
		if err != nil || len(found.Defects) > 0 || found.Note != "" {
			t.Errorf("%s: %v %q %q", p.Name, err, found.Defects, found.Note)
		}
		series := map[string]int64{}
		for _, selector := range found.Selectors() {
			series[selector] = 5
		}
		if verdict := found.Verdict(series); len(verdict.Defects) > 0 {
			t.Errorf("%s with series: %q", p.Name, verdict.Defects)
		}
	}
}

// TestPresets: from the exposition of a controller to the rate of an object, by the adapter's own code and Prometheus' own engine. An app
// of another namespace exposes the same series, a hundredfold.
func TestPresets(t *testing.T) {
	// By a ServiceMonitor, and by a PodMonitor.
	endpoints := map[string]string{"pod": "controller-0", "service": "controller-metrics", "job": "controller", "instance": "10.0.0.9:9100"}
	pod := map[string]string{"pod": "controller-0", "job": "controller", "instance": "10.0.0.9:9100"}
	want := map[string]map[string]float64{ // Each as NAMESPACE/NAME.
		"envoy-gateway":   {"shop/web": 4, "shop/web-api": 0.2, "bank/web": 10},
		"haproxy":         {"shop/web": 4, "shop/web-api": 0.2, "bank/web": 10},
		"haproxy-ingress": {"shop/web": 4, "shop/web-api": 0.2, "bank/web": 10},
		"ingress-nginx":   {"shop/web": 4, "shop/web-admin": 0.1, "bank/web": 10},
		"istio":           {"shop/web": 4, "shop/web-api": 0.2, "bank/web": 10},
		"traefik":         {"shop/web": 4.1, "shop/web-api": 0.2, "bank/web": 10},
	}
	for _, p := range presets.All {
		for by, target := range map[string]map[string]string{"ServiceMonitor": endpoints, "PodMonitor": pod} {
			t.Run(p.Name+" by a "+by, func(t *testing.T) {
				target := maps.Clone(target)
				target["namespace"] = p.Namespace
				prometheus := store{counters: scraped(t, p.Name+".txt", target)}
				discovered(t, p, prometheus)
				target["namespace"], target["pod"] = "evil", "forger-0"
				for series, rate := range scraped(t, p.Name+".txt", target) {
					prometheus.counters[series] = 100 * rate
				}
				got := map[string]float64{}
				for _, namespace := range []string{"shop", "bank", "evil", "web", p.Namespace} {
					for _, name := range []string{"web", "web-api", "web-admin", "api"} {
						for by, value := range prometheus.query(t, presetQuery(t, p, namespace, name, ""), p.ObjectLabel) {
							if by != name {
								t.Errorf("the value of %s/%s is that of %q", namespace, name, by)
							}
							got[namespace+"/"+name] = value
						}
					}
				}
				if diff := cmp.Diff(want[p.Name], got, cmpopts.EquateApprox(1e-6, 0)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

// discovered demands that the adapter finds the metric of the object's kind among the series of a controller.
func discovered(t *testing.T, p presets.Preset, prometheus store) {
	t.Helper()
	namer := presetNamer(t, p)
	selector, err := parser.NewParser(parser.Options{}).ParseExpr(string(namer.Selector()))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for text := range prometheus.counters {
		set, err := parser.NewParser(parser.Options{}).ParseMetric(text)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(selector.(*parser.VectorSelector).LabelMatchers, func(m *labels.Matcher) bool { return !m.Matches(set.Get(m.Name)) }) {
			continue
		}
		series := client.Series{Name: set.Get(model.MetricNameLabel), Labels: model.LabelSet{}}
		set.Range(func(l labels.Label) { series.Labels[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
		resources, namespaced := namer.ResourcesForSeries(series)
		metric, err := namer.MetricNameForSeries(series)
		found = found || namespaced && err == nil && metric == p.Metric &&
			slices.Contains(resources, schema.GroupResource{Group: p.Object.Group, Resource: p.Object.Resource})
	}
	if !found {
		t.Errorf("the adapter finds no metric %s of %s", p.Metric, p.Object.Resource)
	}
}

// TestPresetsOfHostileHPAs: what an HPA names never becomes more than the name of an object in its namespace.
func TestPresetsOfHostileHPAs(t *testing.T) {
	for _, p := range presets.All {
		prometheus := store{counters: scraped(t, p.Name+".txt", map[string]string{"namespace": p.Namespace, "pod": "controller-0"})}
		for _, name := range []string{
			".*", ".+", "we.", "web|web-api", "(web|api)", "[a-z-]+", `web\E.*`, `\Qweb`, `web"} or {namespace="bank`, "$1", "web$", "web ", "we%62",
			"web-80@kubernetes|bank-web", "web/rule/0|httproute/bank/web", "web_http|bank_svc_web", "",
		} {
			if query := presetQuery(t, p, "shop", name, ""); query != "" {
				if got := prometheus.query(t, query, p.ObjectLabel); len(got) > 0 {
					t.Errorf("%s gives %v for %q by %s", p.Name, got, name, query)
				}
			}
		}
		for _, selector := range []string{"method=GET", "namespace=bank", "namespace in (shop,bank)", p.ObjectLabel + "=web-api", "!x"} {
			query := presetQuery(t, p, "shop", "web", selector)
			if query == "" {
				continue // It is refused.
			}
			if p.Within != "" {
				t.Errorf("%s ignores the selector %s by %s", p.Name, selector, query)
			}
			for name, value := range prometheus.query(t, query, p.ObjectLabel) {
				if name != "web" || value > 4.01 {
					t.Errorf("%s gives %g of %q for the selector %s", p.Name, value, name, selector)
				}
			}
		}
		if query := presetQuery(t, p, "shop", "web", ""); len(prometheus.query(t, query, p.ObjectLabel)) != 1 {
			t.Errorf("%s gives nothing by %s, so the cases prove nothing", p.Name, query)
		}
	}
}

// TestPresetsTellNamespacesApart: Service c-d of namespace a and Service d of namespace a-c are two, but for Traefik, which itself takes
// them for one.
func TestPresetsTellNamespacesApart(t *testing.T) {
	value := map[string]func(namespace, name string) string{
		"envoy-gateway":   func(namespace, name string) string { return "httproute/" + namespace + "/" + name + "/rule/0" },
		"haproxy":         func(namespace, name string) string { return namespace + "_svc_" + name + "_http" },
		"haproxy-ingress": func(namespace, name string) string { return namespace + "_" + name + "_8080" },
		"traefik":         func(namespace, name string) string { return namespace + "-" + name + "-80@kubernetes" },
	}
	for _, p := range presets.All {
		if p.Within == "" {
			continue // Two labels cannot be taken for each other.
		}
		prometheus := store{counters: map[string]float64{
			labels.FromStrings(model.MetricNameLabel, p.Series, "namespace", p.Namespace, p.ObjectLabel, value[p.Name]("a-c", "d")).String(): 7,
		}}
		own := prometheus.query(t, presetQuery(t, p, "a-c", "d", ""), p.ObjectLabel)
		other := prometheus.query(t, presetQuery(t, p, "a", "c-d", ""), p.ObjectLabel)
		if len(own) != 1 || len(other) > 0 != (p.Name == "traefik") {
			t.Errorf("%s gives %v for the object, and %v for the one of another namespace", p.Name, own, other)
		}
		if said := strings.Contains(strings.Join(p.Notes, " "), "Service c-d of namespace a and Service d of namespace a-c"); said != (len(other) > 0) {
			t.Errorf("%s: the notes say it: %t", p.Name, said)
		}
	}
}
