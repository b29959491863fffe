// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// lookEvery is the time between two looks of status --watch.
const lookEvery = time.Second

func statusCommand(env *environment) *cobra.Command {
	var (
		watch   bool
		timeout time.Duration
		output  outputFlag
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the pipeline as a tree",
		Long: `Show the MetricsPipeline as a tree: its conditions, the metrics APIs, the components, Prometheus, the rules, what is scraped
and the HorizontalPodAutoscalers that do not work.

With --watch it prints each change of a condition until the pipeline is Ready, and then the tree. With -o it prints the resource, as
docs/reference/api.md describes it.

The exit code is 0 where the condition Ready is True for the present spec, and 1 where it is not.

` + exitCodes,
		Example: `  kubectl metricspipeline status
  kubectl metricspipeline status --watch --timeout 5m
  kubectl metricspipeline status -o json`,
		Args: noArguments,
		RunE: perform(func(ctx context.Context, _ []string) error {
			if err := output.check(); err != nil {
				return err
			}
			if watch && output.form != "" {
				return usage("--watch and --output are both set: leave one of them out")
			}
			reader, err := env.client()
			if err != nil {
				return err
			}
			var found *v1alpha1.MetricsPipeline
			if watch {
				found, err = env.watchStatus(ctx, reader, timeout)
			} else {
				found, err = pipeline(ctx, reader)
			}
			if err != nil {
				return err
			}
			found.ManagedFields = nil
			if done, err := output.print(env.Out, found); err != nil {
				return err
			} else if !done {
				newCanvas(env.Out).tree(statusTree(found, env.now()))
			}
			if !ready(found) {
				return exit(ExitBroken)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "Print each change until the pipeline is Ready.")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "How long --watch waits; 0 is for ever.")
	output.add(cmd)
	return cmd
}

// current is false while the status is about an earlier spec.
func current(found *v1alpha1.MetricsPipeline) bool {
	return found.Status.ObservedGeneration >= found.Generation
}

// ready is true where the pipeline works as its present spec says.
func ready(found *v1alpha1.MetricsPipeline) bool {
	return current(found) && meta.IsStatusConditionTrue(found.Status.Conditions, v1alpha1.ConditionReady)
}

// watchStatus prints each change of a condition until the pipeline is Ready. At the end of the time it returns what is there then.
func (e *environment) watchStatus(ctx context.Context, reader reader, timeout time.Duration) (*v1alpha1.MetricsPipeline, error) {
	began, limited := e.now(), ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	said := map[string]string{}
	var last *v1alpha1.MetricsPipeline
	for {
		found, err := pipeline(limited, reader)
		var none *noPipelineError
		switch {
		case errors.As(err, &none):
			e.progress(said, began, "", none.Error())
		case err != nil && limited.Err() == nil:
			return nil, err
		case err == nil:
			last = found
			e.changes(said, began, found)
			if ready(found) {
				return found, nil
			}
		}
		if err := e.pause(limited, lookEvery); err != nil {
			return e.unready(ctx, last, timeout)
		}
	}
}

// unready is what a watch ends with that did not see the pipeline Ready.
func (e *environment) unready(
	ctx context.Context, last *v1alpha1.MetricsPipeline, timeout time.Duration,
) (*v1alpha1.MetricsPipeline, error) {
	switch {
	case ctx.Err() != nil:
		return nil, errors.New("interrupted before the pipeline was Ready")
	case last == nil:
		return nil, fmt.Errorf("there was no MetricsPipeline within --timeout %s: apply "+
			"config/samples/metricspipeline_v1alpha1_metricspipeline.yaml, see README", timeout)
	default:
		fmt.Fprintf(e.ErrOut, "the pipeline is not Ready after --timeout %s\n", timeout)
		return last, nil
	}
}

// changes prints the conditions that are not as they were at the last look.
func (e *environment) changes(said map[string]string, began time.Time, found *v1alpha1.MetricsPipeline) {
	delete(said, "")
	for _, condition := range found.Status.Conditions {
		line := fmt.Sprintf("%s is %s, %s", condition.Type, condition.Status, condition.Reason)
		if conditionMark(condition) != works && condition.Message != "" {
			line += ": " + condition.Message
		}
		if !current(found) && condition.Type == v1alpha1.ConditionReady {
			line = fmt.Sprintf("the operator has not looked at generation %d yet", found.Generation)
		}
		e.progress(said, began, condition.Type, line)
	}
}

// progress prints a line about something once.
func (e *environment) progress(said map[string]string, began time.Time, about, line string) {
	if said[about] == line {
		return
	}
	said[about] = line
	fmt.Fprintf(e.Out, "%5s  %s\n", e.now().Sub(began).Round(time.Second), line)
}
