// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"golang.org/x/time/rate"

	"github.com/metricspipeline/operator/internal/prometheus"
)

// Asker answers questions in PromQL.
type Asker interface {
	Query(ctx context.Context, promql string) (model.Vector, error)
}

// Ask returns an Asker that a client of Prometheus answers for. Its errors are UnusableErrors, but for what Prometheus says of a query
// that it cannot evaluate.
func Ask(client *prometheus.Client) Asker { return asker{client} }

type asker struct{ client *prometheus.Client }

func (a asker) Query(ctx context.Context, promql string) (model.Vector, error) {
	value, _, err := a.client.Query(ctx, promql, time.Now())
	var refused *promv1.Error
	if errors.As(err, &refused) && (refused.Type == promv1.ErrExec || refused.Type == promv1.ErrBadData) {
		return nil, errors.New(refused.Msg)
	}
	if err != nil {
		return nil, a.client.Unusable(err)
	}
	switch answer := value.(type) {
	case model.Vector:
		return answer, nil
	case *model.Scalar:
		return model.Vector{{Value: answer.Value, Timestamp: answer.Timestamp}}, nil
	}
	return nil, fmt.Errorf("the answer to a question is a %s, and an instant vector was expected", value.Type())
}

const (
	// mostQuestions is how many one Collect puts at most.
	mostQuestions = 15
	// answerWithin is how long one is waited for. Where one is not answered no other is put.
	answerWithin = 5 * time.Second
	// perMetric is how many one metric takes at most: which series a rule or a derived one is about, the counts, those of the rule that
	// serves instead of the first, what is there instead or the rule's own query.
	perMetric = 4
)

// ErrNotNow means that other HorizontalPodAutoscalers have used up the questions to Prometheus for now.
var ErrNotNow = errors.New("the questions to Prometheus are used up for now")

// errNoMore means that this one has used up its own.
var errNoMore = fmt.Errorf("not asked: one HorizontalPodAutoscaler puts at most %d questions to Prometheus at a time", mostQuestions)

// Budget is how many questions all HorizontalPodAutoscalers together put to Prometheus. It may be used by several goroutines.
type Budget struct{ limiter *rate.Limiter }

// NewBudget returns a budget of so many questions in a minute, and so many at once, which is as many as one HorizontalPodAutoscaler may
// put at least.
func NewBudget(perMinute, atOnce int) *Budget {
	return &Budget{rate.NewLimiter(rate.Limit(float64(perMinute)/time.Minute.Seconds()), max(atOnce, mostQuestions))}
}

// enough is true where so many questions can be put.
func (b *Budget) enough(now time.Time, questions int) bool {
	return b == nil || b.limiter.TokensAt(now) >= float64(min(questions, mostQuestions))
}

func (b *Budget) take(now time.Time) bool { return b == nil || b.limiter.AllowN(now, 1) }

// questioner puts the questions of one Collect.
type questioner struct {
	asker  Asker
	budget *Budget
	now    time.Time
	put    int
	// unreachable is why Prometheus gave no answer: the next question would wait as long.
	unreachable error
}

// ask puts a question. The error is ErrNotNow, errNoMore, or why there is no answer.
func (q *questioner) ask(ctx context.Context, promql string) (model.Vector, error) {
	switch {
	case q.unreachable != nil:
		return nil, q.unreachable
	case q.put == mostQuestions:
		return nil, errNoMore
	case !q.budget.take(q.now):
		return nil, ErrNotNow
	}
	q.put++
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := q.asker.Query(ctx, promql)
	var unusable *prometheus.UnusableError
	if errors.As(err, &unusable) || ctx.Err() != nil {
		q.unreachable = err
	}
	return answer, err //nolint:wrapcheck // it names the URL
}
