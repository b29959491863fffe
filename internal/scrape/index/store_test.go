// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unique"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"

	"github.com/metricspipeline/operator/internal/scrape"
)

// TestReplace finds what happened while the watch was interrupted.
func TestReplace(t *testing.T) {
	w := newWatched(usual)
	must(t, w.services().Add(service("shop", "a", annotated())))
	must(t, w.services().Add(service("bank", "a", annotated())))
	w.calls()
	must(t, w.services().Replace([]any{
		service("shop", "b", annotated()), service("farm", "a", annotated()), service("farm", "b", annotated("scheme", "ftp")),
	}, "7"))
	affected, rejected := w.calls()
	if diff := cmp.Diff([]string{"bank", "farm", "shop"}, affected); diff != "" {
		t.Errorf("affected (-want +got):\n%s", diff)
	}
	if len(rejected) != 1 {
		t.Errorf("rejected %q", rejected)
	}
	w.expectCounts(t, "replaced", 2, 0, 1)

	must(t, w.services().Replace([]any{
		service("shop", "b", annotated()), service("farm", "a", annotated()), service("farm", "b", annotated("scheme", "ftp")),
	}, "8"))
	w.expect(t, "the same list", nil, nil)
	must(t, w.services().Resync())
	must(t, w.services().Replace(nil, "9"))
	w.expect(t, "an empty list", []string{"farm", "shop"}, nil)
	w.expectCounts(t, "an empty list", 0, 0, 0)
}

// TestListed: before everything has been seen, a namespace without apps may be one whose apps are still to come.
func TestListed(t *testing.T) {
	w := newWatched(usual)
	state := func(step string, services, pods bool, listed ...Kind) {
		t.Helper()
		if w.Listed(Service) != services || w.Listed(Pod) != pods || !slices.Equal(w.listed, listed) {
			t.Errorf("%s: Services %v, Pods %v, called for %q", step, w.Listed(Service), w.Listed(Pod), w.listed)
		}
		w.listed = nil
	}
	must(t, w.services().Add(service("shop", "a", annotated())))
	state("before any list", false, false)
	must(t, w.services().Replace(nil, "1"))
	state("without the Pods", true, false, Service)
	must(t, w.pods().Replace(nil, "1"))
	state("with both", true, true, Pod)
	must(t, w.pods().Replace(nil, "2"))
	state("once more", true, true)
	w.Close(Pod)
	state("Pods are not wanted", true, true)
	w.store[Pod] = w.Open(Pod, usual.Prefix)
	state("Pods are wanted again", true, false)
	must(t, w.pods().Replace(nil, "3"))
	state("and listed", true, true, Pod)
}

// TestFirstList: what is found in the first list of a kind may have been rejected long before, and an app of a later one not.
func TestFirstList(t *testing.T) {
	w := newWatched(usual)
	bad := service("shop", "bad", annotated("scheme", "ftp"))
	step := func(name string, want []bool, objects ...any) {
		t.Helper()
		must(t, w.services().Replace(objects, "1"))
		if !slices.Equal(w.first, want) {
			t.Errorf("%s: rejected in the first list: %v, want %v", name, w.first, want)
		}
		w.first = nil
	}
	step("the first list", []bool{true}, bad)
	step("the same again", nil, bad)
	step("corrected", nil)
	step("as bad as before", []bool{false}, bad)
	w.store[Service] = w.Open(Service, usual.Prefix)
	step("followed anew", []bool{true}, bad)
}

// TestClose: a kind that is not followed any more is not counted, and what a reflector that ends still sees changes nothing.
func TestClose(t *testing.T) {
	w := newWatched(usual)
	old := w.services()
	must(t, old.Replace([]any{service("shop", "a", annotated()), service("shop", "bad", annotated("scheme", "ftp"))}, "1"))
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	w.calls()
	w.Close(Service)
	w.expect(t, "closed", []string{"shop"}, nil)
	w.expectCounts(t, "closed", 0, 1, 0)
	late := func(step string) {
		t.Helper()
		must(t, old.Add(service("shop", "late", annotated())))
		must(t, old.Replace([]any{service("bank", "late", annotated())}, "2"))
		must(t, old.Delete(service("shop", "a", annotated())))
		w.expect(t, step, nil, nil)
	}
	late("after it was closed")
	w.Close(Service)
	w.store[Service] = w.Open(Service, usual.Prefix)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.calls()
	late("after another was opened")
	w.expectCounts(t, "at the end", 1, 1, 0)
	if w.Listed(Service) {
		t.Error("the old store's list counts for the new one")
	}
}

