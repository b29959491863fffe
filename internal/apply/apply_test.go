// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func TestApply(t *testing.T) {
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	before := object.DeepCopy()

	s.expect(t, a, object, Created, 1)
	s.expect(t, a, object, Unchanged, 1)
	s.expect(t, a, wanted(map[string]any{"config.yaml": "two"}), Configured, 2)
	s.expect(t, a, wanted(map[string]any{"config.yaml": "two"}), Unchanged, 2)
	if got := s.configMap(t).Data["config.yaml"]; got != "two" {
		t.Errorf("stored %q", got)
	}
	if diff := cmp.Diff(before, object); diff != "" {
		t.Errorf("the wanted object, which is shared, was changed (-before +after):\n%s", diff)
	}
}

func TestApplyRepairs(t *testing.T) {
	object := wanted(map[string]any{"config.yaml": "one"})
	for name, spoil := range map[string]func(*testing.T, *server){
		"a changed field": func(t *testing.T, s *server) {
			t.Helper()
			found := s.configMap(t)
			found.Data["config.yaml"] = "spoiled"
			if err := s.Update(t.Context(), found, client.FieldOwner("rival")); err != nil {
				t.Fatal(err)
			}
		},
		"a deleted object": func(t *testing.T, s *server) {
			t.Helper()
			if err := s.Delete(t.Context(), s.configMap(t)); err != nil {
				t.Fatal(err)
			}
		},
		"a label that was taken away": func(t *testing.T, s *server) {
			t.Helper()
			found := s.configMap(t)
			found.Labels = nil
			if err := s.Update(t.Context(), found, client.FieldOwner("rival")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t)
			s.expect(t, a, object, Created, 1)
			spoil(t, s)
			s.expect(t, a, object, Repaired, 2)
			found := s.configMap(t)
			if found == nil || found.Data["config.yaml"] != "one" || found.Labels[v1alpha1.ManagedLabel] == "" {
				t.Errorf("stored %+v", found)
			}
		})
	}
}

// TestApplyLeavesForeignFields alone: what a user adds beside our fields is theirs, and no reason to write.
func TestApplyLeavesForeignFields(t *testing.T) {
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	s.expect(t, a, object, Created, 1)
	found := s.configMap(t)
	found.Annotations = map[string]string{"example.com/team": "platform"}
	if err := s.Update(t.Context(), found, client.FieldOwner("rival")); err != nil {
		t.Fatal(err)
	}
	s.expect(t, a, object, Unchanged, 1)
	if s.configMap(t).Annotations["example.com/team"] != "platform" {
		t.Error("the user's annotation is gone")
	}
}

// TestNameTaken: a foreign object is left alone, and the error names its manager and the remedy.
func TestNameTaken(t *testing.T) {
	foreign := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus-adapter", Namespace: "metrics",
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "helm", Operation: metav1.ManagedFieldsOperationUpdate,
				APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:config.yaml":{}}}`)}}},
		Data: map[string]string{"config.yaml": "theirs"},
	}
	s, a := newServer(t, foreign)
	_, err := a.Apply(t.Context(), wanted(map[string]any{"config.yaml": "one"}))
	var taken *NameTakenError
	if !errors.As(err, &taken) || taken.Manager != "helm" || taken.Object != "ConfigMap metrics/prometheus-adapter" {
		t.Fatalf("error %v, want a NameTakenError about helm's ConfigMap", err)
	}
	for _, part := range []string{"ConfigMap metrics/prometheus-adapter", `"helm"`, "metricspipeline.io/pipeline=default"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if s.applied != 0 || s.configMap(t).Data["config.yaml"] != "theirs" {
		t.Errorf("%d writes, stored %v", s.applied, s.configMap(t).Data)
	}

	// The label hands it over, as the message says.
	found := s.configMap(t)
	found.Labels = map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName}
	if err := s.Update(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	s.expect(t, a, wanted(map[string]any{"config.yaml": "one"}), Configured, 1)
}

