// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/internal/kinds"
)

// digest names the CRDs whose kinds are served.
func digest(s Served) string {
	var names []string
	for crd, served := range s.served {
		if served {
			names = append(names, crd)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestComeAndGo: a kind is watched from when it is served until its CRD goes, and once more when it comes back.
func TestComeAndGo(t *testing.T) {
	w := newWorld(t)
	for _, step := range []struct {
		name   string
		do     func() error
		did    []string
		one    State
		pend   bool
		crds   string
		digest string
	}{
		{name: "no CRD", did: []string{"watch CustomResourceDefinition"}},
		{name: "another CRD", do: func() error { return w.client.Create(t.Context(), crd("others.example.com")) },
			crds: "others.example.com@1"},
		{name: "not served yet", do: func() error { return w.client.Create(t.Context(), crd(oneCRD)) },
			one: Pending, pend: true, crds: "ones.example.com@1 others.example.com@1"},
		{name: "served", do: func() error { w.mapper.served["One"] = true; return nil }, did: []string{"watch One"},
			one: Ready, crds: "ones.example.com@1 others.example.com@1", digest: oneCRD},
		{name: "still there", one: Ready, crds: "ones.example.com@1 others.example.com@1", digest: oneCRD},
		// Discovery remembers what was served, so that only the CRD shows it.
		{name: "gone", do: func() error { return w.client.Delete(t.Context(), crd(oneCRD)) }, did: []string{"stop One"},
			crds: "others.example.com@1"},
		{name: "still gone", crds: "others.example.com@1"},
		{name: "back", do: func() error { return w.client.Create(t.Context(), crd(oneCRD)) }, did: []string{"watch One"},
			one: Ready, crds: "ones.example.com@1 others.example.com@1", digest: oneCRD},
	} {
		if step.do != nil {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
		}
		served, did := w.ensure()
		if diff := cmp.Diff(step.did, did); diff != "" {
			t.Errorf("%s: did (-want +got):\n%s", step.name, diff)
		}
		if served.State(one) != step.one || served.Has(oneCRD) != (step.one == Ready) || served.Has(twoCRD) {
			t.Errorf("%s: One is %d, want %d; %+v", step.name, served.State(one), step.one, served)
		}
		if served.Pending != step.pend || served.CRDs != step.crds || digest(served) != step.digest || len(served.Unreadable) > 0 {
			t.Errorf("%s: %+v, digest %q", step.name, served, digest(served))
		}
	}
}

// TestTerminatingCRD is absent: its objects are being deleted.
func TestTerminatingCRD(t *testing.T) {
	deleted := crd(oneCRD)
	deleted.Finalizers = []string{"customresourcecleanup.apiextensions.k8s.io"}
	w := newWorld(t, deleted)
	w.mapper.served["One"] = true
	w.ensure()
	if err := w.client.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	if served, did := w.ensure(); served.Has(oneCRD) || served.Pending || !slices.Equal(did, []string{"stop One"}) {
		t.Errorf("served %+v, did %q", served, did)
	}
}

// TestStates: what is known of a kind that is served, by what the API server answered its informer.
func TestStates(t *testing.T) {
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "ones"}, "")
	for name, tc := range map[string]struct {
		synced  bool
		answers []error
		passed  time.Duration
		want    State
		stale   bool
		text    string
		again   time.Duration
	}{
		"listed":                       {synced: true, want: Ready},
		"no answer yet":                {passed: time.Second, want: Pending, text: "not answered yet", again: 19 * time.Second},
		"no answer for long":           {passed: 20 * time.Second, want: Unreadable, text: "not answered yet, for 20s"},
		"refused":                      {answers: []error{forbidden()}, want: Unreadable, text: "forbidden"},
		"no permission any more":       {synced: true, answers: []error{forbidden()}, want: Unreadable, stale: true, text: "forbidden"},
		"a permission came back":       {synced: true, answers: []error{forbidden(), nil}, want: Ready},
		"an API server that restarts":  {synced: true, answers: []error{errors.New("EOF")}, passed: 5 * time.Second, want: Ready, again: 15 * time.Second},
		"another failure of the same":  {synced: true, answers: []error{errors.New("EOF"), errors.New("reset")}, passed: 20 * time.Second, want: Unreadable, stale: true, text: "reset"},
		"one that restarts at a start": {answers: []error{errors.New("EOF")}, passed: 5 * time.Second, want: Pending, text: "EOF", again: 15 * time.Second},
		"one that stays away":          {answers: []error{errors.New("EOF")}, passed: 20 * time.Second, want: Unreadable, text: "EOF"},
		"a CRD that vanished":          {answers: []error{missing}, want: Absent},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, crd(oneCRD))
			w.mapper.served["One"], w.unsynced[one] = true, !tc.synced
			w.ensure()
			for _, answer := range tc.answers {
				w.answers(one, metadata, answer)
			}
			w.clock.Step(tc.passed)
			served, _ := w.ensure()
			if got := served.State(one); got != tc.want || served.Has(oneCRD) == (got == Absent) || served.Pending != (got == Pending) {
				t.Errorf("state %d, want %d; %+v", got, tc.want, served)
			}
			err := served.Err(one)
			if len(served.Unreadable) > 0 {
				err = served.Unreadable[0]
			}
			var unreadable *UnreadableError
			if errors.As(err, &unreadable); (unreadable == nil) != (tc.text == "") {
				t.Fatalf("error %v", err)
			}
			if unreadable != nil && (!strings.Contains(unreadable.Error(), tc.text) || unreadable.Stale != tc.stale ||
				unreadable.Pending != (tc.want == Pending) || (served.Err(one) == nil) != tc.stale) {
				t.Errorf("error %+v, %v", unreadable, unreadable)
			}
			if served.RequeueAfter != tc.again {
				t.Errorf("looks again after %s, want %s", served.RequeueAfter, tc.again)
			}
		})
	}
}

