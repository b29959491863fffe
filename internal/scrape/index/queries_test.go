// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/internal/scrape"
)

// asking is a Pod with a query of its own, made at a time.
func asking(at int64, name string, query int) *metav1.PartialObjectMetadata {
	p := pod("shop", name, annotated("path", fmt.Sprintf("/m?x=%02d", query)))
	p.CreationTimestamp = metav1.NewTime(time.Unix(at, 0))
	return p
}

// TestQueriesOfPods: ten different ones have places, which they keep for as long as a Pod has them.
func TestQueriesOfPods(t *testing.T) {
	w := newWatched(usual)
	w.calls()
	for i := range 12 {
		must(t, w.pods().Add(asking(int64(i), fmt.Sprintf("p%02d", i), i)))
	}
	affected, rejected := w.calls()
	if status := w.status(); status.Pods != 10 || status.RejectedTotal != 2 || len(rejected) != 2 ||
		!strings.Contains(rejected[0], "p10") || !strings.Contains(rejected[0], "10 different queries") || !slices.Contains(affected, "shop") {
		t.Errorf("%+v, rejected %q, affected %q", status, rejected, affected)
	}
	// A rollout of the first: its new Pod comes before the old one goes. Nothing changes.
	must(t, w.pods().Add(asking(100, "new", 0)))
	must(t, w.pods().Delete(asking(0, "p00", 0)))
	w.expect(t, "a rollout", nil, nil)
	w.expectCounts(t, "a rollout", 0, 10, 2)
	// One more with a query that has a place, and one with a query that has none.
	must(t, w.pods().Add(asking(101, "more", 3)))
	w.expect(t, "one more", nil, nil)
	must(t, w.pods().Add(asking(102, "waits", 10)))
	if affected, rejected := w.calls(); len(affected) != 0 || len(rejected) != 1 {
		t.Errorf("one more that waits: %q, %q", affected, rejected)
	}
	// A place is free, and the next is that of the query that has waited longest, with both its Pods.
	must(t, w.pods().Delete(asking(100, "new", 0)))
	w.expect(t, "one is gone", []string{"shop"}, nil)
	w.expectCounts(t, "one is gone", 0, 12, 1)
	if got := w.View("shop").Queries; len(got) != 10 || got[9] != (scrape.PodQuery{Query: "?x=10"}) {
		t.Errorf("queries %+v", got)
	}
	for _, name := range []string{"more", "waits"} {
		must(t, w.pods().Delete(pod("shop", name, nil)))
	}
	for i := range 12 {
		must(t, w.pods().Delete(pod("shop", fmt.Sprintf("p%02d", i), nil)))
	}
	if len(w.namespaces) != 0 {
		t.Errorf("%d namespaces are remembered", len(w.namespaces))
	}
}

// TestQueriesAfterAStart: the first list has no order, and the same ones have places as before.
func TestQueriesAfterAStart(t *testing.T) {
	var list []any
	for i := range 40 {
		list = append(list, asking(int64(100-i), fmt.Sprintf("p%02d", i), i))
	}
	w := newWatched(usual)
	must(t, w.pods().Replace(list, "1"))
	got := w.View("shop").Queries
	if len(got) != 10 || got[0].Query != "?x=30" {
		t.Errorf("the oldest have places, not %+v", got)
	}
}

// TestLongQueriesOfPods: the bytes are bounded too.
func TestLongQueriesOfPods(t *testing.T) {
	w := newWatched(usual)
	for i := range 10 {
		must(t, w.pods().Add(pod("shop", fmt.Sprintf("p%d", i), annotated("path", fmt.Sprintf("/m?x=%d%s&y=%s&z=%s&a=%s&b=%s", i,
			strings.Repeat("a", 240), strings.Repeat("a", 240), strings.Repeat("a", 240), strings.Repeat("a", 240), strings.Repeat("a", 240))))))
	}
	if status := w.status(); status.Pods != 6 || status.RejectedTotal != 4 {
		t.Errorf("%+v", status)
	}
}

// TestSeen: what only some apps request is an event for the first and the last of them.
func TestSeen(t *testing.T) {
	w := newWatched(usual)
	must(t, w.services().Add(service("shop", "s", annotated())))
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	w.calls()
	for name, tc := range map[string]struct {
		annotations map[string]string
		services    scrape.Seen
		pods        scrape.Seen
	}{
		"slow":         {annotated("scrape-slow", "true"), scrape.Seen{Slow: true}, scrape.Seen{Slow: true}},
		"slow alone":   {map[string]string{"prometheus.io/scrape-slow": "true"}, scrape.Seen{Slow: true}, scrape.Seen{Slow: true}},
		"https":        {annotated("scheme", "https"), scrape.Seen{HTTPS: true}, scrape.Seen{HTTPS: true}},
		"a list":       {annotated("port", "1,2,2"), scrape.Seen{Ports: 3}, scrape.Seen{Ports: 3}},
		"a bad list":   {annotated("port", "1,2,"), scrape.Seen{}, scrape.Seen{}},
		"a parameter":  {annotated("param_x", "1"), scrape.Seen{Params: true}, scrape.Seen{Params: true}},
		"a bad one":    {annotated("param_x-y", "1"), scrape.Seen{Params: true}, scrape.Seen{Params: true}},
		"not wanted":   {map[string]string{"prometheus.io/scheme": "https"}, scrape.Seen{}, scrape.Seen{}},
		"nothing more": {annotated(), scrape.Seen{}, scrape.Seen{}},
	} {
		for i := range 2 { // The second is no event.
			must(t, w.services().Add(service("shop", fmt.Sprintf("a%d", i), tc.annotations)))
			must(t, w.pods().Add(pod("shop", fmt.Sprintf("a%d", i), tc.annotations)))
			affected, _ := w.calls()
			special := name == "a list" || name == "a parameter"
			if want := i == 0 && tc.pods != (scrape.Seen{}) || special; (len(affected) > 0) != want {
				t.Errorf("%s %d: affected %q, want %v", name, i, affected, want)
			}
		}
		view := w.View("shop")
		if diff := cmp.Diff([]scrape.Seen{tc.services, tc.pods}, []scrape.Seen{view.ServicesSeen, view.PodsSeen}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for i := range 2 {
			must(t, w.services().Delete(service("shop", fmt.Sprintf("a%d", i), nil)))
			must(t, w.pods().Delete(pod("shop", fmt.Sprintf("a%d", i), nil)))
		}
		if view := w.View("shop"); view.ServicesSeen != (scrape.Seen{}) || view.PodsSeen != (scrape.Seen{}) {
			t.Errorf("%s, gone: %+v", name, view)
		}
		w.calls()
	}
}

// TestFamiliesSeen: a Service of the second family has endpoints at other addresses than those of Pods.
func TestFamiliesSeen(t *testing.T) {
	for want, families := range map[bool][]corev1.IPFamily{false: {corev1.IPv4Protocol}, true: {corev1.IPv4Protocol, corev1.IPv6Protocol}} {
		w := newWatched(usual)
		s := service("shop", "s", annotated())
		s.Spec.IPFamilies = families
		must(t, w.services().Add(s))
		if got := w.View("shop").ServicesSeen.IPv6; got != want {
			t.Errorf("%v: %v", families, got)
		}
	}
}
