// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

func TestCustomRulesThatWork(t *testing.T) {
	for name, rule := range map[string]v1alpha1.CustomMetricRule{
		"requests per second of a pod": requests(),
		"a counter under its own name": requests(named("", "")),
		"one group names it":           requests(named("^(.*)_total$", "")),
		"all kinds of groups":          requests(named("^(?P<what>.*)_(total)$", "${0}_of_${what}_${2}$$")),
		"several groups with a name":   requests(named("^(http)_(requests)_total$", "${1}_${2}")),
		"containers of the kubelet, without the pause containers": requests(
			selecting(`{__name__=~"^container_.*",container!="POD",namespace!="",pod!=""}`),
			filtering(v1alpha1.SeriesFilter{IsNot: "^container_.*_seconds_total$"}, v1alpha1.SeriesFilter{Is: "_total$"}),
			named("^container_(.*)_total$", "")),
		"a gauge of a node": requests(
			selecting(`node_load1{node!=""}`), overriding(toLabels("node=node")), named("", ""),
			querying(`avg(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`)),
		"a gauge of a namespace":          requests(selecting("tenant_users"), overriding(toLabels("namespace=namespaces")), named("", "")),
		"of an Ingress, by another label": requests(overriding(toLabels("exported_namespace=namespace", "ingress=ingress.networking.k8s.io"))),
		"of a Deployment":                 requests(overriding(toLabels("namespace=namespace", "deployment=deployments.apps"))),
		"of a Service and its pods":       requests(overriding(toLabels("namespace=namespace", "pod=pod", "service=service"))),
		"of a kind that is young":         requests(overriding(toLabels("namespace=namespace", "widget=widgets.example.com"))),
		"every rate, whatever the object": requests(selecting(`{namespace!="",__name__!~"^container_.*"}`),
			filtering(v1alpha1.SeriesFilter{IsNot: ".*_seconds_total"}), templated("<<.Resource>>"), named("^(.*)_total$", "")),
		"labels by a template":       requests(templating("kube_<<.Group>>_<<.Resource>>")),
		"labels by a template alone": requests(templating("<<.Resource>>")),
		"a template beside an override": requests(templating("<<.Resource>>"), func(r *v1alpha1.CustomMetricRule) {
			r.Resources.Overrides = toLabels("exported_namespace=namespace")
		}),
		"latency at the 95th percentile": requests(selecting(`http_request_duration_seconds_bucket{namespace!="",pod!=""}`),
			named("^(.*)_bucket$", "${1}_p95"),
			querying(`histogram_quantile(0.95, sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (le, <<.GroupBy>>))`)),
		"a share of a limit": requests(named("", ""), querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>) / `+
			`sum(kube_pod_container_resource_limits{<<.LabelMatchers>>,resource="memory"}) by (<<.GroupBy>>)`)),
		"the namespace inside of a matcher": requests(querying(`sum(x{ns="<<index .LabelValuesByName "namespace">>"}) by (pod)`)),
		"groups one by one": requests(
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<range .GroupBySlice>><<.>>,<<end>> app)`)),
		"a bare selector": requests(querying(`<<.Series>>{<<.LabelMatchers>>}`)),
		"a function that a feature flag turns on": requests(querying(
			`sum(mad_over_time(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)`)),
		"several lines, with joins": requests(mapped("namespace=namespace", "workload=deployment"), named("requests", "load"), querying(`
			label_replace(
			  sum(<<.Series>>{<<.LabelMatchers>>, queue=~".+", queue!~".*-old"}) by (<<.GroupBy>>, queue), "key", "$1", "queue", "(.+)"
			) * on (key) group_left () label_replace(vector(1), "key", "orders", "", "")`)),
		"a resource without its group": requests(mapped("namespace=namespace", "widget=widget")),
		"a subquery":                   requests(querying(`max_over_time(rate(<<.Series>>{<<.LabelMatchers>>}[2m])[10m:1m])`)),
	} {
		t.Run(name, func(t *testing.T) {
			if reason := check(t, customSpec(rule)); reason != "" {
				t.Fatalf("rejected: %s", reason)
			}
			expectDefect(t, found(t, customSpec(rule)), nil)
		})
	}
}