// TestFailures: what fails is tried again, and stops nothing else.
func TestFailures(t *testing.T) {
	w := newWorld(t, crd(oneCRD))
	w.watches.Add(w.configMaps())
	step := func(name string, want State, text string, did ...string) {
		t.Helper()
		served, got := w.ensure()
		if err := served.Err(one); served.State(one) != want || (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%s: One is %d, %v", name, served.State(one), err)
		}
		if text != "" && served.RequeueAfter != 10*time.Second {
			t.Errorf("%s: looks again after %s", name, served.RequeueAfter)
		}
		if !slices.Equal(got, did) {
			t.Errorf("%s: did %q, want %q", name, got, did)
		}
		if served.State(configMaps) != Ready {
			t.Errorf("%s: ConfigMaps are %d", name, served.State(configMaps))
		}
	}
	w.mapper.fail = errors.New("no discovery")
	step("discovery fails", Pending, "whether the API server serves One: no discovery", "watch CustomResourceDefinition", "watch ConfigMap")
	w.clock.Step(20 * time.Second)
	step("discovery keeps failing", Unreadable, "no discovery")
	if served, _ := w.ensure(); !served.Has(oneCRD) {
		t.Error("a kind that discovery says nothing about counts as absent, although its CRD is there")
	}
	w.mapper.fail, w.mapper.served["One"], w.fail = nil, true, errors.New("no client")
	step("the informer cannot be made", Unreadable, "no client")
	w.fail = &meta.NoKindMatchError{GroupKind: one.GroupKind(), SearchedVersions: []string{one.Version}}
	if step("it went since discovery", Pending, ""); w.watches.Unreadable(one) != nil {
		t.Error("a kind that went counts as unreadable")
	}
	w.fail = nil
	step("all is well", Ready, "", "watch One")
	if err := w.client.Delete(t.Context(), crd(oneCRD)); err != nil {
		t.Fatal(err)
	}
	w.fail = errors.New("busy")
	step("the informer cannot be ended", Pending, "busy")
	w.fail = nil
	step("it can", Absent, "", "stop One")
}

// TestCRDsUnreadable: without the permission to list CRDs, discovery alone says what is served. As long as they may yet be
// listed, nothing is taken for missing.
func TestCRDsUnreadable(t *testing.T) {
	w := newWorld(t)
	w.unsynced[kinds.CRD.GroupVersionKind], w.mapper.served["One"] = true, true
	served, did := w.ensure()
	if !served.Pending || served.State(one) != Pending || served.State(two) != Pending || w.mapper.requests > 0 || len(did) != 1 {
		t.Errorf("at first: %+v, did %q, %d requests", served, did, w.mapper.requests)
	}
	w.answers(kinds.CRD.GroupVersionKind, metadata, forbidden())
	served, did = w.ensure()
	if served.Pending || served.State(one) != Ready || served.State(two) != Absent || !slices.Equal(did, []string{"watch One"}) {
		t.Errorf("without the permission: %+v, did %q", served, did)
	}
	if len(served.Unreadable) != 1 || served.Unreadable[0].Kind != kinds.CRD.GroupVersionKind {
		t.Errorf("unreadable: %v", served.Unreadable)
	}
}

// TestServing is what a cluster serves for the tests of others.
func TestServing(t *testing.T) {
	s := Serving(oneCRD)
	if !s.Has(oneCRD) || s.Has(twoCRD) || s.Pending || s.Err(one) != nil || digest(s) != oneCRD {
		t.Errorf("%+v", s)
	}
}

func TestCRDMetadata(t *testing.T) {
	if got := kinds.CRD.New().GetObjectKind().GroupVersionKind().String(); got != "apiextensions.k8s.io/v1, Kind=CustomResourceDefinition" {
		t.Error(got)
	}
}