// TestCompact: what is kept of an app is what the grammar reads, whatever else its user writes.
func TestCompact(t *testing.T) {
	huge := strings.Repeat("x", 240<<10)
	unexported := cmp.AllowUnexported(App{}, details{})
	handles := cmp.Comparer(func(one, other unique.Handle[string]) bool { return one == other })
	many := service("shop", "many", annotated())
	many.Spec.Ports = slices.Repeat(many.Spec.Ports, 1000)
	rich := service("shop", "rich", annotated("port", "http", "interval", "5s"))
	rich.Annotations["example.com/path"], rich.CreationTimestamp = "/m", metav1.Unix(7, 0)
	rich.Spec.Type, rich.Spec.Selector = corev1.ServiceTypeExternalName, nil
	rich.Spec.Ports = append(rich.Spec.Ports, corev1.ServicePort{Name: "metrics", Port: 9090, TargetPort: intstr.FromString("metrics")})
	http := scrape.Port{Name: "http", Number: 80, Target: 8080}
	for name, tc := range map[string]struct {
		object *corev1.Service
		want   *details
	}{
		"without annotations": {service("shop", "plain", map[string]string{"kubectl.kubernetes.io/last-applied-configuration": huge}), nil},
		"annotations of another prefix": {service("shop", "other", map[string]string{"x.io/scrape": "true", "x.io/path": huge,
			"prometheus.io/path": huge}), nil},
		"not to be scraped": {service("shop", "off", map[string]string{"prometheus.io/scrape": "false", "prometheus.io/path": huge}), nil},
		"annotated": {rich, &details{uid: "rich", created: 7, annotations: kept(annotated("port", "http")), external: true, selectorless: true,
			ports: []scrape.Port{http, {Name: "metrics", Number: 9090, TargetName: "metrics"}}}},
		"values that are too long": {service("shop", "long", annotated("port", huge, "path", huge, "scheme", huge)), &details{uid: "long",
			annotations: kept(annotated("port", huge[:84], "path", huge[:2049], "scheme", huge[:84])), ports: []scrape.Port{http}}},
		"very many ports": {many, &details{uid: "many", annotations: kept(annotated()), ports: slices.Repeat([]scrape.Port{http}, mostPorts)}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.object.ResourceVersion, tc.object.Labels = "7", map[string]string{"app": huge}
			tc.object.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
			got := compactOf(t, compactor(Service, usual.Prefix), tc.object)
			if tc.want != nil && tc.want.created == 0 {
				tc.want.created = metav1.Time{}.Unix()
			}
			want := &App{kind: Service, namespace: "shop", name: tc.object.Name, resourceVersion: "7", details: tc.want}
			if diff := cmp.Diff(want, got, unexported, handles); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			_, rejection := scrape.Classify(scrape.App{Annotations: tc.object.Annotations, Ports: []scrape.Port{http}}, usual.Prefix, true)
			if tc.want != nil && rejection != nil {
				kept := got.service(usual.Prefix)
				kept.External, kept.Ports = false, []scrape.Port{http}
				if _, again := scrape.Classify(kept, usual.Prefix, true); again == nil || *again != *rejection {
					t.Errorf("rejected by %v, and what is kept of it by %v", rejection, again)
				}
			}
		})
	}

	p := pod("shop", "web-0", annotated())
	for kind := range map[Kind]bool{Pod: true, HostPod: true} {
		transform := compactor(kind, usual.Prefix)
		got := compactOf(t, transform, p)
		want := &App{kind: kind, namespace: "shop", name: "web-0", details: &details{uid: "web-0", annotations: kept(annotated()),
			created: metav1.Time{}.Unix()}}
		if diff := cmp.Diff(want, got, unexported, handles); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
		if again := compactOf(t, transform, got); again != got {
			t.Error("a compact app is compacted again")
		}
		reference := got.Reference()
		if reference.Kind != string(Pod) || reference.UID != "web-0" || reference.Namespace != "shop" {
			t.Errorf("reference %+v", reference)
		}
	}
	if err := New(Events{}).Open(Pod, usual.Prefix).Add("nonsense"); err == nil {
		t.Error("what is no object is taken")
	}
}

// kept is the form in which annotations are kept.
func kept(annotations map[string]string) []scrape.Annotation {
	var all []scrape.Annotation
	for _, name := range []string{"scrape", "port", "path", "scheme"} {
		if value, stated := annotations[usual.Prefix+"/"+name]; stated {
			all = append(all, scrape.Annotation{Name: name, Value: value})
		}
	}
	return all
}

func compactOf(t *testing.T, transform cache.TransformFunc, object any) *App {
	t.Helper()
	compacted, err := transform(object)
	must(t, err)
	a, ok := compacted.(*App)
	if !ok {
		t.Fatalf("%T", compacted)
	}
	return a
}

// TestConcurrently is for the race detector: the reflectors write while reconciles and reports read.
func TestConcurrently(t *testing.T) {
	w := newWatched(usual)
	w.events = Events{Affected: func(string) {}, Rejected: func(*App, *scrape.Rejection, bool) {}, Counted: func() {}, Listed: func(Kind) {}}
	var group sync.WaitGroup
	for _, work := range []func(int) error{
		func(i int) error { return w.services().Add(service("shop", "a", annotated("port", strconv.Itoa(i+1)))) },
		func(int) error { return w.services().Delete(service("shop", "a", nil)) },
		func(int) error {
			return w.services().Replace([]any{service("shop", "b", annotated("scheme", "ftp"))}, "1")
		},
		func(i int) error { return w.pods().Add(pod("shop", strconv.Itoa(i%3), annotated())) },
		func(i int) error {
			w.JudgeBy(Rules{Prefix: "prometheus.io", Services: i%2 == 0, Pods: true, PerService: i%3 == 0})
			return nil
		},
		func(int) error {
			w.View("shop")
			w.Namespaces()
			w.Listed(Pod)
			w.Count("shop", true)
			w.status()
			return nil
		},
	} {
		group.Go(func() {
			for i := range 500 {
				if err := work(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
