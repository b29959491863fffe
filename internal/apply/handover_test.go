// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func service(instance string) *unstructured.Unstructured {
	return component("v1", "Service", map[string]any{"spec": map[string]any{"selector": map[string]any{"instance": instance},
		"ports": []any{map[string]any{"name": "https", "port": int64(443), "protocol": "TCP"}}}})
}

// TestRetainSelector: a Service does not leave the pods that serve before there are others.
func TestRetainSelector(t *testing.T) {
	s, a := newServer(t)
	retain := func(a *Applier, want string) *unstructured.Unstructured {
		t.Helper()
		desired := service("two")
		got, err := a.RetainSelector(t.Context(), desired)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(service(want), got); diff != "" {
			t.Errorf("the Service (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(service("two"), desired); diff != "" {
			t.Errorf("the desired object, which is shared, was changed (-before +after):\n%s", diff)
		}
		return got
	}
	retain(a, "two") // There is none yet.
	s.expect(t, a, service("one"), Created, 1)
	s.expect(t, a, retain(a, "one"), Unchanged, 1)
	retain(New(a.client, a.live, s.clock, time.Minute), "one") // After a restart.

	// An edit of others is repaired, whatever the pods do.
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(service("one").GroupVersionKind())
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(service("one")), stored); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(stored.Object, "edited", "spec", "selector", "instance"); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), stored, client.FieldOwner("editor")); err != nil {
		t.Fatal(err)
	}
	s.expect(t, a, retain(a, "two"), Configured, 2)
	s.blindLive = true
	retain(a, "two") // It is known to have it: nothing is read.
}

// TestDeleteOrphans deletes what a replaced Deployment has left behind, and looks for it only once.
func TestDeleteOrphans(t *testing.T) {
	replicaSet := func(name, component string, owners ...metav1.OwnerReference) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: name, OwnerReferences: owners,
			Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName, v1alpha1.ComponentLabel: component}}}
	}
	yes := true
	controller := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "metrics-server", UID: "new", Controller: &yes}
	foreign := replicaSet("foreign", "metrics-server")
	delete(foreign.Labels, v1alpha1.ManagedLabel)
	s, a := newServer(t, replicaSet("controlled", "metrics-server", controller), replicaSet("serves", "metrics-server"),
		replicaSet("history", "metrics-server"), replicaSet("other", "prometheus-adapter"), foreign)
	s.neverChanges(validation.FieldImmutableErrorMsg, "spec", "selector")
	sweep := func(want ...string) {
		t.Helper()
		got, err := a.DeleteOrphans(t.Context(), "metrics", "metrics-server")
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("error %v, deleted (-want +got):\n%s", err, diff)
		}
	}
	sweep("ReplicaSet metrics/history", "ReplicaSet metrics/serves")
	if err := s.Create(t.Context(), replicaSet("later", "metrics-server")); err != nil {
		t.Fatal(err)
	}
	sweep()

	s.expect(t, a, desiredDeployment("one"), Created, 1)
	s.expect(t, a, desiredDeployment("two"), Replaced, 2)
	sweep("ReplicaSet metrics/later")
	var left appsv1.ReplicaSetList
	if err := s.List(t.Context(), &left); err != nil || len(left.Items) != 3 {
		t.Errorf("error %v, left %d, want the controlled, the foreign and the other component's", err, len(left.Items))
	}
}