func TestCustomRulesThatDoNot(t *testing.T) {
	for name, tc := range map[string]struct {
		rule v1alpha1.CustomMetricRule
		says []string
	}{
		"no PromQL as seriesQuery": {requests(selecting(`http_requests_total{namespace!=""`)),
			[]string{"seriesQuery", "is not a series selector"}},
		"a function in seriesQuery": {requests(selecting(`rate(http_requests_total[2m])`)),
			[]string{"seriesQuery", "instant vector", "metricsQuery"}},
		"a range in seriesQuery":  {requests(selecting(`http_requests_total[2m]`)), []string{"seriesQuery", "range vector"}},
		"a number as seriesQuery": {requests(selecting(`1`)), []string{"seriesQuery", "scalar"}},
		"two selectors in seriesQuery": {requests(selecting(`up or http_requests_total`)),
			[]string{"seriesQuery", "is not a series selector"}},
		"every series":                 {requests(selecting(`{}`)), []string{"seriesQuery", "non-empty matcher"}},
		"every series by a pattern":    {requests(selecting(`{__name__=~".*"}`)), []string{"seriesQuery", "non-empty matcher"}},
		"an offset in seriesQuery":     {requests(selecting(`up offset 5m`)), []string{"seriesQuery", "offset"}},
		"a time in seriesQuery":        {requests(selecting(`up @ 1700000000`)), []string{"seriesQuery", "@ modifier"}},
		"a start in seriesQuery":       {requests(selecting(`up @ start()`)), []string{"seriesQuery", "@ modifier"}},
		"a bad pattern in seriesQuery": {requests(selecting(`up{pod=~"("}`)), []string{"seriesQuery", "missing closing )"}},
		"a bad regular expression":     {requests(named("^(.*_total$", "")), []string{"missing closing )", "^(.*_total$"}},
		"a lookahead":                  {requests(named("^(?!container).*$", "")), []string{"invalid or unsupported Perl syntax"}},
		"a name by a missing group":    {requests(named("^(.*)_total$", "$2")), []string{"name.as", `no group "2"`}},
		"a name that runs into a group": {requests(named("^(.*)_total$", "$1_per_second")),
			[]string{"name.as", `no group "1_per_second"`, "${1}_per_second"}},
		"several groups and no name": {requests(named("^(.*)_(.*)$", "")), []string{"'as'", "^(.*)_(.*)$"}},
		"a bad filter": {requests(filtering(v1alpha1.SeriesFilter{Is: "["})),
			[]string{"series filter", "missing closing ]"}},
		"a filter that says nothing":       {requests(filtering(v1alpha1.SeriesFilter{})), []string{"filter"}},
		"a filter that says both":          {requests(filtering(v1alpha1.SeriesFilter{Is: "a", IsNot: "b"})), []string{"filter"}},
		"a bad template":                   {requests(templating("kube_<<.Resource")), []string{"template", "kube_<<.Resource"}},
		"an unknown field in a template":   {requests(templating("<<.Kind>>_<<.Resource>>")), []string{"template", "Kind"}},
		"a template without a resource":    {requests(templating("kube_<<.Group>>")), []string{"template", ".Resource"}},
		"a template that is no label":      {requests(templating("kube-<<.Resource>>")), []string{"metricsQuery"}},
		"a bad metricsQuery template":      {requests(querying(`sum(<<.Series)`)), []string{"is no template", "sum(<<.Series)"}},
		"an unknown field in metricsQuery": {requests(querying(`sum(<<.Metric>>)`)), []string{"metricsQuery", "Metric"}},
		"no PromQL as metricsQuery": {requests(querying(`sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m]) by (<<.GroupBy>>)`)),
			[]string{"metricsQuery", "is not PromQL", "http_requests_total{"}},
		"a range vector": {requests(querying(`<<.Series>>{<<.LabelMatchers>>}[2m]`)), []string{"range vector", "rate("}},
		"a number":       {requests(querying(`42`)), []string{"scalar", "instant vector"}},
		"a string":       {requests(querying(`"42"`)), []string{"string"}},
		"an empty query": {requests(querying(`<<if false>>x<<end>>`)), []string{"metricsQuery", "empty query"}},
		"a query that panics": {requests(querying(`sum(x{a="<<index .GroupBySlice 7>>"})`)),
			[]string{"metricsQuery", "out of range"}},
		"delimiters of Go":              {requests(querying(`sum({{.Series}}{ {{.LabelMatchers}} })`)), []string{"is not PromQL"}},
		"an unknown resource":           {requests(leading("gadget", "", "gadgets")), []string{"resources.overrides[gadget]", `"gadgets"`}},
		"a resource in the wrong group": {requests(leading("d", "extensions", "deployments")), []string{`"deployments"`, `"extensions"`}},
		"a pod and no namespace":        {requests(leading("pod", "", "pod")), []string{"pods", "namespace", "override"}},
		"a label that is none":          {requests(leading("kubernetes node", "", "node")), []string{"metricsQuery"}},
		"neither template nor override": {requests(overriding(nil)), []string{"resources needs a template or an override"}},
	} {
		t.Run(name, func(t *testing.T) { expectRejected(t, customSpec(tc.rule), tc.says) })
	}
}

