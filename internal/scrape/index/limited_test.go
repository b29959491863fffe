// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
)

// made is a Service that was made at a time, in seconds.
func made(at int64, namespace, name string, annotations map[string]string) *corev1.Service {
	object := service(namespace, name, annotations)
	object.CreationTimestamp = metav1.Unix(at, 0)
	return object
}

func query(i int) map[string]string { return annotated("path", fmt.Sprintf("/m?x=%d", i)) }

// TestCaps: what one namespace makes its monitor, and so the configuration of Prometheus, grow by is limited. The oldest Services
// stay scraped, whatever comes after them, and the rest says why it is not.
func TestCaps(t *testing.T) {
	perService := usual
	perService.PerService = true
	long := strings.Repeat("n", 60)
	for name, tc := range map[string]struct {
		rules       Rules
		annotations func(int) map[string]string
		name        string
		// fit is how many of 300 do.
		fit  int
		says string
	}{
		"each with a query of its own": {usual, query, "app", 10, "queries"},
		"all with one query":           {usual, func(int) map[string]string { return query(1) }, "app", 100, "queries"},
		"long queries":                 {usual, func(int) map[string]string { return annotated("path", "/m?x="+strings.Repeat("y", 250)) }, long, 18, "queries"},
		"ports of the Service":         {usual, func(int) map[string]string { return annotated("port", "80") }, "app", 200, "ports"},
		"ports and long names":         {usual, func(int) map[string]string { return annotated("port", "80") }, long, 84, "ports"},
		"a monitor for each":           {perService, func(int) map[string]string { return annotated() }, "app", 200, "monitors"},
		"long queries for each": {perService, func(i int) map[string]string {
			return annotated("path", fmt.Sprintf("/m?x=%d%s", i%10, strings.Repeat("y", 240)))
		}, long, 56, "queries"},
		"what relabelings read": {usual, func(int) map[string]string { return annotated("port", "8080") }, "app", 300, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatched(tc.rules)
			for i := range 300 {
				// The newest come first, and push those of their kind out as older ones are seen.
				must(t, w.services().Add(made(int64(300-i), "shop", fmt.Sprintf("%s%03d", tc.name, 299-i), tc.annotations(299-i))))
			}
			must(t, w.services().Add(made(1000, "bank", "a", tc.annotations(1))))
			status := w.status()
			if int(status.Services) != tc.fit+1 || int(status.RejectedTotal) != 300-tc.fit {
				t.Fatalf("%d Services are scraped and %d rejected, want %d and %d", status.Services, status.RejectedTotal, tc.fit+1, 300-tc.fit)
			}
			view := w.View("shop")
			scraped := slices.Concat(view.Special, view.Services)
			if tc.says == "" {
				return
			}
			if len(scraped) != tc.fit || scraped[tc.fit-1].Name != fmt.Sprintf("%s%03d", tc.name, tc.fit-1) {
				t.Errorf("%d in the monitor, the last is %s", len(scraped), scraped[len(scraped)-1].Name)
			}
			if first := status.Rejected[0]; first.Namespace != "shop" || !strings.Contains(first.Reason, tc.says) ||
				first.Name != fmt.Sprintf("%s%03d", tc.name, tc.fit) {
				t.Errorf("rejected: %+v", first)
			}

			_, rejected := w.calls()
			if len(rejected) != 300-tc.fit {
				t.Errorf("%d Events, want one for each that is rejected", len(rejected))
			}
			// One goes, and the next oldest takes its place; a change of another changes nothing.
			must(t, w.services().Delete(made(1, "shop", tc.name+"000", tc.annotations(0))))
			must(t, w.services().Update(made(300, "shop", tc.name+"299", tc.annotations(299))))
			if status := w.status(); int(status.RejectedTotal) != 299-tc.fit {
				t.Errorf("one is gone: %d rejected, want %d", status.RejectedTotal, 299-tc.fit)
			}
			if _, rejected := w.calls(); len(rejected) != 0 {
				t.Errorf("one is gone: Events %q", rejected)
			}
			for i := range 300 {
				must(t, w.services().Delete(made(int64(i+1), "shop", fmt.Sprintf("%s%03d", tc.name, i), nil)))
			}
			must(t, w.services().Delete(made(1000, "bank", "a", nil)))
			if len(w.namespaces) != 0 {
				t.Errorf("%d namespaces are remembered", len(w.namespaces))
			}
		})
	}
}

