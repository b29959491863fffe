// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

const (
	// pollPeriod is how often each path of a polling is requested, and pollLimit the timeout: longer than a
	// HorizontalPodAutoscaler or kubectl would wait.
	pollPeriod = 100 * time.Millisecond
	pollLimit  = 10 * time.Second

	nodeMetrics = "/apis/metrics.k8s.io/v1beta1/nodes"
)

// everyAPI is one path of each version of each metrics API.
func everyAPI() []string {
	return []string{nodeMetrics, podMetric("v1beta1", requestRate), podMetric("v1beta2", requestRate), queueDepth}
}

// givenEveryAPI applies the sample pipeline with rules, waits until each API answers with values, and returns the
// pipeline for changes.
func givenEveryAPI(t *testing.T) *v1alpha1.MetricsPipeline {
	t.Helper()
	pipeline := givenRules(t)
	thenEveryAPI(t)
	return pipeline
}

// thenEveryAPI waits until each API answers with values.
func thenEveryAPI(t *testing.T) {
	t.Helper()
	for _, path := range everyAPI() {
		thenServed(t, path, scrape)
	}
}

// polling requests the same metrics again and again.
type polling struct {
	paths  []string
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	sent   map[string]int
	failed []string
}

// startPolling requests each path ten times a second until stop or the end of the test.
func startPolling(t *testing.T, paths ...string) *polling {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &polling{paths: paths, cancel: cancel, sent: map[string]int{}}
	for _, path := range paths {
		p.done.Go(func() { p.poll(ctx, path) })
	}
	t.Cleanup(p.stop)
	return p
}

func (p *polling) poll(ctx context.Context, path string) {
	ticks := time.NewTicker(pollPeriod)
	defer ticks.Stop()
	for start := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		limited, cancel := context.WithTimeout(ctx, pollLimit)
		items, err := metricItems(limited, path)
		cancel()
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		p.sent[path]++
		if err != nil || items == 0 {
			p.failed = append(p.failed, fmt.Sprintf("%s after %.1f s: %d values, %v", path, time.Since(start).Seconds(), items, err))
		}
		p.mu.Unlock()
	}
}

// goOn waits until each path was requested that many times more: what was changed by now may only fail later.
func (p *polling) goOn(t *testing.T, times int) {
	t.Helper()
	p.mu.Lock()
	before := maps.Clone(p.sent)
	p.mu.Unlock()
	NewWithT(t).Eventually(func(g Gomega) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, path := range p.paths {
			g.Expect(p.sent[path]-before[path]).To(BeNumerically(">=", times), path)
		}
	}, rollout, often).Should(Succeed())
}

// stop ends the polling.
func (p *polling) stop() {
	p.cancel()
	p.done.Wait()
}

// thenNoneFailed ends the polling and checks that every request was answered with values, and that there were enough of
// them.
func (p *polling) thenNoneFailed(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	p.stop()
	total := 0
	for _, path := range p.paths {
		total += p.sent[path]
		g.Expect(p.sent[path]).To(BeNumerically(">", 20), "requests of %s", path)
	}
	t.Logf("%d requests to %d paths, %d failed", total, len(p.paths), len(p.failed))
	g.Expect(p.failed).To(BeEmpty())
}
