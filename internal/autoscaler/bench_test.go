// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package autoscaler

import (
	"fmt"
	"runtime"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/types"
)

// decoded returns what a watch brings, with strings of its own.
func decoded(b *testing.B, sample *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	b.Helper()
	text, err := sample.Marshal()
	must(b, err)
	fresh := &autoscalingv2.HorizontalPodAutoscaler{}
	must(b, fresh.Unmarshal(text))
	return fresh
}

// sample has two metrics, one of which only its namespace asks for.
func sample(i int) *autoscalingv2.HorizontalPodAutoscaler {
	h := hpa(fmt.Sprintf("bench-%03d", i/50), fmt.Sprintf("application-%05d", i), podsMetric("http_requests_per_second"),
		externalMetric(fmt.Sprintf("queue_length_of_application_%05d", i), map[string]string{"queue": fmt.Sprintf("orders-%05d", i)}))
	h.UID = types.UID(fmt.Sprintf("5e1f2a3b-0000-4000-8000-%012d", i))
	return h
}

func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkHeap reports the live heap for each of 10,000 HPAs, which should be at most 1 KiB.
func BenchmarkHeap(b *testing.B) {
	const many = 10_000
	for name, fails := range map[string]bool{"working": false, "failing": true} {
		b.Run(name, func(b *testing.B) {
			var each float64
			for b.Loop() {
				before := liveHeap()
				w := newWatched()
				for i := range many {
					h := sample(i)
					if fails {
						h = broken(h, "unable to get metric http_requests_per_second: no metrics returned from custom metrics API")
					}
					must(b, w.store.Add(decoded(b, h)))
				}
				w.calls = nil
				each = (liveHeap() - before) / many / 1024
				runtime.KeepAlive(w)
			}
			b.ReportMetric(each, "KiB/HPA")
		})
	}
}

// BenchmarkEvent is what the status of a working HPA costs, which the HPA controller writes every 15 seconds, among 10,000.
func BenchmarkEvent(b *testing.B) {
	w := newWatched()
	for i := range 10_000 {
		must(b, w.store.Add(sample(i)))
	}
	changed := sample(7)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		changed.Status.DesiredReplicas = int32(i % 10)
		must(b, w.store.Update(changed))
	}
}
