// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// found returns what is known of the only rule of a spec, which must be accepted.
func found(t *testing.T, spec v1alpha1.MetricsPipelineSpec) Findings {
	t.Helper()
	found, err := Of(spec)[0].Check(operandtest.Mapper(), v1alpha1.DialectPromQL)
	if err != nil {
		t.Fatalf("rejected: %v", err)
	}
	return found
}

// toLabels are overrides such as pod=pods or ingress=ingresses.networking.k8s.io.
func toLabels(pairs ...string) map[string]v1alpha1.GroupResource {
	labels := map[string]v1alpha1.GroupResource{}
	for _, pair := range pairs {
		label, resource, _ := strings.Cut(pair, "=")
		name, group, _ := strings.Cut(resource, ".")
		labels[label] = v1alpha1.GroupResource{Group: group, Resource: name}
	}
	return labels
}

func mapped(pairs ...string) func(*v1alpha1.CustomMetricRule) { return overriding(toLabels(pairs...)) }

// templated has labels follow a template, and nothing else.
func templated(template string) func(*v1alpha1.CustomMetricRule) {
	return func(r *v1alpha1.CustomMetricRule) { r.Resources = v1alpha1.ResourceMapping{Template: template} }
}

// TestDefectsOfCustomRules: each kind of rule that is accepted and cannot work, and beside it those that look alike and work, which
// have no defect.
func TestDefectsOfCustomRules(t *testing.T) {
	const grouped = ` by (<<.GroupBy>>)`
	for name, tc := range map[string]struct {
		rule v1alpha1.CustomMetricRule
		says []string // Words of the only defect; none for none.
	}{
		// The label that names the object.
		"a sum of everything": {requests(querying(`sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m]))`)),
			[]string{"metricsQuery", "without the label pod", "always empty", "by (<<.GroupBy>>)"}},
		"grouped by another label": {requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (container)`)),
			[]string{"without the label pod (they have container at most)"}},
		"grouped by the namespace alone": {requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (namespace)`)),
			[]string{"without the label pod"}},
		"grouped by the label of an exporter": {requests(mapped("kubernetes_namespace=namespace", "kubernetes_pod_name=pod"),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)`)), []string{"without the label kubernetes_pod_name"}},
		"without the label": {requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) without (pod)`)), []string{"without the label pod"}},
		"a quantile without it": {requests(querying(`histogram_quantile(0.9, sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (le))`)),
			[]string{"without the label pod"}},
		"a share of a sum without it": {requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>})` + grouped + ` / sum(x{<<.LabelMatchers>>})`)),
			[]string{"without the label pod"}},
		"a ratio on another label": {requests(querying(`a{<<.LabelMatchers>>} / on (namespace) b{<<.LabelMatchers>>}`)),
			[]string{"without the label pod"}},
		"a vector of its own": {requests(querying(`vector(1) and on () x{<<.LabelMatchers>>}`)), []string{"without the label pod"}},
		"grouped by what is no resource": {requests(templated("<<.Resource>>"),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (color)`)), []string{"without the label pod", "color"}},
		"grouped by a label that the template does not make": {requests(templated("kube_<<.Resource>>"),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)`)), []string{"without the label kube_pod"}},
		"of a pod or a service, grouped by neither": {requests(mapped("namespace=namespace", "pod=pod", "service=service"),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (code)`)), []string{"without the label pod or service", "pods or services"}},

		"grouped by":                   {rule: requests()},
		"grouped by, written before":   {rule: requests(querying(`sum by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})`))},
		"grouped by and another label": {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>, code)`))},
		"grouped by the label itself":  {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)`))},
		"grouped by both labels":       {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (namespace, pod)`))},
		"grouped by one of two resources": {rule: requests(mapped("namespace=namespace", "pod=pod", "service=service"),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (service)`))},
		"grouped by job, which a template makes of Jobs": {rule: requests(templated("<<.Resource>>"),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (job)`))},
		"grouped by what the template makes of Services": {rule: requests(templated("kube_<<.Resource>>"),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (kube_service)`))},
		"grouped by a label beside a template": {rule: requests(templated("kube_<<.Resource>>"), func(r *v1alpha1.CustomMetricRule) {
			r.Resources.Overrides = toLabels("workload=deployments.apps", "namespace=namespace")
		}, querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (workload)`))},
		"without other labels": {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>}) without (instance, code)`))},
		"no aggregate":         {rule: requests(querying(`<<.Series>>{<<.LabelMatchers>>}`))},
		"the highest":          {rule: requests(querying(`topk(1, <<.Series>>{<<.LabelMatchers>>})`))},
		"a quantile": {rule: requests(querying(
			`histogram_quantile(0.9, sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (le, <<.GroupBy>>))`))},
		"a share on the label": {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>})` + grouped +
			` / on (<<.GroupBy>>) sum(x{<<.LabelMatchers>>})` + grouped))},
		"a share of one number": {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>})` + grouped +
			` / on () group_left () sum(x{<<.LabelMatchers>>})`))},
		"a share of a scalar":  {rule: requests(querying(`100 * sum(<<.Series>>{<<.LabelMatchers>>})` + grouped + ` / scalar(sum(x))`))},
		"a label of its own":   {rule: requests(querying(`label_replace(sum(<<.Series>>{<<.LabelMatchers>>}) by (instance), "pod", "$1", "instance", "(.*)")`))},
		"a joined label":       {rule: requests(querying(`label_join(sum(<<.Series>>{<<.LabelMatchers>>}) by (a, b), "pod", "-", "a", "b")`))},
		"a default of zero":    {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>})` + grouped + ` or vector(0)`))},
		"a default by absence": {rule: requests(querying(`absent(<<.Series>>{<<.LabelMatchers>>})`))},
		"a condition":          {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>})` + grouped + ` and on () (hour() > 8)`))},
		"a count of values":    {rule: requests(querying(`count_values("pod", <<.Series>>{<<.LabelMatchers>>})`))},
		"a join on one side": {rule: requests(querying(
			`sum(<<.Series>>{<<.LabelMatchers>>}) by (uid) * on (uid) group_left (pod) kube_pod_info{<<.LabelMatchers>>}`))},
		"of a namespace": {rule: requests(mapped("namespace=namespace"), querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (namespace)`))},
		// Without a group, and with the label of the scrape job, which many name after the Deployment.
		"of the Deployment that a scrape job is named after": {rule: requests(mapped("namespace=namespace", "job=deployment"))},
		"joins over several lines": {rule: requests(mapped("namespace=namespace", "service=service"), querying(`
			label_replace(
			  sum(<<.Series>>{<<.LabelMatchers>>, queue=~".+"}) by (<<.GroupBy>>, queue), "name", "$1", "queue", "(.+)"
			) * on (name) group_left () label_replace(vector(1), "name", "orders", "", "")`))},

		// What restricts a query to the request.
		"no matchers":           {requests(querying(`sum(<<.Series>>)` + grouped)), []string{"no <<.LabelMatchers>>", "one number", "{<<.LabelMatchers>>}"}},
		"matchers of its own":   {requests(querying(`sum(<<.Series>>{job="web"})` + grouped)), []string{"no <<.LabelMatchers>>"}},
		"matchers on one side":  {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>})` + grouped + ` / sum(x)` + grouped))},
		"the namespace's value": {rule: requests(querying(`sum(x{namespace="<<index .LabelValuesByName "namespace">>"})` + grouped))},
		"of nodes, without matchers": {rule: requests(selecting("node_load1"), named("", ""), mapped("node=node"),
			querying(`sum(<<.Series>>)`+grouped))},
		"of namespaces, without matchers": {rule: requests(selecting("tenants"), named("", ""), mapped("namespace=namespace"),
			querying(`sum(<<.Series>>)`+grouped))},

		// Names.
		"a name that excludes the series": {requests(named("^(.*)_seconds$", "")),
			[]string{"name.matches", "^(.*)_seconds$", "http_requests_total", "no series"}},
		"filters that exclude the series": {requests(filtering(v1alpha1.SeriesFilter{IsNot: "^http_"})), []string{"seriesFilters", "no series"}},
		"a name that excludes all series": {requests(selecting(`{__name__=~"http_requests|http_errors"}`)), []string{"name.matches"}},
		"a name that excludes one series": {rule: requests(selecting(`{__name__=~"http_requests_total|http_errors"}`))},
		"names that are not known":        {rule: requests(selecting(`{__name__=~"http_.+"}`), named("^(.*)_seconds$", ""))},
		"a name without anchors":          {rule: requests(named("requests", "r"))},
		"a template as a name":            {requests(named("", "<<.Series>>_per_second")), []string{"name.as", "is no template"}},
		"a template of Go as a name":      {requests(named("", "{{ .Series }}_rate")), []string{"name.as", "is no template"}},
		"a name of two groups":            {rule: requests(named("^(http)_(.*)$", "${1}_${2}"))},

		// Labels.
		"two labels for one resource": {requests(mapped("namespace=namespace", "pod=pod", "pod_name=pods")),
			[]string{"two labels for pods", "pod and pod_name", "random"}},
		"two labels for namespaces": {requests(mapped("namespace=namespace", "exported_namespace=namespaces", "pod=pod")),
			[]string{"two labels for namespaces"}},
		"one label each": {rule: requests(mapped("namespace=namespace", "pod=pod", "service=service"))},
		"dashes in the name": {requests(selecting(`{"http-requests",namespace!="",pod!=""}`), named("", ""),
			querying(`sum(<<.Series>>{<<.LabelMatchers>>}) by (pod)`)), []string{"http-requests", "subtraction", `{"<<.Series>>",<<.LabelMatchers>>}`}},
		"dashes in quotes": {rule: requests(selecting(`{"http-requests",namespace!="",pod!=""}`), named("", ""),
			querying(`sum({"<<.Series>>",<<.LabelMatchers>>})`+grouped))},
	} {
		t.Run(name, func(t *testing.T) { expectDefect(t, found(t, customSpec(tc.rule)), tc.says) })
	}
}

