// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

func TestInverse(t *testing.T) {
	for name, test := range map[string]struct {
		matches, as, metric string
		names               []string
		impossible          bool
	}{
		"the series' own name":             {metric: "queue", names: []string{"queue"}},
		"a suffix becomes another":         {matches: "^(.*)_total$", as: "${1}_per_second", metric: "a_per_second", names: []string{"a_total"}},
		"another suffix than that":         {matches: "^(.*)_total$", as: "${1}_per_second", metric: "a_qps", impossible: true},
		"one group is the name":            {matches: "^container_(.*)_seconds_total$", metric: "cpu", names: []string{"container_cpu_seconds_total"}},
		"no group is the whole name":       {matches: "^a_.*$", metric: "a_b", names: []string{"a_b"}},
		"one name of two":                  {matches: "^(.*)_(?:total|count)$", metric: "a", names: []string{"a_total", "a_count"}},
		"a part that may be left out":      {matches: "^(.*?)(?:_seconds)?_total$", as: "$1", metric: "a", names: []string{"a_total", "a_seconds_total"}},
		"two groups":                       {matches: "^(.*)_of_(.*)$", as: "${2}_${1}", metric: "b_a", names: []string{"a_of_b"}},
		"a named group":                    {matches: "^(?P<what>.*)_total$", as: "${what}", metric: "a", names: []string{"a_total"}},
		"a fixed name of any series":       {matches: "^http_.*$", as: "requests", metric: "requests"},
		"a fixed name, and another metric": {matches: "^http_.*$", as: "requests", metric: "queue", impossible: true},
		"a group that does not exist":      {matches: "^a$", as: "${7}x", metric: "x", names: []string{"a"}},
		"a dollar":                         {matches: "^a$", as: "$$1", metric: "$1", names: []string{"a"}},
		"any digit":                        {matches: "^(.*)_[0-9]$", metric: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			inverse, err := inverseOf(adapter.NameMapping{Matches: test.matches, As: test.as})
			if err != nil {
				t.Fatal(err)
			}
			if inverse.could(test.metric) == test.impossible {
				t.Errorf("could = %t", !test.impossible)
			}
			if diff := cmp.Diff(test.names, inverse.names(test.metric), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMakeByQuery: where one label has the names of the namespace and the object, no label finds the series of a namespace.
func TestMakeByQuery(t *testing.T) {
	for name, test := range map[string]struct {
		query   string
		byQuery bool
	}{
		"one label with both": {`sum(<<.Series>>{namespace="edge",pod=~"<<index .LabelValuesByName "namespace">>-<<index .LabelValuesByName "pod">>"}) by (<<.GroupBy>>)`, true},
		"a label of its own":  {`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`, false},
		"in one selector of two": {`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>) / on (pod) ` +
			`sum(<<.Series>>{pod=~"<<index .LabelValuesByName "pod">>"}) by (<<.GroupBy>>)`, false},
		"the same for all": {`sum(<<.Series>>) by (<<.GroupBy>>)`, false},
	} {
		rule := Of(customSpec(requests(func(r *v1alpha1.CustomMetricRule) { r.MetricsQuery = test.query })))[0]
		request := Request{API: metricsapi.CustomV1Beta1.Group, Name: "http_requests_per_second", Namespace: "shop",
			Resource: schema.GroupResource{Resource: "pods"}, Objects: []string{"web-0"}}
		made, err := rule.Make(request, operandtest.Mapper(), v1alpha1.DialectPromQL, func(string, string) ([]string, error) { return nil, nil })
		if err != nil || made == nil || made.Problem != "" {
			t.Fatalf("%s: %+v, %v", name, made, err)
		}
		if made.ByQuery != test.byQuery || (made.NamespaceLabel == "") != test.byQuery || (made.ObjectLabel == "") != test.byQuery || made.Query == "" {
			t.Errorf("%s: %+v", name, made)
		}
	}
}

func TestMake(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	selected := func(key, value string) func(*Request) {
		return func(r *Request) {
			r.Selector, _ = metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchLabels: map[string]string{key: value}})
		}
	}
	requested := func(changes ...func(*Request)) Request {
		r := Request{API: metricsapi.CustomV1Beta1.Group, Name: "http_requests_per_second", Namespace: "shop", Resource: pods,
			Objects: []string{"web-0", "web-1"}}
		for _, change := range changes {
			change(&r)
		}
		return r
	}
	outside := func(changes ...func(*Request)) Request {
		return requested(append([]func(*Request){func(r *Request) {
			r.API, r.Name, r.Resource, r.Objects = metricsapi.External.Group, "queue_depth", schema.GroupResource{}, nil
		}}, changes...)...)
	}
	for name, test := range map[string]struct {
		custom   v1alpha1.CustomMetricRule
		external *v1alpha1.ExternalMetricRule
		request  Request
		names    []string
		asked    string
		want     *Made
	}{
		"of pods": {custom: requests(), request: requested(), want: &Made{Series: "http_requests_total",
			SeriesQuery:    `http_requests_total{namespace!="",pod!=""}`,
			NamespaceLabel: "namespace", ObjectLabel: "pod",
			Query: `sum(rate(http_requests_total{namespace="shop",pod=~"web-0|web-1"}[2m])) by (pod)`}},
		"with a selector": {custom: requests(), request: requested(selected("verb", "GET")), want: &Made{Series: "http_requests_total",
			SeriesQuery:    `http_requests_total{namespace!="",pod!=""}`,
			NamespaceLabel: "namespace", ObjectLabel: "pod",
			Query: `sum(rate(http_requests_total{verb="GET",namespace="shop",pod=~"web-0|web-1"}[2m])) by (pod)`}},
		"with a selector that PromQL does not know": {custom: requests(), request: requested(selected("a.b", "c")),
			want: &Made{Series: "http_requests_total", SeriesQuery: `http_requests_total{namespace!="",pod!=""}`,
				NamespaceLabel: "namespace", ObjectLabel: "pod", Problem: "which is not PromQL"}},
		"of another name": {custom: requests(), request: requested(func(r *Request) { r.Name = "http_requests" })},
		"of another API":  {custom: requests(), request: outside()},
		"of what it is not made of": {custom: requests(), request: requested(func(r *Request) { r.Resource.Resource = "services" }),
			want: &Made{Series: "http_requests_total", SeriesQuery: `http_requests_total{namespace!="",pod!=""}`,
				NamespaceLabel: "namespace", Problem: "it makes the metric of pods, and the HorizontalPodAutoscaler requests it of services"}},
		"of the namespace": {custom: requests(), request: requested(func(r *Request) {
			r.Resource.Resource, r.Objects = "namespaces", []string{"shop"}
		}), want: &Made{Series: "http_requests_total", SeriesQuery: `http_requests_total{namespace!="",pod!=""}`,
			NamespaceLabel: "namespace", ObjectLabel: "namespace",
			Query: `sum(rate(http_requests_total{namespace="shop"}[2m])) by (namespace)`}},
		"by a template": {custom: requests(templating("k8s_<<.Resource>>")), request: requested(), want: &Made{Series: "http_requests_total",
			SeriesQuery:    `http_requests_total{namespace!="",pod!=""}`,
			NamespaceLabel: "k8s_namespace", ObjectLabel: "k8s_pod",
			Query: `sum(rate(http_requests_total{k8s_namespace="shop",k8s_pod=~"web-0|web-1"}[2m])) by (k8s_pod)`}},
		"of any series, whose name follows": {custom: requests(selecting(`{__name__=~"^http_.*",pod!=""}`)), request: requested(),
			want: &Made{Series: "http_requests_total", SeriesQuery: `http_requests_total{pod!=""}`, NamespaceLabel: "namespace",
				ObjectLabel: "pod", Query: `sum(rate(http_requests_total{namespace="shop",pod=~"web-0|web-1"}[2m])) by (pod)`}},
		"of series that its selector excludes": {custom: requests(selecting(`{__name__=~"^grpc_.*",pod!=""}`)), request: requested(),
			asked: `{__name__=~"^grpc_.*",pod!="",__name__=~"(?s:.*)(?:^(.*)_total$)(?s:.*)"} by namespace`},
		"of series that a filter excludes": {custom: requests(filtering(v1alpha1.SeriesFilter{IsNot: "^http_"})), request: requested()},
		"of series whose name does not follow": {custom: requests(selecting(`{__name__=~"^http_.*"}`), named("^http_.*$", "load")),
			request: requested(func(r *Request) { r.Name = "load" }), names: []string{"grpc_total", "http_total"},
			asked: `{__name__=~"^http_.*",__name__=~"(?s:.*)(?:^http_.*$)(?s:.*)"} by namespace`,
			want: &Made{Series: "http_total", SeriesQuery: `http_total`, NamespaceLabel: "namespace", ObjectLabel: "pod",
				Query: `sum(rate(http_total{namespace="shop",pod=~"web-0|web-1"}[2m])) by (pod)`}},
		"of one name of two": {custom: requests(selecting(`{__name__=~"^.*_(?:total|count)$"}`), named("^(.*)_(?:total|count)$", "")),
			request: requested(func(r *Request) { r.Name = "hits" }), names: []string{"hits_count"},
			asked: `{__name__=~"hits_total|hits_count"} by namespace`,
			want: &Made{Series: "hits_count", SeriesQuery: `hits_count`, NamespaceLabel: "namespace", ObjectLabel: "pod",
				Query: `sum(rate(hits_count{namespace="shop",pod=~"web-0|web-1"}[2m])) by (pod)`}},
		"by a rejected rule": {custom: requests(querying("sum(")), request: requested(), want: &Made{Series: "http_requests_total",
			SeriesQuery: `http_requests_total{namespace!="",pod!=""}`, Problem: "is not PromQL"}},
		"an external one": {external: ptr.To(depth()), request: outside(selected("queue", "mail")), want: &Made{Series: "queue_depth",
			SeriesQuery: `queue_depth{namespace!=""}`, NamespaceLabel: "namespace",
			Query: `sum(queue_depth{queue="mail",namespace="shop"}) by (queue)`}},
		"an external one of no namespace": {external: ptr.To(depth(func(r *v1alpha1.ExternalMetricRule) {
			r.Resources.Namespaced = ptr.To(false)
		})), request: outside(selected("queue", "mail")), want: &Made{Series: "queue_depth",
			SeriesQuery: `queue_depth{namespace!=""}`, Query: `sum(queue_depth{queue="mail"}) by (queue)`}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := customSpec(test.custom)
			if test.external != nil {
				spec = externalSpec(*test.external)
			}
			asked := ""
			made, err := Of(spec)[0].Make(test.request, operandtest.Mapper(), v1alpha1.DialectPromQL, func(selector, label string) ([]string, error) {
				asked = selector + " by " + label
				return test.names, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if asked != test.asked {
				t.Errorf("asked for the names of\n%s, want\n%s", asked, test.asked)
			}
			words := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Problem" }, cmp.Comparer(within))
			if diff := cmp.Diff(test.want, made, words); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMakeReportsTheErrorOfNames(t *testing.T) {
	refused := errors.New("not now")
	rule := requests(selecting(`{__name__=~"^http_.*"}`), named("^http_.*$", "load"))
	_, err := Of(customSpec(rule))[0].Make(Request{API: metricsapi.CustomV1Beta1.Group, Name: "load", Namespace: "shop",
		Resource: schema.GroupResource{Resource: "pods"}}, operandtest.Mapper(), v1alpha1.DialectPromQL,
		func(string, string) ([]string, error) { return nil, refused })
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
}

// within is true where one of two messages is a part of the other, or both are empty.
func within(one, other string) bool {
	return one == other || one != "" && other != "" && (strings.Contains(one, other) || strings.Contains(other, one))
}