// TestAdoptsItsOwn from before a restart, or where the cache is behind.
func TestAdoptsItsOwn(t *testing.T) {
	s, first := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	s.expect(t, first, object, Created, 1)
	second := New(s.WithWatch, s.WithWatch, s.clock, time.Minute)
	if result, err := second.Apply(t.Context(), object); err != nil || result == Repaired || result == Created {
		t.Errorf("after a restart: result %d, error %v", result, err)
	}
	s.blind = true
	if _, err := first.Apply(t.Context(), object); err != nil {
		t.Errorf("with a cache that is behind: %v", err)
	}
}

// TestOutcome is a table because only a real API server answers the old resourceVersion to an apply without effect.
func TestOutcome(t *testing.T) {
	at := func(version string) client.Object {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
	}
	wrote := func(content byte, version string) record {
		return record{wanted: [32]byte{content}, resourceVersion: version}
	}
	for name, tc := range map[string]struct {
		before client.Object
		last   record
		known  bool
		now    record
		want   Result
	}{
		"new":                                 {nil, record{}, false, wrote(1, "5"), Created},
		"there from before a restart":         {at("5"), record{}, false, wrote(1, "5"), Unchanged},
		"there, and changed since a restart":  {at("5"), record{}, false, wrote(1, "6"), Configured},
		"another wish":                        {at("5"), wrote(1, "5"), true, wrote(2, "6"), Configured},
		"changed by a rival":                  {at("6"), wrote(1, "5"), true, wrote(1, "7"), Repaired},
		"deleted by a rival":                  {nil, wrote(1, "5"), true, wrote(1, "9"), Repaired},
		"not in the cache yet":                {at("5"), wrote(1, "5"), true, wrote(1, "5"), Unchanged},
		"an older version in the cache":       {at("4"), wrote(1, "5"), true, wrote(1, "5"), Unchanged},
		"not in the cache, with a new status": {at("6"), wrote(1, "5"), true, wrote(1, "6"), Unchanged},
	} {
		if got := outcome(tc.before, tc.last, tc.known, tc.now); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestFailedApplyIsTriedAgain, also when the wish has not changed since.
func TestFailedApplyIsTriedAgain(t *testing.T) {
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	s.fail = errors.New("the API server is away")
	_, err := a.Apply(t.Context(), object)
	if !errors.Is(err, s.fail) || !strings.Contains(err.Error(), "ConfigMap metrics/prometheus-adapter") {
		t.Errorf("error %v", err)
	}
	s.fail = nil
	s.expect(t, a, object, Created, 2)
}

func TestUnmanagedKind(t *testing.T) {
	s, a := newServer(t)
	object := wanted(nil)
	object.SetKind("PersistentVolume")
	if _, err := a.Apply(t.Context(), object); err == nil || !strings.Contains(err.Error(), "does not manage") || s.applied != 0 {
		t.Errorf("error %v, %d writes", err, s.applied)
	}
}

func TestBehind(t *testing.T) {
	_, a := newServer(t)
	a.remember(content{id: "Deployment metrics/a"}, record{uid: "one", generation: 3})
	object := func(uid string, generation int64) client.Object {
		d := &appsv1.Deployment{}
		d.UID, d.Generation = "one", generation
		if uid != "" {
			d.SetUID("two")
		}
		return d
	}
	for name, tc := range map[string]struct {
		object client.Object
		id     string
		want   bool
	}{
		"older":                {object("", 2), "Deployment metrics/a", true},
		"as written":           {object("", 3), "Deployment metrics/a", false},
		"newer":                {object("", 4), "Deployment metrics/a", false},
		"another object":       {object("two", 1), "Deployment metrics/a", false},
		"nothing written ever": {object("", 1), "Deployment metrics/b", false},
	} {
		if got := a.Behind(tc.object, tc.id); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
