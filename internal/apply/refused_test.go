// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/internal/ownership"
)

var (
	configMaps = schema.GroupResource{Resource: "configmaps"}
	invalid    = apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "prometheus-adapter", nil)
)

// refuses applies, and demands a RefusedError with the time of the next try after so many writes and dry runs in all.
func (s *server) refuses(t *testing.T, a *Applier, object *unstructured.Unstructured, retryAfter time.Duration, applied, dryRuns int) {
	t.Helper()
	_, err := a.Apply(t.Context(), object)
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v, want a RefusedError", err)
	}
	if !errors.Is(err, s.fail) || refused.Object != ownership.Identity(object) || refused.RetryAfter != retryAfter {
		t.Errorf("%+v, want the answer about %s and a retry after %s", refused, ownership.Identity(object), retryAfter)
	}
	s.sent(t, applied, dryRuns)
}

func (s *server) sent(t *testing.T, applied, dryRuns int) {
	t.Helper()
	if s.applied != applied || s.dryRuns != dryRuns {
		t.Errorf("%d writes and %d dry runs, want %d and %d", s.applied, s.dryRuns, applied, dryRuns)
	}
}

func (s *server) pass(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

// TestRefused: what the API server refuses is not sent with every event, but once a minute, as a dry run.
func TestRefused(t *testing.T) {
	for name, answer := range map[string]error{
		"invalid":     invalid,
		"forbidden":   apierrors.NewForbidden(configMaps, "prometheus-adapter", errors.New("exceeded quota")),
		"bad request": apierrors.NewBadRequest("cannot be decoded"),
		"too large":   apierrors.NewRequestEntityTooLargeError("limit is 3145728"),
	} {
		t.Run(name, func(t *testing.T) {
			s, a := newServer(t)
			object := wanted(map[string]any{"config.yaml": "one"})
			s.fail = answer
			s.refuses(t, a, object, time.Minute, 1, 0)
			s.pass(20 * time.Second)
			s.refuses(t, a, object, 40*time.Second, 1, 0)
			s.pass(40 * time.Second)
			s.refuses(t, a, object, time.Minute, 1, 1)
			s.refuses(t, a, object, time.Minute, 1, 1)
			if _, err := a.Apply(t.Context(), object); !strings.Contains(err.Error(), "ConfigMap metrics/prometheus-adapter") {
				t.Errorf("%q does not name the object", err)
			}
			s.fail = nil
			s.pass(time.Minute)
			s.expect(t, a, object, Created, 2)
			s.sent(t, 2, 2)
			if err := s.Delete(t.Context(), s.configMap(t)); err != nil {
				t.Fatal(err)
			}
			s.expect(t, a, object, Repaired, 3)
		})
	}
}

// TestPassingFailure is no refusal: the same request may be accepted the next moment.
func TestPassingFailure(t *testing.T) {
	terminating := apierrors.NewForbidden(configMaps, "prometheus-adapter", errors.New("is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, answer := range map[string]error{
		"conflict":                 apierrors.NewConflict(configMaps, "prometheus-adapter", errors.New("modified")),
		"internal error":           apierrors.NewInternalError(errors.New("etcd")),
		"too many requests":        apierrors.NewTooManyRequests("later", 1),
		"the namespace is deleted": terminating,
		"no answer from a server":  errors.New("connection refused"),
	} {
		s, a := newServer(t)
		s.fail = answer
		for range 2 {
			_, err := a.Apply(t.Context(), wanted(map[string]any{"config.yaml": "one"}))
			var refused *RefusedError
			if !errors.Is(err, answer) || errors.As(err, &refused) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		s.sent(t, 2, 0)
	}
}

// TestRefusedFormBesideTheLastGood: the last good form is applied while the desired one is refused, and neither makes the
// applier forget what it knows of the other.
func TestRefusedFormBesideTheLastGood(t *testing.T) {
	s, a := newServer(t)
	good, desired := wanted(map[string]any{"config.yaml": "one"}), wanted(map[string]any{"config.yaml": "two"})
	s.expect(t, a, good, Created, 1)
	if err := a.Refused(t.Context(), desired); err != nil {
		t.Errorf("refused before the first try: %v", err)
	}
	s.fail = invalid
	s.refuses(t, a, desired, time.Minute, 2, 0)
	s.fail = nil
	s.expect(t, a, good, Unchanged, 2)
	var refused *RefusedError
	if err := a.Refused(t.Context(), desired); !errors.As(err, &refused) || refused.RetryAfter != time.Minute {
		t.Errorf("error %v, want what the API server said", err)
	}
	s.spoil(t, "editor", "config.yaml")
	s.expect(t, a, good, Repaired, 3)
	s.fail = invalid
	s.refuses(t, a, desired, time.Minute, 3, 0)

	s.pass(time.Minute)
	if err := a.Refused(t.Context(), desired); !errors.As(err, &refused) || refused.RetryAfter != time.Minute {
		t.Errorf("after a minute: error %v, want another refusal", err)
	}
	s.sent(t, 3, 1)
	s.fail = nil
	s.pass(time.Minute)
	if err := a.Refused(t.Context(), desired); err != nil {
		t.Errorf("when it is accepted: %v", err)
	}
	s.sent(t, 3, 2)
	s.expect(t, a, desired, Configured, 4)

	// Other content is another question.
	s.fail = invalid
	s.refuses(t, a, wanted(map[string]any{"config.yaml": "three"}), time.Minute, 5, 2)
	s.fail = nil
	s.expect(t, a, wanted(map[string]any{"config.yaml": "four"}), Configured, 6)
}

// TestRefusedAfterAnEdit: what was accepted before is sent itself, since only a write can reclaim the fields of others.
func TestRefusedAfterAnEdit(t *testing.T) {
	s, a := newServer(t)
	object := wanted(map[string]any{"config.yaml": "one"})
	s.expect(t, a, object, Created, 1)
	s.spoil(t, "editor", "config.yaml")
	s.fail = invalid
	s.refuses(t, a, object, time.Minute, 3, 0) // Once more with the fields reclaimed.
	s.refuses(t, a, object, time.Minute, 3, 0)
	s.fail = nil
	s.pass(time.Minute)
	s.expect(t, a, object, Repaired, 4)
	s.sent(t, 4, 0)
}

// TestRefusalsAreForgotten when the content is no longer desired.
func TestRefusalsAreForgotten(t *testing.T) {
	s, a := newServer(t)
	s.fail = invalid
	for _, data := range []string{"one", "two", "three"} {
		s.pass(20 * time.Minute)
		_, err := a.Apply(t.Context(), wanted(map[string]any{"config.yaml": data}))
		if err == nil || len(a.refusals) != 1 {
			t.Errorf("error %v, %d refusals, want one", err, len(a.refusals))
		}
	}
}
