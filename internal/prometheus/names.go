// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"fmt"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// Names are the names of the series of a selector.
type Names map[string]NameCount

// NameCount is how many series have a name, and whether one of them has a label quantile.
type NameCount struct {
	Series    int64
	Quantiles bool
}

// mostNames bounds what is known of one selector: whoever exposes series chooses their names and labels.
const mostNames = 20

// NamerOf returns what finds the names of series at the Prometheus at a URL.
func NamerOf(base string, access Access) Counter[Names] { return at(base, access, NamesOf) }

// NamesOf returns the names of the series of each selector, the most frequent ones, in one query.
func NamesOf(ctx context.Context, client promv1.API, selectors []string) (map[string]Names, error) {
	all := map[string]Names{}
	for _, selector := range selectors {
		all[selector] = Names{}
	}
	expression := fmt.Sprintf("topk(%d,count by (%s,%s) (%%s))", mostNames, model.MetricNameLabel, model.QuantileLabel)
	err := each(ctx, client, selectors, expression, func(selector string, sample *model.Sample) {
		name := string(sample.Metric[model.MetricNameLabel])
		count := all[selector][name]
		count.Series += int64(sample.Value)
		count.Quantiles = count.Quantiles || sample.Metric[model.QuantileLabel] != ""
		all[selector][name] = count
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
