// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"time"

	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
)

// Backoff is how long to wait for the next try of what was in conflict with another writer, by a key of the caller: the
// object of the reconcile. The wait doubles with each conflict from the first to the last one, and begins anew after a success.
type Backoff struct{ waits *flowcontrol.Backoff }

// NewBackoff returns a backoff that has seen no conflict.
func NewBackoff(first, last time.Duration, clock clock.Clock) Backoff {
	waits := flowcontrol.NewBackOff(first, last)
	waits.Clock = clock
	return Backoff{waits}
}

// Conflict notes a conflict, and returns how long to wait.
func (b Backoff) Conflict(key string) time.Duration {
	b.waits.Next(key, b.waits.Clock.Now())
	return b.waits.Get(key)
}

// Success notes that there was no conflict.
func (b Backoff) Success(key string) { b.waits.Reset(key) }
