// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
)

// spoil changes a key of the ConfigMap as a field manager would.
func (s *server) spoil(t *testing.T, manager, key string) {
	t.Helper()
	found := s.configMap(t)
	if found.Data == nil {
		found.Data = map[string]string{}
	}
	found.Data[key] = "spoiled by " + manager
	if err := s.Update(t.Context(), found, client.FieldOwner(manager)); err != nil {
		t.Fatal(err)
	}
}

// repairs applies, and demands that this put the ConfigMap right.
func (s *server) repairs(t *testing.T, a *Applier, object *unstructured.Unstructured) {
	t.Helper()
	before := s.applied
	result, err := a.Apply(t.Context(), object)
	if err != nil || result != Repaired || s.applied != before+1 {
		t.Fatalf("result %d, error %v, %d writes; want a repair", result, err, s.applied-before)
	}
}

// concedes applies, and demands that this sends nothing and says why.
func (s *server) concedes(t *testing.T, a *Applier, object *unstructured.Unstructured) *ContestedError {
	t.Helper()
	before := s.applied
	_, err := a.Apply(t.Context(), object)
	var contested *ContestedError
	if !errors.As(err, &contested) || s.applied != before {
		t.Fatalf("error %v and %d writes; want a ContestedError and none", err, s.applied-before)
	}
	if again := a.Contested(t.Context(), object); !errors.As(again, &contested) || s.applied != before {
		t.Fatalf("Contested beforehand: %v", again)
	}
	return contested
}

// fought is a ConfigMap that a rival has changed for so often that the operator has given up.
func fought(t *testing.T) (*server, *Applier, *unstructured.Unstructured) {
	t.Helper()
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one", "other": "two"})
	s.expect(t, a, object, Created, 1)
	for range 3 {
		s.clock.SetTime(s.clock.Now().Add(time.Minute))
		s.spoil(t, "rival", "config.yaml")
		if err := a.Contested(t.Context(), object); err != nil {
			t.Fatalf("contested too early: %v", err)
		}
		s.repairs(t, a, object)
	}
	s.spoil(t, "rival", "config.yaml")
	return s, a, object
}

// TestContested: two writers that undo each other's work are one too many. The rival is named, and has its way.
func TestContested(t *testing.T) {
	s, a, object := fought(t)
	contested := s.concedes(t, a, object)
	if contested.Object != "ConfigMap metrics/prometheus-adapter" || !slices.Equal(contested.Managers, []string{"rival"}) ||
		!slices.Equal(contested.Fields, []string{".data.config.yaml"}) || contested.RetryAfter != time.Hour {
		t.Errorf("contested: %+v", contested)
	}
	for _, part := range []string{"ConfigMap metrics/prometheus-adapter", `"rival"`, ".data.config.yaml", "after 3 repairs"} {
		if !strings.Contains(contested.Error(), part) {
			t.Errorf("%q does not say %q", contested, part)
		}
	}
	first := contested.Error()
	s.clock.SetTime(s.clock.Now().Add(59 * time.Minute))
	if later := s.concedes(t, a, object); later.RetryAfter != time.Minute || later.Error() != first {
		t.Errorf("after 59 minutes: %+v; the message must not change, or the status would with each look", later)
	}
	if got := s.configMap(t).Data["config.yaml"]; got != "spoiled by rival" {
		t.Errorf("stored %q", got)
	}
}

// TestContestTriesAgain once, an hour after the rival's last write, and gives up at once when that is answered.
func TestContestTriesAgain(t *testing.T) {
	s, a, object := fought(t)
	_ = s.concedes(t, a, object)
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	s.repairs(t, a, object)
	s.spoil(t, "rival", "config.yaml")
	_ = s.concedes(t, a, object)

	// A rival that stopped meanwhile is not contested again.
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	s.repairs(t, a, object)
	s.expect(t, a, object, Unchanged, s.applied)
}

// TestContestEnds where there is a reason to think that the rival has.
func TestContestEnds(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *server, *Applier, *unstructured.Unstructured){
		"when the spec changes": func(_ *testing.T, _ *server, a *Applier, _ *unstructured.Unstructured) {
			a.NewSpec("another generation")
		},
		"when the rival gives in": func(t *testing.T, s *server, a *Applier, object *unstructured.Unstructured) {
			t.Helper()
			// As the rival does it, our own entry in managedFields comes back as well.
			sent := object.DeepCopy()
			err := s.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(sent),
				client.FieldOwner(v1alpha1.FieldManager), client.ForceOwnership)
			if err != nil {
				t.Fatal(err)
			}
			s.expect(t, a, object, Unchanged, s.applied)
			s.spoil(t, "rival", "config.yaml")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, a, object := fought(t)
			_ = s.concedes(t, a, object)
			end(t, s, a, object)
			s.repairs(t, a, object)
		})
	}
}

// TestSpecKeepsItsContests: the same generation, looked at again, is no reason to begin anew.
func TestSpecKeepsItsContests(t *testing.T) {
	s, a, object := fought(t)
	a.NewSpec("one")
	for range 3 {
		a.NewSpec("one")
		s.repairs(t, a, object)
		s.spoil(t, "rival", "config.yaml")
	}
	a.NewSpec("one")
	_ = s.concedes(t, a, object)
}

