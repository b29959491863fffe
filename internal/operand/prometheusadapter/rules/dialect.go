// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// checkSeries is checkSeriesQuery for a dialect; the selector is nil where it is not PromQL. MetricsQL has selectors that PromQL does not
// know, such as {a="1" or b="2"}, and what is PromQL without being a selector is none in MetricsQL either.
func checkSeries(query string, dialect v1alpha1.QueryDialect) (*parser.VectorSelector, error) {
	if dialect == v1alpha1.DialectMetricsQL {
		if strings.TrimSpace(query) == "" {
			return nil, fmt.Errorf("seriesQuery %q is empty; write a series selector", query)
		}
		if _, err := promQL.ParseExpr(query); err != nil {
			return nil, nil //nolint:nilerr,nilnil // it is not to be PromQL
		}
	}
	return checkSeriesQuery(query)
}
