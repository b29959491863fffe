// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
	w.store[Pod] = w.Open(Pod)
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
	w.store[Service] = w.Open(Service)
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
	w.store[Service] = w.Open(Service)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.calls()
	late("after another was opened")
	w.expectCounts(t, "at the end", 1, 1, 0)
	if w.Listed(Service) {
		t.Error("the old store's list counts for the new one")
	}
}

func TestCompact(t *testing.T) {
	plain := service("shop", "web", map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{...}"})
	plain.ResourceVersion, plain.Labels = "7", map[string]string{"app": "web"}
	plain.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	unexported := cmp.AllowUnexported(App{}, details{}, annotation{})
	if diff := cmp.Diff(&App{kind: Service, namespace: "shop", name: "web", resourceVersion: "7"}, compactOf(t, compactService, plain), unexported); diff != "" {
		t.Errorf("without annotations (-want +got):\n%s", diff)
	}

	rich := service("shop", "web", annotated("port", "http", "interval", "5s"))
	rich.Annotations["example.com/path"] = "/m"
	rich.Spec.Type, rich.Spec.Selector = corev1.ServiceTypeExternalName, nil
	rich.Spec.Ports = append(rich.Spec.Ports, corev1.ServicePort{Name: "metrics", Port: 9090, TargetPort: intstr.FromString("metrics")})
	want := &App{kind: Service, namespace: "shop", name: "web", details: &details{uid: "web",
		annotations: []annotation{{"example.com/path", "/m"}, {"prometheus.io/port", "http"}, {"prometheus.io/scrape", "true"}},
		external:    true, selectorless: true,
		ports: []scrape.Port{{Name: "http", Number: 80, Target: 8080}, {Name: "metrics", Number: 9090, TargetName: "metrics"}}}}
	sorted := cmpopts.SortSlices(func(a, b annotation) bool { return a.key < b.key })
	if diff := cmp.Diff(want, compactOf(t, compactService, rich), unexported, sorted); diff != "" {
		t.Errorf("annotated (-want +got):\n%s", diff)
	}

	p := pod("shop", "web-0", annotated())
	got := compactOf(t, compactPod, p)
	if diff := cmp.Diff(&App{kind: Pod, namespace: "shop", name: "web-0", details: &details{uid: "web-0",
		annotations: []annotation{{"prometheus.io/scrape", "true"}}}}, got, unexported); diff != "" {
		t.Errorf("Pod (-want +got):\n%s", diff)
	}
	if again := compactOf(t, compactPod, got); again != got {
		t.Error("a compact app is compacted again")
	}
	if reference := got.Reference(); reference.Kind != string(Pod) || reference.UID != "web-0" || reference.Namespace != "shop" {
		t.Errorf("reference %+v", reference)
	}
	if err := New(Events{}).Open(Pod).Add("nonsense"); err == nil {
		t.Error("what is no object is taken")
	}
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
			w.Has("shop")
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
