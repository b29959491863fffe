// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/metricspipeline/operator/internal/scrape"
)

// The index beside the plain cache that could stand in its place: client-go's, as controller-runtime uses it, with the index by
// namespace and a transform that keeps what the grammar reads: in Services, or in what the index keeps of them, which a cache of
// controller-runtime could not. docs/architecture.md has what came of it.

// decoded returns what a watch brings, with strings of its own.
func decoded(b *testing.B, sample *corev1.Service) *corev1.Service {
	b.Helper()
	text, err := sample.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	fresh := &corev1.Service{}
	if err := fresh.Unmarshal(text); err != nil {
		b.Fatal(err)
	}
	return fresh
}

func sampleService(i int, annotations map[string]string) *corev1.Service {
	sample := service(fmt.Sprintf("bench-%02d", i/2000), fmt.Sprintf("app-%05d", i), annotations)
	sample.UID, sample.ResourceVersion = types.UID(fmt.Sprintf("5e1f2a3b-0000-4000-8000-%012d", i)), fmt.Sprint(1_000_000+i)
	return sample
}

// onlyGrammar is the transform of the plain cache.
func onlyGrammar(object any) (any, error) {
	full, ok := object.(*corev1.Service)
	if !ok {
		return object, nil
	}
	kept := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: full.Namespace, Name: full.Name, UID: full.UID,
		ResourceVersion: full.ResourceVersion, CreationTimestamp: full.CreationTimestamp}}
	if scrape.Wanted("prometheus.io", full.Annotations) {
		kept.Annotations = scrape.Under("prometheus.io", scrape.Kept("prometheus.io", full.Annotations))
		kept.Spec = corev1.ServiceSpec{Type: full.Spec.Type, Ports: full.Spec.Ports}
		if len(full.Spec.Selector) > 0 {
			kept.Spec.Selector = map[string]string{}
		}
	}
	return kept, nil
}

func plainCache() cache.Indexer {
	return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
}

func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkHeap reports the live heap for each of 10,000 objects.
func BenchmarkHeap(b *testing.B) {
	const many = 10_000
	kinds := map[string]map[string]string{"annotated": annotated("port", "8080"), "other": {"example.com/note": "harmless"}}
	measure := func(b *testing.B, fill func() any) {
		b.Helper()
		var each float64
		for b.Loop() {
			before := liveHeap()
			filled := fill()
			each = (liveHeap() - before) / many / 1024
			runtime.KeepAlive(filled)
		}
		b.ReportMetric(each, "KiB/object")
	}
	for name, annotations := range kinds {
		b.Run("index/"+name+" Services", func(b *testing.B) {
			measure(b, func() any {
				w := newWatched(usual)
				for i := range many {
					must(b, w.services().Add(decoded(b, sampleService(i, annotations))))
				}
				w.affected, w.rejected, w.nearMisses = nil, nil, nil
				return w
			})
		})
		for form, transform := range map[string]cache.TransformFunc{
			"Services": onlyGrammar, "apps": compactor(Service, "prometheus.io")} {
			b.Run("cache of "+form+"/"+name+" Services", func(b *testing.B) {
				measure(b, func() any {
					plain := plainCache()
					for i := range many {
						kept, err := transform(decoded(b, sampleService(i, annotations)))
						must(b, err)
						must(b, plain.Add(kept))
					}
					return plain
				})
			})
		}
	}
	for name, both := range map[string]bool{"that are near misses": false, "whose template has the annotation too": true} {
		b.Run("index/Deployments "+name, func(b *testing.B) {
			measure(b, func() any {
				w := newWatched(usual)
				for i := range many {
					must(b, w.store[Deployment].Add(workloadOf(fmt.Sprintf("bench-%02d", i/2000), fmt.Sprintf("app-%05d", i), both)))
				}
				return w
			})
		})
	}
}

// BenchmarkEvent is what the event of one Service costs until it is known what its namespace's monitor and the status depend on, in a
// namespace of 2,000 that are annotated.
func BenchmarkEvent(b *testing.B) {
	const many = 2_000
	changes := []*corev1.Service{sampleService(7, annotated("port", "8080")), sampleService(7, annotated("port", "0"))}
	b.Run("index", func(b *testing.B) {
		w := newWatched(usual)
		for i := range many {
			must(b, w.services().Add(sampleService(i, annotated("port", "8080"))))
		}
		for i := 0; b.Loop(); i++ {
			must(b, w.services().Add(changes[i%2]))
			w.calls()
			if view := w.View("bench-00"); !view.Plain {
				b.Fatal(view)
			}
		}
	})
	b.Run("cache of apps", func(b *testing.B) {
		plain := plainCache()
		for i := range many {
			must(b, plain.Add(compactService(sampleService(i, annotated("port", "8080")), "prometheus.io")))
		}
		for i := 0; b.Loop(); i++ {
			must(b, plain.Update(compactService(changes[i%2], "prometheus.io")))
			all, err := plain.ByIndex(cache.NamespaceIndex, "bench-00")
			must(b, err)
			accepted := 0
			for _, object := range all {
				if a, ok := object.(*App); ok && usual.judge(a).accepted {
					accepted++
				}
			}
			if accepted < many-1 {
				b.Fatal(accepted)
			}
		}
	})
}
