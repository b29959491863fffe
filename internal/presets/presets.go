// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package presets has ready-made rules for the request rates that ingress controllers and gateways count. Their series come from the
// controller's own namespace and name the tenant's in a label, which any app could set on series of its own. So such a rule is never
// derived: it is stated by an administrator, who names the controller's namespace, and its query reads that namespace alone.
package presets

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// Object is the kind of object that a metric is about.
type Object struct{ APIVersion, Kind, Group, Resource string }

var (
	service   = Object{"v1", "Service", "", "services"}
	ingress   = Object{"networking.k8s.io/v1", "Ingress", "networking.k8s.io", "ingresses"}
	httpRoute = Object{"gateway.networking.k8s.io/v1", "HTTPRoute", "gateway.networking.k8s.io", "httproutes"}
)

// Preset is what is known of the series of a controller.
type Preset struct {
	// Name by which it is asked for, and Title of the controller.
	Name, Title string
	// Namespace in which the controller's own installation puts it.
	Namespace string
	// Object that Metric is about.
	Object Object
	// Metric is the name that HPAs ask for, and Series that of the counter it is the rate of.
	Metric, Series string
	// Matchers are those of the controller's series that are counted, beside its namespace; empty for all.
	Matchers string
	// NamespaceLabel and ObjectLabel are the labels of the series that name the namespace and the name of the object. Where one label has
	// both, that is ObjectLabel, and NamespaceLabel that of the controller's own namespace.
	NamespaceLabel, ObjectLabel string
	// Within is a regular expression for the value of a label that has both, with NAMESPACE and NAME in their places.
	Within string
	// MovedTo is where Prometheus moves ObjectLabel if the target has one of this name; empty where it has none.
	MovedTo string
	// Notes are what who uses it has to know, one sentence each.
	Notes []string
	// Sources are what the names were checked against: the version, and the file or page.
	Sources []string
}

// controllerLabel is the label that says from which namespace a series was scraped. No app can set it where targets are labeled with it:
// Prometheus moves that of an app to exported_namespace.
const controllerLabel = "namespace"

// Of returns the preset of a name.
func Of(name string) (Preset, bool) {
	at := slices.IndexFunc(All, func(p Preset) bool { return p.Name == name })
	if at < 0 {
		return Preset{}, false
	}
	return All[at], true
}

// Reads is true for a series of a controller of the table that names the namespace of the object by a label of its own.
func Reads(series, namespaceLabel string) bool {
	return slices.ContainsFunc(All, func(p Preset) bool {
		return p.Series == series && p.NamespaceLabel == namespaceLabel && !p.composite()
	})
}

// composite is true where one label of the series has the namespace and the name of the object.
func (p Preset) composite() bool { return p.Within != "" }

// Rule is the rule for a controller in a namespace, with rates over a window. An empty metric is that of the table.
func (p Preset) Rule(namespace, metric string, window time.Duration) v1alpha1.CustomMetricRule {
	if metric == "" {
		metric = p.Metric
	}
	matchers := []string{fmt.Sprintf("%s=%q", controllerLabel, namespace)}
	if p.Matchers != "" {
		matchers = append(matchers, p.Matchers)
	}
	selects := append(slices.Clone(matchers), p.ObjectLabel+`!=""`)
	if p.NamespaceLabel != controllerLabel {
		selects = append(selects, p.NamespaceLabel+`!=""`)
	}
	query := p.separate(matchers, window)
	if p.composite() {
		query = p.combined(matchers, window)
	}
	return v1alpha1.CustomMetricRule{
		MetricRule: v1alpha1.MetricRule{
			ID:           p.Name + "-requests",
			SeriesQuery:  p.Series + "{" + strings.Join(selects, ",") + "}",
			Name:         v1alpha1.MetricName{Matches: "^" + p.Series + "$", As: metric},
			MetricsQuery: query,
		},
		Resources: v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
			p.NamespaceLabel: {Resource: "namespaces"},
			p.ObjectLabel:    {Group: p.Object.Group, Resource: p.Object.Resource},
		}},
	}
}

// separate is the query of series that have a label for the namespace and one for the object: the matchers of the request do the rest.
func (p Preset) separate(matchers []string, window time.Duration) string {
	return fmt.Sprintf("sum(%s) by (<<.GroupBy>>)", rate(append(slices.Clone(matchers), "<<.LabelMatchers>>"), window))
}

// combined is the query of series that have both in one label. What the HPA names becomes a part of a regular expression, so the query is
// made for names alone that have nothing to escape, and quotes them. It is not made where more is asked for than one object without a
// selector: the selector could not be honored. The adapter answers then that there is no such metric.
func (p Preset) combined(matchers []string, window time.Duration) string {
	pattern := strings.NewReplacer("NAMESPACE", `\\Q<<$namespace>>\\E`, "NAME", `\\Q<<$name>>\\E`).Replace(p.Within)
	series := rate(append(slices.Clone(matchers), p.ObjectLabel+`=~"`+pattern+`"`), window)
	if p.MovedTo != "" {
		series += " or " + rate(append(slices.Clone(matchers), p.MovedTo+`=~"`+pattern+`"`), window)
	}
	return fmt.Sprintf(`<<$namespace := index .LabelValuesByName %[1]q>><<$name := index .LabelValuesByName %[2]q>>`+
		`<<if and (eq $namespace (urlquery $namespace)) (eq $name (urlquery $name)) `+
		`(eq .LabelMatchers (printf "%[1]s=%%q,%[2]s=%%q" $namespace $name))>>`+
		`label_replace(sum(%[3]s),%[2]q,"<<$name>>","","")<<end>>`, p.NamespaceLabel, p.ObjectLabel, series)
}

func rate(matchers []string, window time.Duration) string {
	return "rate(<<.Series>>{" + strings.Join(matchers, ",") + "}[" + model.Duration(window).String() + "])"
}
