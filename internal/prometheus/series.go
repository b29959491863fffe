// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Demand is series without which something cannot serve.
type Demand struct {
	// Query answers with a sample for each of the names that there are series for, with the name in the label KindLabel.
	Query string
	// Kinds are the names.
	Kinds []string
}

// KindLabel is the label of an answer to a demand.
const KindLabel = "kind"

// MissingError names what Prometheus has no series for.
type MissingError struct{ Kinds []string }

func (e *MissingError) Error() string { return "it has no series for " + strings.Join(e.Kinds, ", ") }

// Meets returns nil where Prometheus has all the series of a demand, a MissingError where it has not, and an UnusableError where it
// gave no usable answer.
func Meets(ctx context.Context, base string, access Access, demand Demand) error {
	client, err := NewClient(base, access, mostBody)
	if err != nil {
		return err
	}
	defer client.Close()
	value, _, err := client.Query(ctx, demand.Query, time.Now())
	if err != nil {
		return client.Unusable(err)
	}
	samples, ok := value.(model.Vector)
	if !ok {
		return &UnusableError{Cause: NotPrometheus, text: fmt.Sprintf("query %s: the answer is a %s, and an instant vector was "+
			"expected; correct spec.prometheus.url", base, value.Type())}
	}
	missing := slices.DeleteFunc(slices.Clone(demand.Kinds), func(kind string) bool {
		return slices.ContainsFunc(samples, func(s *model.Sample) bool { return string(s.Metric[KindLabel]) == kind })
	})
	if len(missing) > 0 {
		return &MissingError{missing}
	}
	return nil
}
