// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestNearMisses: what almost requests something is named, with the place where it belongs.
func TestNearMisses(t *testing.T) {
	of := func(annotations ...string) metav1.Object {
		set := map[string]string{}
		for i := 0; i < len(annotations); i += 2 {
			set[annotations[i]] = annotations[i+1]
		}
		return &metav1.ObjectMeta{Annotations: set}
	}
	for name, tc := range map[string]struct {
		object metav1.Object
		prefix string
		// want are words of the reason; none where nothing is said.
		want []string
	}{
		"a dot for the slash":        {object: of("prometheus.io.scrape", "true"), want: []string{"prometheus.io.scrape", `write prometheus.io/scrape: "true"`}},
		"underscores":                {object: of("prometheus_io_scrape", "yes"), want: []string{"prometheus_io_scrape"}},
		"a dash":                     {object: of("prometheus-io/scrape", "True"), want: []string{"prometheus-io/scrape"}},
		"upper case":                 {object: of("Prometheus.io/Scrape", "true"), want: []string{"Prometheus.io/Scrape"}},
		"without io":                 {object: of("prometheus/scrape", "true"), want: []string{"prometheus/scrape"}},
		"another domain":             {object: of("prometheus.com/scrape", "true"), want: []string{"prometheus.com/scrape"}},
		"letters in another order":   {object: of("promethues.io/scrape", "true"), want: []string{"promethues.io/scrape"}},
		"a letter too many":          {object: of("prometheus.io/scraped", "true"), want: []string{"prometheus.io/scraped"}},
		"of another prefix":          {object: of("acme.io.scrape", "true"), prefix: "acme.io", want: []string{"write acme.io/scrape"}},
		"enabled":                    {object: of("prometheus.io/scrape", "Enabled"), want: []string{`prometheus.io/scrape is "Enabled"`, `write "true"`}},
		"a space":                    {object: of("prometheus.io/scrape", "true "), want: []string{`prometheus.io/scrape is "true "`}},
		"quotes in the value":        {object: of("prometheus.io/scrape", `"true"`), want: []string{"which is no"}},
		"a probe":                    {object: of("prometheus.io/probe", "true"), want: []string{"prometheus.io/probe", "Service is not probed", "Probe", "prometheus.io/scrape"}},
		"a probe of what is scraped": {object: of("prometheus.io/scrape", "true", "prometheus.io/probe", "true"), want: []string{"Probe"}},
		"a probe of what is not":     {object: of("prometheus.io/scrape", "false", "prometheus.io/probe", "true"), want: []string{"Probe"}},
		"a label": {object: &metav1.ObjectMeta{Labels: map[string]string{"prometheus.io/scrape": "true"}},
			want: []string{"label prometheus.io/scrape", "annotation"}},
		"a port with a dot":  {object: of("prometheus.io/scrape", "true", "prometheus.io.port", "80"), want: []string{"prometheus.io.port", "write prometheus.io/port"}},
		"ports":              {object: of("prometheus.io/scrape", "true", "prometheus.io/ports", "80"), want: []string{"prometheus.io/ports"}},
		"a schema":           {object: of("prometheus.io/scrape", "true", "prometheus.io/schema", "https"), want: []string{"write prometheus.io/scheme"}},
		"nothing":            {object: of()},
		"what works":         {object: of("prometheus.io/scrape", "true", "prometheus.io/port", "80", "prometheus.io/path", "/m", "prometheus.io/scheme", "http")},
		"in any case":        {object: of("prometheus.io/scrape", "TRUE")},
		"both keys":          {object: of("prometheus.io/scrape", "true", "prometheus.io.scrape", "true", "prometheus.io/port", "1", "prometheus.io.port", "1")},
		"no":                 {object: of("prometheus.io/scrape", "false", "prometheus.io.scrape", "true")},
		"no with a dot":      {object: of("prometheus.io.scrape", "false")},
		"no probe":           {object: of("prometheus.io/probe", "false")},
		"a port alone":       {object: of("prometheus.io/port", "80", "prometheus.io/path", "/m")},
		"parts of others":    {object: of("prometheus.io/scrape", "true", "prometheus.io/interval", "10s", "prometheus.io/part-of", "x")},
		"slow":               {object: of("prometheus.io/scrape-slow", "true")},
		"another program":    {object: of("prometheus.istio.io/merge-metrics", "true", "telegraf.influxdata.com/scrape", "true", "k8s.grafana.com/scrape", "true")},
		"another prefix":     {object: of("prometheus.io/scrape", "true"), prefix: "acme.io"},
		"a neighbor":         {object: of("acme.com/scrape", "true", "acne.io/scrape", "true"), prefix: "acme.io"},
		"a label that is no": {object: &metav1.ObjectMeta{Labels: map[string]string{"prometheus.io/scrape": "false"}}},
		"a label beside the annotation": {object: &metav1.ObjectMeta{Labels: map[string]string{"prometheus.io/scrape": "true"},
			Annotations: map[string]string{"prometheus.io/scrape": "true"}}},
	} {
		if tc.prefix == "" {
			tc.prefix = "prometheus.io"
		}
		got := NearMiss(tc.prefix, "Service", tc.object)
		if tc.want == nil && got != "" {
			t.Errorf("%s: %s", name, got)
		}
		for _, words := range tc.want {
			if !strings.Contains(got, words) {
				t.Errorf("%s: %q does not say %q", name, got, words)
			}
		}
	}
	long := NearMiss("prometheus.io", "Pod", of("prometheus.io/scrape", "true"+strings.Repeat(" ", 1<<20)))
	if long == "" || len(long) > 300 {
		t.Errorf("a long value: %d bytes", len(long))
	}
	if got := NearMiss("prometheus.io", "Pod", of("prometheus.io.scrape", "true")); !strings.Contains(got, "template of the Pod") {
		t.Errorf("of a Pod: %s", got)
	}
}

