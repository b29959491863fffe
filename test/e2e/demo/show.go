// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/demo/picture"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// frame is the time between two looks at the cluster, samplePeriod what one column of the history stands for.
	frame        = 500 * time.Millisecond
	samplePeriod = 5 * time.Second
	// leastRows is how high a terminal has to be for a picture that is drawn over.
	leastRows = 20
)

// show looks at the cluster and draws what it sees.
type show struct {
	cluster *kit.Cluster
	screen  picture.Screen
	start   time.Time

	load       float64
	rates      []float64
	nextSample time.Time
}

func newShow(cluster *kit.Cluster, out *os.File) *show {
	s := &show{cluster: cluster, screen: picture.Screen{Out: out}, start: time.Now()}
	terminal := int(out.Fd())
	if _, rows, err := term.GetSize(terminal); err != nil || rows < leastRows || os.Getenv("TERM") == "dumb" {
		return s
	}
	s.screen.Color = os.Getenv("NO_COLOR") == ""
	s.screen.Columns = func() int {
		columns, _, err := term.GetSize(terminal)
		if err != nil {
			return 80
		}
		return columns
	}
	return s
}

func (s *show) say(format string, args ...any) { s.screen.Say(fmt.Sprintf(format, args...)) }

// setLoad makes the sample application send itself that many requests each second.
func (s *show) setLoad(ctx context.Context, perSecond float64) error {
	if err := s.cluster.Steer(ctx, app, fmt.Sprintf("/load?rps=%g", perSecond)); err != nil {
		return err
	}
	s.load = perSecond
	return nil
}

// play runs an act: it starts something and draws until it has ended. An error says which link of the chain is not ready.
func (s *show) play(ctx context.Context, act act) error {
	began := time.Now()
	s.say("%s  %s", picture.Clock(time.Since(s.start)), act.title)
	started := make(chan error, 1)
	go func() { started <- act.start(ctx) }()
	ticks := time.NewTicker(frame)
	defer ticks.Stop()
	now := &picture.Seen{}
	for running := true; ; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; %s", context.Cause(ctx), picture.FirstUnready(now))
		case err := <-started:
			if err != nil {
				return err
			}
			running = false
		case <-ticks.C:
		}
		if now = s.look(ctx); ctx.Err() != nil {
			continue
		}
		s.screen.Show(time.Since(s.start), now)
		if !running && act.ended(now) {
			if !act.stays {
				s.screen.Wipe()
			}
			s.say("       done in %.0f s", time.Since(began).Seconds())
			return nil
		}
	}
}

// look reads what there is in the cluster. What is not there yet is nil.
func (s *show) look(ctx context.Context) *picture.Seen {
	sample := client.ObjectKey{Namespace: kit.SampleNamespace, Name: app}
	now := &picture.Seen{
		Operator: found(ctx, s.cluster, client.ObjectKey{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}, &appsv1.Deployment{}),
		Pipeline: found(ctx, s.cluster, client.ObjectKey{Name: v1alpha1.SingletonName}, &v1alpha1.MetricsPipeline{}),
		App:      found(ctx, s.cluster, sample, &appsv1.Deployment{}),
		Scaler:   found(ctx, s.cluster, sample, &autoscalingv2.HorizontalPodAutoscaler{}),
		Load:     s.load,
	}
	if rate, known := now.Rate(); known && time.Now().After(s.nextSample) {
		s.nextSample = time.Now().Add(samplePeriod)
		s.rates = append(s.rates, rate)
	}
	now.Rates = s.rates
	return now
}

// found is the object of that key, or nil.
func found[T client.Object](ctx context.Context, cluster *kit.Cluster, key client.ObjectKey, object T) T {
	if cluster.Client.Get(ctx, key, object) != nil {
		return *new(T)
	}
	return object
}