// TestDeletionIsContested as well, also where the rival makes the object anew.
func TestDeletionIsContested(t *testing.T) {
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	s.expect(t, a, object, Created, 1)
	remove := func() {
		if err := s.Delete(t.Context(), s.configMap(t)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		remove()
		s.repairs(t, a, object)
	}
	remove()
	contested := s.concedes(t, a, object)
	if len(contested.Managers) > 0 || !strings.Contains(contested.Error(), "another writer deletes it") {
		t.Errorf("contested: %v", contested)
	}
}

// TestHonestRepairIsUnlimited: edits that have nothing to do with each other, or that are far apart, are no contest.
func TestHonestRepairIsUnlimited(t *testing.T) {
	s, a := newServer(t)
	object := wanted(map[string]any{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"})
	s.expect(t, a, object, Created, 1)
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		for _, manager := range []string{"alice", "bob"} {
			s.spoil(t, manager, key)
			s.repairs(t, a, object)
		}
	}
	for range 10 {
		s.clock.SetTime(s.clock.Now().Add(6 * time.Minute))
		s.spoil(t, "alice", "a")
		s.repairs(t, a, object)
	}
}

// TestOwnWritesAreNoLoss: a cache that has not seen our last write shows fewer fields than that had.
func TestOwnWritesAreNoLoss(t *testing.T) {
	last := record{uid: "one", resourceVersion: "10", fields: `{"f:data":{"f:a":{},"f:b":{}}}`}
	object := func(uid, version, fields string) client.Object {
		found := &corev1.ConfigMap{}
		found.SetUID("one")
		if uid != "" {
			found.SetUID("two")
		}
		found.ResourceVersion = version
		found.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: v1alpha1.FieldManager,
			Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)}}
		return found
	}
	for name, tc := range map[string]struct {
		now   client.Object
		known bool
		lost  bool
	}{
		"nothing was written":             {nil, false, false},
		"gone":                            {nil, true, true},
		"as it was written":               {object("", "10", last.fields), true, false},
		"with a status since":             {object("", "11", last.fields), true, false},
		"with more fields than before":    {object("", "11", `{"f:data":{"f:a":{},"f:b":{},"f:c":{}}}`), true, false},
		"with fewer fields":               {object("", "11", `{"f:data":{"f:a":{}}}`), true, true},
		"from before the last write":      {object("", "9", `{"f:data":{"f:a":{}}}`), true, false},
		"made anew":                       {object("two", "11", last.fields), true, true},
		"an earlier one of the same name": {object("two", "9", last.fields), true, false},
	} {
		if lost := lossOf(tc.now, last, tc.known); (lost != nil) != tc.lost {
			t.Errorf("%s: %+v, want a loss: %v", name, lost, tc.lost)
		}
	}
}

// TestTakeOver makes a foreign object ours in one write, and is a repair like any other when the rival takes it back.
func TestTakeOver(t *testing.T) {
	theirs := func() *corev1.ConfigMap {
		foreign := &corev1.ConfigMap{}
		foreign.Name, foreign.Namespace = "prometheus-adapter", "metrics"
		foreign.Data = map[string]string{"config.yaml": "theirs", "more": "theirs"}
		return foreign
	}
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	install := func() {
		t.Helper()
		if err := s.Create(t.Context(), theirs(), client.FieldOwner("helm")); err != nil {
			t.Fatal(err)
		}
	}
	install()
	var taken *NameTakenError
	if _, err := a.Apply(t.Context(), object); !errors.As(err, &taken) || s.applied != 0 {
		t.Fatalf("by Apply: %v, %d writes", err, s.applied)
	}
	if result, err := a.TakeOver(t.Context(), object); err != nil || result != Configured || s.applied != 1 {
		t.Fatalf("result %d, error %v, %d writes", result, err, s.applied)
	}
	found := s.configMap(t)
	if found.Data["config.yaml"] != "one" || found.Data["more"] != "theirs" || found.Labels[v1alpha1.ManagedLabel] == "" {
		t.Errorf("stored %+v", found)
	}
	s.expect(t, a, object, Unchanged, 1)

	// The rival makes it anew, and again.
	for range 3 {
		if err := s.Delete(t.Context(), s.configMap(t)); err != nil {
			t.Fatal(err)
		}
		install()
		if result, err := a.TakeOver(t.Context(), object); err != nil || result != Repaired {
			t.Fatalf("result %d, error %v", result, err)
		}
	}
	if err := s.Delete(t.Context(), s.configMap(t)); err != nil {
		t.Fatal(err)
	}
	install()
	var contested *ContestedError
	if _, err := a.TakeOver(t.Context(), object); !errors.As(err, &contested) || !slices.Equal(contested.Managers, []string{"helm"}) {
		t.Errorf("error %v, want a ContestedError about helm", err)
	}
	if s.configMap(t).Data["config.yaml"] != "theirs" {
		t.Error("written in spite of the contest")
	}
}

// TestRivalOfManyNames: a rival with another name each time makes each loss another kind. It is repaired for some times, and then
// again some time later, and what is remembered of it is bounded.
func TestRivalOfManyNames(t *testing.T) {
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	s.expect(t, a, object, Created, 1)
	id := ownership.Identity(object)
	for round := range 3 {
		for i := range mostRepairsOfAll {
			s.clock.SetTime(s.clock.Now().Add(time.Second))
			s.spoil(t, fmt.Sprintf("rival-%d-%d", round, i), "config.yaml")
			s.repairs(t, a, object)
		}
		s.spoil(t, fmt.Sprintf("rival-%d-last", round), "config.yaml")
		s.clock.SetTime(s.clock.Now().Add(s.concedes(t, a, object).RetryAfter))
		if kinds := len(a.contests[id]); kinds > mostRepairsOfAll {
			t.Fatalf("%d kinds of losses are remembered", kinds)
		}
		s.clock.SetTime(s.clock.Now().Add(time.Minute))
		s.repairs(t, a, object)
		s.clock.SetTime(s.clock.Now().Add(repairWindow))
	}
}
