// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// knob runs an activity at an adjustable strength.
type knob struct {
	parent context.Context
	// run works at the given strength, above 0, until its context ends.
	run func(ctx context.Context, strength float64)

	mu   sync.Mutex
	stop context.CancelFunc
}

func newKnob(parent context.Context, run func(context.Context, float64)) *knob {
	return &knob{parent: parent, run: run, stop: func() {}}
}

// set replaces the activity by one of the given strength; 0 ends it.
func (k *knob) set(strength float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stop()
	ctx, cancel := context.WithCancel(k.parent)
	k.stop = cancel
	if strength > 0 {
		go k.run(ctx, strength)
	}
}

// ballast is memory that is kept in use.
type ballast struct {
	mu   sync.Mutex
	held []byte
}

// hold keeps that many bytes in use in place of those before, which go back to the kernel at once.
func (b *ballast) hold(bytes float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = nil
	debug.FreeOSMemory()
	b.held = make([]byte, int(bytes))
	for i := 0; i < len(b.held); i += os.Getpagesize() {
		b.held[i] = 1 // A page that nobody has written is not in use.
	}
}

// sendRequests returns an activity that sends real requests to url, as many each second as its strength says.
func sendRequests(url string) func(context.Context, float64) {
	const senders = 8
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: senders},
	}
	return func(ctx context.Context, perSecond float64) {
		limiter := rate.NewLimiter(rate.Limit(perSecond), senders)
		var all sync.WaitGroup
		for range senders {
			all.Go(func() {
				for limiter.Wait(ctx) == nil {
					if err := get(ctx, client, url); err != nil && ctx.Err() == nil {
						log.Printf("request for %s: %v", url, err)
					}
				}
			})
		}
		all.Wait()
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// burn keeps that many cores busy: whole ones all the time, the rest of one for its share of each period.
func burn(ctx context.Context, cores float64) {
	const period = 100 * time.Millisecond
	var all sync.WaitGroup
	for left := cores; left > 0; left-- {
		busy := time.Duration(math.Min(left, 1) * float64(period))
		all.Go(func() {
			ticks := time.NewTicker(period)
			defer ticks.Stop()
			for ctx.Err() == nil {
				for start := time.Now(); time.Since(start) < busy; {
					continue
				}
				select {
				case <-ticks.C:
				case <-ctx.Done():
				}
			}
		})
	}
	all.Wait()
}