func expectRejected(t *testing.T, spec v1alpha1.MetricsPipelineSpec, says []string) {
	t.Helper()
	reason := check(t, spec)
	if reason == "" {
		t.Fatal("accepted")
	}
	for _, part := range says {
		if !strings.Contains(reason, part) {
			t.Errorf("%q does not say %q", reason, part)
		}
	}
}

func TestExternalRules(t *testing.T) {
	unbound := func(r *v1alpha1.ExternalMetricRule) {
		r.Resources = v1alpha1.ExternalResourceMapping{Namespaced: ptr.To(false)}
	}
	query := func(query string) func(*v1alpha1.ExternalMetricRule) {
		return func(r *v1alpha1.ExternalMetricRule) { r.MetricsQuery = query }
	}
	for name, tc := range map[string]struct {
		rule v1alpha1.ExternalMetricRule
		says []string
	}{
		"of a namespace": {rule: depth()},
		"of none":        {rule: depth(unbound)},
		"one number":     {rule: depth(query(`scalar(sum(<<.Series>>{<<.LabelMatchers>>}))`))},
		"by a template": {rule: depth(func(r *v1alpha1.ExternalMetricRule) {
			r.Resources = v1alpha1.ExternalResourceMapping{Template: "kube_<<.Resource>>"}
		})},
		"without a label for the namespace": {
			rule: depth(func(r *v1alpha1.ExternalMetricRule) { r.Resources = v1alpha1.ExternalResourceMapping{} }),
			says: []string{"an external metric is requested in a namespace", "resources.namespaced: false"}},
		"with a label for something else": {
			rule: depth(func(r *v1alpha1.ExternalMetricRule) {
				r.Resources.Overrides = map[string]v1alpha1.GroupResource{"service": {Resource: "service"}}
			}),
			says: []string{"an external metric is requested in a namespace"}},
		"of an unknown resource": {
			rule: depth(func(r *v1alpha1.ExternalMetricRule) {
				r.Resources.Overrides = map[string]v1alpha1.GroupResource{"queue": {Resource: "queue"}}
			}),
			says: []string{"resources.overrides[queue]"}},
		"no PromQL":      {rule: depth(query(`sum(`)), says: []string{"is not PromQL"}},
		"a range vector": {rule: depth(query(`<<.Series>>{<<.LabelMatchers>>}[1m]`)), says: []string{"range vector"}},
		"a group, of which an external metric has none": {
			rule: depth(query(`sum(x) by (<<index .GroupBySlice 0>>)`)), says: []string{"metricsQuery", "out of range"}},
		"a function in seriesQuery": {
			rule: depth(func(r *v1alpha1.ExternalMetricRule) { r.SeriesQuery = "sum(queue_depth)" }), says: []string{"seriesQuery"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.says != nil {
				expectRejected(t, externalSpec(tc.rule), tc.says)
			} else if reason := check(t, externalSpec(tc.rule)); reason != "" {
				t.Errorf("rejected: %s", reason)
			} else {
				expectDefect(t, found(t, externalSpec(tc.rule)), nil)
			}
		})
	}
}

