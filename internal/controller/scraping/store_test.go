// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
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

// TestReplace finds what happened while nobody watched.
func TestReplace(t *testing.T) {
	w := newWatched(usual)
	must(t, w.services().Add(service("shop", "a", annotated())))
	must(t, w.services().Add(service("bank", "a", annotated())))
	w.heard()
	must(t, w.services().Replace([]any{
		service("shop", "b", annotated()), service("farm", "a", annotated()), service("farm", "b", annotated("scheme", "ftp")),
	}, "7"))
	affected, told := w.heard()
	// The empty name stands for all: this was the first full list.
	if diff := cmp.Diff([]string{"", "bank", "farm", "shop"}, affected); diff != "" {
		t.Errorf("affected (-want +got):\n%s", diff)
	}
	if len(told) != 1 {
		t.Errorf("told %q", told)
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

// TestReady: before everything has been seen, a namespace without apps may be one whose apps are still to come.
func TestReady(t *testing.T) {
	w := newWatched(usual)
	must(t, w.services().Add(service("shop", "a", annotated())))
	if w.ready() {
		t.Error("ready before any list")
	}
	must(t, w.services().Replace(nil, "1"))
	if w.ready() {
		t.Error("ready without the Pods")
	}
	w.heard()
	must(t, w.pods().Replace(nil, "1"))
	if !w.ready() {
		t.Error("not ready with both")
	}
	w.expect(t, "the last list", []string{""}, nil)
}

func TestCompact(t *testing.T) {
	plain := service("shop", "web", map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{...}"})
	plain.ResourceVersion, plain.Labels = "7", map[string]string{"app": "web"}
	plain.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	unexported := cmp.AllowUnexported(app{}, details{}, annotation{})
	if diff := cmp.Diff(&app{kind: kindService, namespace: "shop", name: "web", resourceVersion: "7"}, compactOf(t, compactService, plain), unexported); diff != "" {
		t.Errorf("without annotations (-want +got):\n%s", diff)
	}

	rich := service("shop", "web", annotated("port", "http", "interval", "5s"))
	rich.Annotations["example.com/path"] = "/m"
	rich.Spec.Type, rich.Spec.Selector = corev1.ServiceTypeExternalName, nil
	rich.Spec.Ports = append(rich.Spec.Ports, corev1.ServicePort{Name: "metrics", Port: 9090, TargetPort: intstr.FromString("metrics")})
	want := &app{kind: kindService, namespace: "shop", name: "web", details: &details{uid: "web",
		annotations: []annotation{{"example.com/path", "/m"}, {"prometheus.io/port", "http"}, {"prometheus.io/scrape", "true"}},
		external:    true, selectorless: true,
		ports: []scrape.Port{{Name: "http", Number: 80, Target: 8080}, {Name: "metrics", Number: 9090, TargetName: "metrics"}}}}
	sorted := cmpopts.SortSlices(func(a, b annotation) bool { return a.key < b.key })
	if diff := cmp.Diff(want, compactOf(t, compactService, rich), unexported, sorted); diff != "" {
		t.Errorf("annotated (-want +got):\n%s", diff)
	}

	p := pod("shop", "web-0", annotated())
	got := compactOf(t, compactPod, p)
	if diff := cmp.Diff(&app{kind: kindPod, namespace: "shop", name: "web-0", details: &details{uid: "web-0",
		annotations: []annotation{{"prometheus.io/scrape", "true"}}}}, got, unexported); diff != "" {
		t.Errorf("Pod (-want +got):\n%s", diff)
	}
	if again := compactOf(t, compactPod, got); again != got {
		t.Error("a compact app is compacted again")
	}
	if reference := got.reference(); reference.Kind != kindPod || reference.UID != "web-0" || reference.Namespace != "shop" {
		t.Errorf("reference %+v", reference)
	}
	if err := (store{newIndex(), kindPod, compactPod}).Add("nonsense"); err == nil {
		t.Error("what is no object is taken")
	}
}

func compactOf(t *testing.T, transform cache.TransformFunc, object any) *app {
	t.Helper()
	compacted, err := transform(object)
	must(t, err)
	a, ok := compacted.(*app)
	if !ok {
		t.Fatalf("%T", compacted)
	}
	return a
}

// TestConcurrently is for the race detector: the reflectors write while reconciles and reports read.
func TestConcurrently(t *testing.T) {
	w := newWatched(usual)
	w.index.affected, w.index.told, w.index.counted = func(string) {}, func(*app, *scrape.Rejection) {}, func() {}
	var group sync.WaitGroup
	for _, work := range []func(int) error{
		func(i int) error { return w.services().Add(service("shop", "a", annotated("port", strconv.Itoa(i+1)))) },
		func(int) error { return w.services().Delete(service("shop", "a", nil)) },
		func(int) error {
			return w.services().Replace([]any{service("shop", "b", annotated("scheme", "ftp"))}, "1")
		},
		func(i int) error { return w.pods().Add(pod("shop", strconv.Itoa(i%3), annotated())) },
		func(i int) error {
			w.judgeBy(rules{prefix: "prometheus.io", services: i%2 == 0, pods: true, perService: i%3 == 0})
			return nil
		},
		func(int) error {
			w.of("shop")
			w.names()
			w.ready()
			w.has("shop")
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