// TestCapsAgreeWithACount: whatever happened in whatever order, the same are scraped as if they had come at once.
func TestCapsAgreeWithACount(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test wants the same numbers each time
	variants := []func() map[string]string{func() map[string]string { return nil }, func() map[string]string { return annotated() },
		func() map[string]string { return query(random.IntN(20)) }, func() map[string]string { return annotated("port", "80") },
		func() map[string]string { return annotated("scheme", "ftp") }}
	w := newWatched(usual)
	left := map[string]*corev1.Service{}
	for i := range 4000 {
		name := fmt.Sprintf("app-%03d", random.IntN(400))
		if random.IntN(3) == 0 && left[name] != nil {
			must(t, w.services().Delete(left[name]))
			delete(left, name)
			continue
		}
		at := int64(i)
		if known := left[name]; known != nil {
			at = known.CreationTimestamp.Unix()
		}
		left[name] = made(at, "shop", name, variants[random.IntN(len(variants))]())
		must(t, w.services().Add(left[name]))
		if i%100 != 0 {
			continue
		}
		fresh := newWatched(usual)
		for _, name := range slices.Sorted(maps.Keys(left)) {
			must(t, fresh.services().Add(left[name]))
		}
		got, want := w.status(), fresh.status()
		if got.Services != want.Services || !slices.Equal(got.Rejected, want.Rejected) || got.RejectedTotal != want.RejectedTotal {
			t.Fatalf("after %d changes: %+v, want %+v", i, got, want)
		}
		if got, want := names(w.View("shop").Special), names(fresh.View("shop").Special); !slices.Equal(got, want) {
			t.Fatalf("after %d changes: %q are scraped, want %q", i, got, want)
		}
	}
}

func names(apps []scrape.App) (all []string) {
	for _, a := range apps {
		all = append(all, a.Name)
	}
	return all
}

// TestPlacesAreShared: a namespace with very many rejected apps does not hide those of another.
func TestPlacesAreShared(t *testing.T) {
	w := newWatched(usual)
	for i := range 100 {
		must(t, w.services().Add(service("attack", fmt.Sprintf("app-%02d", i), annotated("scheme", "ftp"))))
	}
	for i := range 3 {
		must(t, w.services().Add(service("shop", fmt.Sprintf("app-%d", i), annotated("scheme", "ftp"))))
	}
	must(t, w.hostPods().Add(pod("zoo", "agent", annotated())))
	places := map[string]int{}
	status := w.status()
	for _, app := range status.Rejected {
		places[app.Namespace]++
	}
	if places["attack"] != 16 || places["shop"] != 3 || places["zoo"] != 1 || status.RejectedTotal != 104 {
		t.Errorf("places %v, total %d", places, status.RejectedTotal)
	}
}

// TestHostPods are rejected unless their namespace is allowed to have some.
func TestHostPods(t *testing.T) {
	w := newWatched(usual)
	must(t, w.hostPods().Add(pod("infra", "exporter", annotated())))
	must(t, w.hostPods().Add(pod("infra", "bad", annotated("scheme", "ftp"))))
	must(t, w.hostPods().Add(pod("infra", "off", nil)))
	w.expect(t, "they come", []string{"infra"}, []string{
		`HostPod infra/bad: annotation prometheus.io/scheme is "ftp": write http or https`,
		"HostPod infra/exporter: " + scrape.InHostNetwork.Reason})
	refused := w.status()
	if refused.Pods != 0 || refused.RejectedTotal != 2 || refused.Rejected[1] != (v1alpha1.RejectedApp{Kind: "Pod", Namespace: "infra",
		Name: "exporter", Reason: scrape.InHostNetwork.Reason}) {
		t.Errorf("refused: %+v", refused)
	}
	if allowed := w.Status(func(string) Namespace { return Namespace{Scraped: true, HostNetwork: true} }); allowed.Pods != 1 || allowed.RejectedTotal != 1 {
		t.Errorf("allowed: %+v", allowed)
	}
	if view := w.View("infra"); view.Pods || !view.HostPods {
		t.Errorf("view: %+v", view)
	}
	// One of the same name that is not in the host's network comes before the old one is seen to go.
	must(t, w.pods().Add(pod("infra", "bad", annotated("scheme", "ftp"))))
	must(t, w.hostPods().Delete(pod("infra", "bad", nil)))
	must(t, w.hostPods().Delete(pod("infra", "exporter", nil)))
	if left := w.status(); left.RejectedTotal != 1 || left.Rejected[0].Name != "bad" {
		t.Errorf("left: %+v", left)
	}
	must(t, w.pods().Delete(pod("infra", "bad", nil)))
	if len(w.namespaces) != 0 {
		t.Errorf("%d namespaces are remembered", len(w.namespaces))
	}
}
