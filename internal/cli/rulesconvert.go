// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/config"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter/rules"
)

// The bounds of the schema.
const (
	mostRules = 256
	longestID = 63
)

// imported are rules of a MetricsPipeline, with what is known of them.
type imported struct {
	custom   []v1alpha1.CustomMetricRule
	external []v1alpha1.ExternalMetricRule
	// warnings are what was not carried over, and what cannot work; rejected are rules that would not be accepted.
	warnings, rejected []string
}

// importRules turns rules of the adapter into those of a pipeline, and checks these. It is pure.
func importRules(from source) imported {
	result := imported{warnings: from.warnings}
	var where []string
	taken := map[string]bool{}
	for _, rule := range from.custom {
		converted := v1alpha1.CustomMetricRule{MetricRule: convert(rule, taken), Resources: v1alpha1.ResourceMapping{
			Template: rule.Resources.Template, Overrides: resources(rule.Resources.Overrides)}}
		where = append(where, fmt.Sprintf("%s (id %s)", rule.where, converted.ID))
		if rule.Resources.Namespaced != nil {
			result.warn(where[len(where)-1], "resources.namespaced is of external rules alone and is left out")
		}
		result.custom = append(result.custom, converted)
	}
	taken = map[string]bool{} // The ids of an API are its own.
	for _, rule := range from.external {
		converted := v1alpha1.ExternalMetricRule{MetricRule: convert(rule, taken), Resources: v1alpha1.ExternalResourceMapping{
			Template: rule.Resources.Template, Overrides: resources(rule.Resources.Overrides), Namespaced: rule.Resources.Namespaced}}
		where = append(where, fmt.Sprintf("%s (id %s)", rule.where, converted.ID))
		result.external = append(result.external, converted)
	}
	result.check(where)
	return result
}

func (i *imported) warn(where, what string) { i.warnings = append(i.warnings, where+": "+what) }

// check says what the operator will say of the rules; where is where each came from. A resource that is not built into Kubernetes may
// be served by the cluster.
func (i *imported) check(where []string) {
	mapper := builtInKinds()
	for n, rule := range rules.Of(v1alpha1.MetricsPipelineSpec{CustomMetrics: v1alpha1.CustomMetricsSpec{Rules: i.custom},
		ExternalMetrics: v1alpha1.ExternalMetricsSpec{Rules: i.external}}) {
		found, err := rule.Check(mapper, v1alpha1.DialectPromQL)
		var unserved *rules.UnservedError
		if errors.As(err, &unserved) {
			i.warn(where[n], fmt.Sprintf("resources.overrides[%s]: the resource %q of group %q is not one of Kubernetes' own; the "+
				"operator looks for it in the cluster", unserved.Label, unserved.Resource, unserved.Group))
		} else if err != nil {
			i.rejected = append(i.rejected, fmt.Sprintf("%s: %v", where[n], err))
		}
		for _, defect := range found.Defects {
			i.warn(where[n], defect)
		}
		if found.Note != "" {
			i.warn(where[n], found.Note)
		}
	}
	for _, api := range []struct {
		field string
		count int
	}{{"customMetrics", len(i.custom)}, {"externalMetrics", len(i.external)}} {
		if api.count > mostRules {
			i.rejected = append(i.rejected, fmt.Sprintf("spec.%s.rules has %d rules, and the schema allows %d: leave out what no "+
				"HorizontalPodAutoscaler needs", api.field, api.count, mostRules))
		}
	}
}

// convert is what custom and external rules have in common, under an id that no other rule has.
func convert(rule sourceRule, taken map[string]bool) v1alpha1.MetricRule {
	shared := v1alpha1.MetricRule{ID: uniqueID(rule, taken), SeriesQuery: rule.SeriesQuery, MetricsQuery: rule.MetricsQuery,
		Name: v1alpha1.MetricName{Matches: rule.Name.Matches, As: rule.Name.As}}
	for _, filter := range rule.SeriesFilters {
		shared.SeriesFilters = append(shared.SeriesFilters, v1alpha1.SeriesFilter{Is: filter.Is, IsNot: filter.IsNot})
	}
	return shared
}

func resources(from map[string]adapter.GroupResource) map[string]v1alpha1.GroupResource {
	if len(from) == 0 {
		return nil
	}
	to := make(map[string]v1alpha1.GroupResource, len(from))
	for label, resource := range from {
		to[label] = v1alpha1.GroupResource{Group: resource.Group, Resource: resource.Resource}
	}
	return to
}

var (
	seriesName = regexp.MustCompile(`^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)`)
	namedByID  = regexp.MustCompile(`__name__\s*=~?\s*"\^?([a-zA-Z_:][a-zA-Z0-9_:]*)`)
	notInID    = regexp.MustCompile(`[^a-z0-9]+`)
)

// uniqueID names a rule by its metric, or by its series where the metric has the name of those.
func uniqueID(rule sourceRule, taken map[string]bool) string {
	name := rule.id
	if name == "" && !strings.Contains(rule.Name.As, "$") {
		name = rule.Name.As
	}
	for _, expression := range []*regexp.Regexp{seriesName, namedByID} {
		if match := expression.FindStringSubmatch(rule.SeriesQuery); name == "" && match != nil {
			name = match[1]
		}
	}
	base := strings.Trim(notInID.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if base == "" {
		base = "rule"
	}
	base = strings.TrimRight(base[:min(len(base), longestID-4)], "-") // Room for a number.
	id := base
	for n := 2; taken[id]; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	taken[id] = true
	return id
}

// clusterScoped are the built-in kinds outside of namespaces that a metric may describe.
var clusterScoped = map[schema.GroupKind]bool{
	{Kind: "Namespace"}: true, {Kind: "Node"}: true, {Kind: "PersistentVolume"}: true,
	{Group: "storage.k8s.io", Kind: "StorageClass"}: true, {Group: "storage.k8s.io", Kind: "CSINode"}: true,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}: true, {Group: "networking.k8s.io", Kind: "IngressClass"}: true,
}

// builtInKinds knows the resources of Kubernetes itself, as every API server serves them.
func builtInKinds() meta.RESTMapper { return kindsOf(clientgoscheme.Scheme, clusterScoped) }

// kindsOf knows the kinds of a scheme, each in its best version: by two a resource would be ambiguous.
func kindsOf(scheme *runtime.Scheme, clusterScoped map[schema.GroupKind]bool) meta.RESTMapper {
	best := map[schema.GroupKind]schema.GroupVersionKind{}
	for kind := range scheme.AllKnownTypes() {
		known, seen := best[kind.GroupKind()]
		if !seen || version.CompareKubeAwareVersionStrings(kind.Version, known.Version) > 0 {
			best[kind.GroupKind()] = kind
		}
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range best {
		scope := meta.RESTScopeNamespace
		if clusterScoped[kind.GroupKind()] {
			scope = meta.RESTScopeRoot
		}
		mapper.Add(kind, scope)
	}
	return mapper
}
