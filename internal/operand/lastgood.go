// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/internal/ownership"
)

const (
	// lastGoodSuffix ends the name of the ConfigMap with a component's last good form.
	lastGoodSuffix = "-last-good"
	// lastGoodKey is its key in the ConfigMap's binary data: JSON, compressed by gzip.
	lastGoodKey = "form.json.gz"
	// mostLastGood bounds, in bytes, what is read of a form: etcd refuses a spec of more than 1.5 MiB, and a form repeats it a
	// few times at most.
	mostLastGood = 16 << 20
)

// LastGoodName returns the name of the ConfigMap with a component's last good form.
func LastGoodName(component string) string { return component + lastGoodSuffix }

// Object returns the ConfigMap with the form. A form with a Secret among its objects is refused: many may read a
// ConfigMap, so certificates and credentials are kept in Secrets alone.
func (g LastGood) Object() (*unstructured.Unstructured, error) {
	for _, object := range g.Objects {
		if object.GetKind() == "Secret" {
			return nil, fmt.Errorf("write the last good form of %s: it has the %s, and a ConfigMap must not contain a Secret",
				g.Component.Name, ownership.Identity(object))
		}
	}
	g.Component = g.Component.Described()
	content, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("write the last good form of %s: %w", g.Component.Name, err)
	}
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	if _, err := writer.Write(content); err != nil {
		return nil, fmt.Errorf("compress the last good form of %s: %w", g.Component.Name, err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("compress the last good form of %s: %w", g.Component.Name, err)
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata":   map[string]any{"name": LastGoodName(g.Component.Name), "namespace": g.Component.Namespace},
		"binaryData": map[string]any{lastGoodKey: base64.StdEncoding.EncodeToString(compressed.Bytes())},
	}}
	object.SetLabels(ownership.Labels(g.Component.Name))
	return object, nil
}

// ReadLastGood returns the form in a ConfigMap; nil where it has none that can be read: what is not known cannot be put back.
func ReadLastGood(stored *corev1.ConfigMap) *LastGood {
	reader, err := gzip.NewReader(bytes.NewReader(stored.BinaryData[lastGoodKey]))
	if err != nil {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(reader, mostLastGood))
	if err != nil {
		return nil
	}
	form := &LastGood{}
	if json.Unmarshal(content, form) != nil || LastGoodName(form.Component.Name) != stored.Name {
		return nil
	}
	// An earlier release had a RoleBinding in kube-system, which this one may not write.
	form.Objects = slices.DeleteFunc(form.Objects, func(object *unstructured.Unstructured) bool {
		return object.GetNamespace() != "" && object.GetNamespace() != form.Component.Namespace
	})
	return form
}

// Described is a component without what it is rendered from, as it is stored.
func (c Component) Described() Component {
	c.Images, c.Variants, c.Files, c.Patches, c.UserPatches, c.Guarded = nil, nil, nil, nil, nil, nil
	return c
}