// TestBesideTemplate: what a workload's template has is read from the fields that its writers own.
func TestBesideTemplate(t *testing.T) {
	const (
		plain = `{"f:metadata":{"f:annotations":{"f:prometheus.io/scrape":{}}},"f:spec":{"f:template":{"f:spec":{"f:containers":{}}}}}`
		both  = `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:prometheus.io/scrape":{}}}}}}`
		other = `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`
		ready = `{"f:status":{"f:replicas":{}}}`
	)
	for name, tc := range map[string]struct {
		value  string
		fields []string
		want   bool
	}{
		"only on the workload":             {"true", []string{plain, ready}, true},
		"on the template too":              {"true", []string{plain, both}, false},
		"by another writer":                {"true", []string{both, plain}, false},
		"another annotation of the Pods":   {"true", []string{plain, other}, true},
		"a workload that requests nothing": {"false", []string{plain}, false},
		"writers that are not recorded":    {"true", nil, false},
		"only that of the status":          {"true", []string{ready}, false},
		"fields that are none":             {"true", []string{`[]`, `{"f:spec":1}`}, false},
	} {
		workload := &metav1.ObjectMeta{Annotations: map[string]string{"prometheus.io/scrape": tc.value},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "empty"}}}
		for _, fields := range tc.fields {
			workload.ManagedFields = append(workload.ManagedFields, metav1.ManagedFieldsEntry{FieldsV1: metav1.NewFieldsV1(fields)})
		}
		if got := BesideTemplate("prometheus.io", workload); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	for pods, words := range map[bool]string{true: "spec.template.metadata.annotations", false: "prometheus.io/ to the Service"} {
		if got := NearMissOfWorkload("prometheus.io", "StatefulSet", pods); !strings.Contains(got, words) || !strings.Contains(got, "StatefulSet") {
			t.Errorf("pods %v: %s", pods, got)
		}
	}
}
