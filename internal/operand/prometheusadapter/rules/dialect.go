// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// checkSeries is checkSeriesQuery for a dialect. MetricsQL has selectors that PromQL does not know, such as {a="1" or b="2"}, and what
// is PromQL without being a selector is none in MetricsQL either.
func checkSeries(query string, dialect v1alpha1.QueryDialect) (string, error) {
	if dialect == v1alpha1.DialectMetricsQL {
		if strings.TrimSpace(query) == "" {
			return "", fmt.Errorf("seriesQuery %q is empty; write a series selector", query)
		}
		if _, err := promQL.ParseExpr(query); err != nil {
			return "sample_series", nil //nolint:nilerr // it is not to be PromQL
		}
	}
	return checkSeriesQuery(query)
}