// TestOf names each rule by its API and id, in the order of the spec.
func TestOf(t *testing.T) {
	spec := customSpec(requests(), requests())
	spec.CustomMetrics.Rules[0].ID, spec.CustomMetrics.Rules[1].ID = "one", "two"
	spec.ExternalMetrics = externalSpec(depth()).ExternalMetrics
	spec.ExternalMetrics.Rules[0].ID = "one"
	var got []string
	for _, rule := range Of(spec) {
		got = append(got, rule.API+" "+rule.ID)
	}
	want := []string{"custom.metrics.k8s.io one", "custom.metrics.k8s.io two", "external.metrics.k8s.io one"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// TestRulesSurviveBeingStored: a rule is stored as JSON until it serves again as the last good one.
func TestRulesSurviveBeingStored(t *testing.T) {
	spec := customSpec(requests(filtering(v1alpha1.SeriesFilter{Is: "^http"})), requests(templating("kube_<<.Resource>>")))
	spec.ExternalMetrics = externalSpec(depth(func(r *v1alpha1.ExternalMetricRule) { r.Resources.Namespaced = ptr.To(false) })).ExternalMetrics
	stored, err := json.Marshal(Of(spec))
	if err != nil {
		t.Fatal(err)
	}
	var read []Rule
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Of(spec), read); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// TestConfigurationKeepsEveryField on its way through YAML: no rule that runs may differ from the one that was checked.
func TestConfigurationKeepsEveryField(t *testing.T) {
	rule := requests(
		filtering(v1alpha1.SeriesFilter{Is: "^http: #.*"}, v1alpha1.SeriesFilter{IsNot: `'"\d`}),
		querying("sum(\n  <<.Series>>{<<.LabelMatchers>>} # requests\n) by (<<.GroupBy>>)\n"))
	outside := depth(func(r *v1alpha1.ExternalMetricRule) { r.Resources.Namespaced = ptr.To(false) })
	spec := customSpec(rule)
	spec.ExternalMetrics = externalSpec(outside).ExternalMetrics
	mapper := operandtest.Mapper()
	for _, rule := range Of(spec) {
		if _, err := rule.Check(mapper, v1alpha1.DialectPromQL); err != nil {
			t.Fatal(err)
		}
	}
	want := &adapter.MetricsDiscoveryConfig{
		Rules: []adapter.DiscoveryRule{{
			SeriesQuery:   rule.SeriesQuery,
			SeriesFilters: []adapter.RegexFilter{{Is: "^http: #.*"}, {IsNot: `'"\d`}},
			Resources: adapter.ResourceMapping{Overrides: map[string]adapter.GroupResource{
				"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}},
			Name:         adapter.NameMapping{Matches: "^(.*)_total$", As: "${1}_per_second"},
			MetricsQuery: rule.MetricsQuery,
		}},
		ExternalRules: []adapter.DiscoveryRule{{
			SeriesQuery: outside.SeriesQuery,
			Resources: adapter.ResourceMapping{
				Overrides: map[string]adapter.GroupResource{"namespace": {Resource: "namespace"}}, Namespaced: ptr.To(false)},
			MetricsQuery: outside.MetricsQuery,
		}},
	}
	if diff := cmp.Diff(want, loads(t, Of(spec), mapper)); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestNoRules(t *testing.T) {
	none := Of(v1alpha1.MetricsPipelineSpec{})
	if len(none) != 0 {
		t.Errorf("%+v", none)
	}
	loads(t, none, operandtest.Mapper())
}