func expectDefect(t *testing.T, found Findings, says []string) {
	t.Helper()
	if len(says) == 0 && len(found.Defects) == 0 {
		return
	}
	if len(says) == 0 || len(found.Defects) != 1 {
		t.Fatalf("%d words are wanted, and these are the defects: %q", len(says), found.Defects)
	}
	for _, part := range says {
		if !strings.Contains(found.Defects[0], part) {
			t.Errorf("%q does not say %q", found.Defects[0], part)
		}
	}
}

// TestDefectsOfExternalRules is the same for rules of which the selector of a HorizontalPodAutoscaler chooses a part.
func TestDefectsOfExternalRules(t *testing.T) {
	query := func(query string) func(*v1alpha1.ExternalMetricRule) {
		return func(r *v1alpha1.ExternalMetricRule) { r.MetricsQuery = query }
	}
	everywhere := func(r *v1alpha1.ExternalMetricRule) {
		r.Resources = v1alpha1.ExternalResourceMapping{Namespaced: ptr.To(false)}
	}
	for name, tc := range map[string]struct {
		rule v1alpha1.ExternalMetricRule
		says []string
		note string
	}{
		"no matchers":                  {rule: depth(query(`sum(<<.Series>>) by (queue)`)), says: []string{"the namespace and the selector", "ignored"}},
		"no matchers, of no namespace": {rule: depth(everywhere, query(`sum(queue_depth)`)), says: []string{"so the selector", "ignored"}},
		"each queue, of no namespace": {rule: depth(everywhere, query(`sum(queue_depth{job="web"}) by (queue)`)),
			says: []string{"so the selector"}},
		"one queue, of every namespace":  {rule: depth(query(`sum(queue_depth{queue="orders"})`)), says: []string{"the namespace"}},
		"a name that excludes the queue": {rule: depth(func(r *v1alpha1.ExternalMetricRule) { r.Name.Matches = "^nats_" }), says: []string{"name.matches"}},
		"one queue on purpose": {rule: depth(everywhere, query(`sum(rate(queue_depth{queue="orders"}[1m])) by (queue)`)),
			note: "one number"},
		"one queue of one namespace on purpose": {rule: depth(query(`max(queue_depth{namespace="shop",queue="orders"})`)), note: "one number"},
		"matchers":                              {rule: depth()},
		"no label at all":                       {rule: depth(query(`sum(<<.Series>>{<<.LabelMatchers>>})`))},
		"a group, of which there is none":       {rule: depth(query(`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`))},
		"a scalar":                              {rule: depth(query(`scalar(sum(<<.Series>>{<<.LabelMatchers>>}))`))},
		"a matcher after an empty list": {rule: depth(everywhere, query(`sum(queue_depth{<<.LabelMatchers>>,job="web"}) by (queue)`)),
			note: `becomes "sum(queue_depth{,job=\"web\"}) by (queue)", which is not PromQL; write <<.LabelMatchers>> last`},
		"a matcher before it":                   {rule: depth(everywhere, query(`sum(queue_depth{job="web",<<.LabelMatchers>>}) by (queue)`))},
		"a matcher after that of the namespace": {rule: depth(query(`sum(queue_depth{<<.LabelMatchers>>,job="web"}) by (queue)`))},
	} {
		t.Run(name, func(t *testing.T) {
			found := found(t, externalSpec(tc.rule))
			expectDefect(t, found, tc.says)
			if !strings.Contains(found.Note, tc.note) || tc.note == "" && found.Note != "" {
				t.Errorf("note %q, want %q", found.Note, tc.note)
			}
		})
	}
}

