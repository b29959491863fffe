// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestReclaimLeavesFinalizers: the edits of others become the operator's to be removed, and no finalizer of theirs, which would go too: a
// volume in use would lose its protection.
func TestReclaimLeavesFinalizers(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, APIVersion: "v1", FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(fields)}
	}
	found := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "5", ManagedFields: []metav1.ManagedFieldsEntry{
		entry(v1alpha1.FieldManager, metav1.ManagedFieldsOperationApply, `{"f:metadata":{"f:labels":{"f:a":{}}}}`),
		entry("backup", metav1.ManagedFieldsOperationUpdate,
			`{"f:metadata":{"f:finalizers":{".":{},"v:\"kubernetes.io/pvc-protection\"":{}},"f:labels":{"f:b":{}}}}`)}}}
	patch, err := reclaiming(found, sets.New("backup"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(patch); strings.Contains(got, "finalizers") || !strings.Contains(got, `{"f:a":{},"f:b":{}}`) || strings.Contains(got, "backup") {
		t.Errorf("%s", got)
	}
	if again, err := reclaiming(found, sets.New("backup")); err != nil || again != nil {
		t.Errorf("again %s, error %v", again, err)
	}
}
