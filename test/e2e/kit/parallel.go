// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many requests are sent at a time: as many as keep a small API server busy.
const atOnce = 32

// InParallel calls do for 0 to n-1, and returns the first error.
func InParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := 0; i < n && within.Err() == nil; i++ {
		group.Go(func() error { return do(within, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