// TestDefectsInAnotherDialect: where queries are not parsed, that of a template is found, and nothing is guessed.
func TestDefectsInAnotherDialect(t *testing.T) {
	for name, tc := range map[string]struct {
		rule v1alpha1.CustomMetricRule
		says []string
	}{
		"no matchers":          {requests(querying(`sum(<<.Series>>) by (<<.GroupBy>>) default 0`)), []string{"no <<.LabelMatchers>>"}},
		"a template as a name": {requests(named("", "<<.Series>>")), []string{"is no template"}},
		"what only it knows":   {rule: requests(querying(`sum(rate(<<.Series>>{<<.LabelMatchers>>})) by (<<.GroupBy>>) keep_metric_names`))},
		"a sum of everything":  {rule: requests(querying(`sum(<<.Series>>{<<.LabelMatchers>>})`))},
		"selectors of its own": {rule: requests(selecting(`{job="a" or job="b"}`), named("", ""))},
	} {
		found, err := Of(customSpec(tc.rule))[0].Check(operandtest.Mapper(), v1alpha1.DialectMetricsQL)
		if err != nil {
			t.Errorf("%s: rejected: %v", name, err)
			continue
		}
		t.Run(name, func(t *testing.T) { expectDefect(t, found, tc.says) })
	}
}
