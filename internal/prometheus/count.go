// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// The label by which the answer names a selector, and its value for the series that every answer has: without it, what came is no
// answer to the query.
const (
	selectorLabel = "selector"
	answered      = "answered"
)

var errNoCount = errors.New("the answer to a query that counts series does not have all that was asked for")

// mostCounted bounds the answer: each number takes about 100 bytes.
const mostCounted = 64 << 10

// CounterOf returns what counts series at the Prometheus at a URL.
func CounterOf(base string, access Access) Counter[int64] { return at(base, access, Count) }

// at is what sends a query about selectors to the Prometheus at a URL.
func at[T any](base string, access Access, query func(context.Context, promv1.API, []string) (map[string]T, error)) Counter[T] {
	return func(ctx context.Context, selectors []string) (map[string]T, error) {
		client, err := NewClient(base, access, mostCounted)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		return query(ctx, client, selectors)
	}
}

// Count returns how many series Prometheus has of each selector, in one query.
func Count(ctx context.Context, client promv1.API, selectors []string) (map[string]int64, error) {
	counts := map[string]int64{}
	err := each(ctx, client, selectors, "count(%s)", func(selector string, sample *model.Sample) {
		counts[selector] = int64(sample.Value)
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// each evaluates an expression for each selector, in one query, and takes the samples of each.
func each(
	ctx context.Context, client promv1.API, selectors []string, expression string, take func(selector string, sample *model.Sample),
) error {
	terms := []string{named("vector(1)", answered)}
	for i, selector := range selectors {
		terms = append(terms, named(fmt.Sprintf(expression, selector), strconv.Itoa(i)))
	}
	value, _, err := client.Query(ctx, strings.Join(terms, " or "), time.Now())
	if err != nil {
		return fmt.Errorf("count series: %w", err)
	}
	vector, _ := value.(model.Vector)
	complete := false
	for _, sample := range vector {
		name := string(sample.Metric[selectorLabel])
		if name == answered {
			complete = true
		} else if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(selectors) {
			take(selectors[i], sample)
		}
	}
	if !complete {
		return errNoCount
	}
	return nil
}

func named(expr, name string) string {
	return fmt.Sprintf("label_replace(%s,%q,%q,\"\",\"\")", expr, selectorLabel, name)
}
