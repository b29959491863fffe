// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// pace spaces the rounds of writes.
type pace struct {
	clock clock.PassiveClock
	// rest is the least time between two rounds of writes in one namespace. Each round has prometheus-operator write
	// Prometheus' configuration and Prometheus load it, so apps that come one right after the other share a round. The
	// first has none to wait for.
	rest time.Duration

	mu    sync.Mutex
	wrote map[string]time.Time
}

// wait returns for how long a namespace is still to be left alone; 0 for not at all.
func (p *pace) wait(namespace string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, found := p.wrote[namespace]
	if !found {
		return 0
	}
	left := p.rest - p.clock.Since(last)
	if left <= 0 {
		delete(p.wrote, namespace)
		return 0
	}
	return left
}

// written begins a namespace's rest.
func (p *pace) written(namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wrote == nil {
		p.wrote = map[string]time.Time{}
	}
	p.wrote[namespace] = p.clock.Now()
}
