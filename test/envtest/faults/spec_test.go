// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// specCase takes a field of the spec from unset to a value, to another one, and back.
type specCase struct {
	// fields of the schema that the case is about.
	fields []string
	// set is the path of what is set, and value and other what it is set to, as YAML.
	set, value, other string
	// with is the rest of the spec; smallSpec if it is empty.
	with string
}

// TestSpecFields: whatever a field was set to, after it has been unset everything is as if it had never been.
func TestSpecFields(t *testing.T) {
	w := begin(t)
	w.start()
	apps(w)
	w.sources()
	fresh := map[string]snapshot{}
	for _, c := range specCases() {
		if c.with == "" {
			c.with = smallSpec
		}
		if fresh[c.with] == nil {
			w.clear()
			w.apply(c.with)
			w.life.stir()
			fresh[c.with] = w.comesToRest()
		}
		w.apply(c.with)
		w.reaches(fresh[c.with], c.set+" is not set yet")
		inject(t, "spec field unset, set, changed, unset", len(c.fields), func() {
			for _, value := range []string{c.value, c.other} {
				w.must(w.ApplySpec(c.spec(w, value)))
				w.eventually(func() string {
					if pipeline, _ := w.pipeline(); !current(pipeline) {
						return fmt.Sprintf("the operator has not seen %s: %s", c.set, value)
					}
					return ""
				})
			}
			w.apply(c.with)
			w.reaches(fresh[c.with], fmt.Sprintf("%s was set and is unset", c.set))
		})
	}
}

// TestSpecFieldsAreAllTested fails for a field that was added to the API without a case, and for a case whose field was removed.
func TestSpecFieldsAreAllTested(t *testing.T) {
	fields := specFields(t)
	for _, c := range specCases() {
		for _, field := range c.fields {
			i := slices.Index(fields, field)
			if i < 0 {
				t.Errorf("the spec has no field %s, or it has two cases: drop one from specCases()", field)
				continue
			}
			fields = slices.Delete(fields, i, i+1)
		}
	}
	for _, field := range fields {
		t.Errorf("the field %s has no case: add one to specCases()", field)
	}
}

// specFields are the fields of the spec that have a value of their own.
func specFields(t *testing.T) []string {
	t.Helper()
	var all []string
	err := harness.WalkSchema(func(path string, _ *apiextv1.JSONSchemaProps) {
		if field, ok := strings.CutPrefix(path, "spec."); ok {
			all = append(all, field)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var leaves []string
	for _, field := range all {
		isParent := slices.ContainsFunc(all, func(other string) bool {
			rest, inside := strings.CutPrefix(other, field)
			return inside && rest != "" && strings.ContainsAny(rest[:1], ".[{") && rest != "[]" && rest != "{}"
		})
		if item := strings.HasSuffix(field, "[]") || strings.HasSuffix(field, "{}"); !isParent && !item {
			leaves = append(leaves, field)
		}
	}
	return leaves
}

// spec returns the case's spec with a value.
func (c specCase) spec(w *world, text string) map[string]any {
	w.Helper()
	spec := map[string]any{}
	w.must(yaml.Unmarshal([]byte(strings.ReplaceAll(c.with, "$PROMETHEUS", w.prometheus.URL)), &spec))
	var value any
	w.must(yaml.Unmarshal([]byte(strings.ReplaceAll(text, "$PROMETHEUS", w.prometheus.URL)), &value))
	w.must(unstructured.SetNestedField(spec, runtime.DeepCopyJSONValue(normalNumbers(value)), strings.Split(c.set, ".")...))
	return spec
}

// normalNumbers turns whole numbers into the only kind that an unstructured object may have.
func normalNumbers(value any) any {
	switch v := value.(type) {
	case float64:
		return int64(v)
	case []any:
		for i := range v {
			v[i] = normalNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = normalNumbers(v[key])
		}
	}
	return value
}

// sources makes what cases name: two Prometheus objects, and credentials.
func (w *world) sources() {
	w.Helper()
	authority, _, err := certs.EnsureAuthority(certs.Pair{}, nil, w.clock.Now())
	w.must(err)
	here := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: name}
	}
	for _, object := range []client.Object{
		&monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: "one"},
			Spec: monitoringv1.PrometheusSpec{CommonPrometheusFields: monitoringv1.CommonPrometheusFields{Replicas: ptr.To[int32](1)}}},
		&monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "one"},
			Spec: monitoringv1.PrometheusSpec{CommonPrometheusFields: monitoringv1.CommonPrometheusFields{Replicas: ptr.To[int32](1)}}},
		&monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "two"},
			Spec: monitoringv1.PrometheusSpec{CommonPrometheusFields: monitoringv1.CommonPrometheusFields{Replicas: ptr.To[int32](1)}}},
		&corev1.Secret{ObjectMeta: here("source"), Type: corev1.SecretTypeTLS, Data: map[string][]byte{
			"a": []byte("one"), "b": []byte("two"), "ca.crt": authority.Cert, "tls.crt": authority.Cert, "tls.key": authority.Key}},
		&corev1.Secret{ObjectMeta: here("other-source"), Type: corev1.SecretTypeTLS, Data: map[string][]byte{
			"a": []byte("three"), "ca.crt": authority.Cert, "tls.crt": authority.Cert, "tls.key": authority.Key}},
		&corev1.ConfigMap{ObjectMeta: here("source"), Data: map[string]string{"a": string(authority.Cert), "b": string(authority.Cert)}},
		&corev1.ConfigMap{ObjectMeta: here("other-source"), Data: map[string]string{"a": string(authority.Cert)}},
	} {
		w.must(w.Client.Create(w.Ctx, object))
		w.Cleanup(func() { w.must(w.Client.Delete(w.Ctx, object)) })
	}
}
