// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
)

const formKey = "form.json.gz"

// form is one with every field.
func form() operand.LastGood {
	object := func(kind string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind,
			"metadata": map[string]any{"name": "lamp", "labels": map[string]any{"b": "2", "a": "1"}},
			"spec":     map[string]any{"replicas": int64(2), "ratio": 1.5, "on": true, "list": []any{"x"}}}}
	}
	return operand.LastGood{
		Component: operand.Component{Name: "lamp", Namespace: "metrics", Workloads: []string{"lamp"}, Service: "lamp", Serving: "lamp-tls",
			APIs: []metricsapi.API{metricsapi.Resource}, Images: map[string]string{"lamp": "example.com/lamp:1"},
			Variants: []string{operand.Monitor}, Files: map[string]string{"config": "text"},
			Patches:     []operand.Patch{{Kind: "Service", Name: "lamp", Content: "[]"}},
			UserPatches: []v1alpha1.Patch{{Patch: "[]"}}},
		Objects: []*unstructured.Unstructured{object("Service"), object("Lamp")},
		Memory:  []byte("remembered"),
	}
}

// store returns the ConfigMap as it comes back from the API server.
func store(t *testing.T, form operand.LastGood) *corev1.ConfigMap {
	t.Helper()
	object, err := form.Object()
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	stored := &corev1.ConfigMap{}
	if err := json.Unmarshal(content, stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

// TestLastGoodComesBack whole, but for what the objects were rendered from.
func TestLastGoodComesBack(t *testing.T) {
	stored := store(t, form())
	if stored.Name != operand.LastGoodName("lamp") || stored.Namespace != "metrics" {
		t.Errorf("stored as %s/%s", stored.Namespace, stored.Name)
	}
	if diff := cmp.Diff(ownership.Labels("lamp"), stored.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	want := form()
	want.Component.Images, want.Component.Variants, want.Component.Files = nil, nil, nil
	want.Component.Patches, want.Component.UserPatches = nil, nil
	if diff := cmp.Diff(&want, operand.ReadLastGood(stored)); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

// TestLastGoodStaysInTheNamespace: a form that an earlier release stored has a RoleBinding in kube-system, which is left as it is.
func TestLastGoodStaysInTheNamespace(t *testing.T) {
	want, earlier := form(), form()
	elsewhere := earlier.Objects[0].DeepCopy()
	elsewhere.SetKind("RoleBinding")
	elsewhere.SetNamespace("kube-system")
	earlier.Objects = append(earlier.Objects, elsewhere)
	if diff := cmp.Diff(want.Objects, operand.ReadLastGood(store(t, earlier)).Objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// TestLastGoodIsTheSameBytes for the same form: it is compared with what is stored, and a restart writes nothing.
func TestLastGoodIsTheSameBytes(t *testing.T) {
	first := store(t, form())
	for range 20 {
		if !bytes.Equal(store(t, form()).BinaryData[formKey], first.BinaryData[formKey]) {
			t.Fatal("the same form has other bytes")
		}
	}
	if again := store(t, *operand.ReadLastGood(first)); !bytes.Equal(again.BinaryData[formKey], first.BinaryData[formKey]) {
		t.Error("the form that was read has other bytes")
	}
}

func TestLastGoodThatCannotBeRead(t *testing.T) {
	compressed := func(content []byte) []byte {
		var buffer bytes.Buffer
		writer := gzip.NewWriter(&buffer)
		if _, err := writer.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		return buffer.Bytes()
	}
	good := store(t, form()).BinaryData[formKey]
	large, err := json.Marshal(operand.LastGood{Component: operand.Component{Name: "lamp"}, Memory: make([]byte, 17<<20)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		component string
		data      map[string][]byte
	}{
		"nothing":           {"lamp", nil},
		"another key":       {"lamp", map[string][]byte{"other": good}},
		"not compressed":    {"lamp", map[string][]byte{formKey: []byte("{}")}},
		"cut off":           {"lamp", map[string][]byte{formKey: good[:len(good)-9]}},
		"not JSON":          {"lamp", map[string][]byte{formKey: compressed([]byte("text"))}},
		"of another kind":   {"lamp", map[string][]byte{formKey: compressed([]byte(`{"Component":"lamp"}`))}},
		"another component": {"radio", map[string][]byte{formKey: good}},
		"too large":         {"lamp", map[string][]byte{formKey: compressed(large)}},
	} {
		stored := &corev1.ConfigMap{BinaryData: tc.data}
		stored.Name = operand.LastGoodName(tc.component)
		if got := operand.ReadLastGood(stored); got != nil {
			t.Errorf("%s: read the form of %s", name, got.Component.Name)
		}
	}
}

// TestLastGoodHasNoSecret: a ConfigMap is for anyone to read.
func TestLastGoodHasNoSecret(t *testing.T) {
	secret, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	bad := form()
	object := &unstructured.Unstructured{Object: secret}
	object.SetAPIVersion("v1")
	object.SetKind("Secret")
	object.SetName("token")
	bad.Objects = append(bad.Objects, object)
	if _, err := bad.Object(); err == nil || !strings.Contains(err.Error(), "Secret token") {
		t.Errorf("error %v, want one that names the Secret", err)
	}
}
