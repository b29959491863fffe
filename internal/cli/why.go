// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
)

// diagnoser collects the evidence of an HPA, now, and examines it.
type diagnoser interface {
	diagnose(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (diagnose.Diagnosis, error)
}

// explained is an HPA with what was found of it, as -o json prints it.
type explained struct {
	Namespace string `json:"namespace"`
	// Name of the HPA; empty where KEDA has made none of ScaledObject, which is the one above the HPA.
	Name         string `json:"name,omitempty"`
	ScaledObject string `json:"scaledObject,omitempty"`
	// Pending is true until the HPA controller has looked at the HPA.
	Pending bool `json:"pending,omitempty"`
	// Complete is false where a link before the first broken one could not be seen.
	Complete           bool `json:"complete"`
	diagnose.Diagnosis `json:",inline"`
	// Problem is why the HPA could not be looked at, in a table; empty where it could.
	Problem string `json:"problem,omitempty"`
	// Said is the newest Event that the operator wrote to the HPA about it; it is looked for where not all could be seen.
	Said *said `json:"operatorSaid,omitempty"`

	conditions []string
	// unready is true where the ScaledObject that was asked about is not Ready: an HPA that works does not wake its target from 0.
	unready bool
}

// said is an Event of the operator.
type said struct {
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

// code of what was found. A broken link behind one that was not seen may not be the first.
func (e explained) code() int {
	switch {
	case !e.Complete:
		return ExitUnseen
	case e.Failing, e.Pending, e.unready, e.first() != nil:
		return ExitBroken
	default:
		return ExitWorks
	}
}

// first is the first finding of its metrics; nil for none.
func (e explained) first() *diagnose.Finding {
	for _, chain := range e.Chains {
		if chain.Finding != nil {
			return chain.Finding
		}
	}
	return nil
}

func whyCommand(env *environment) *cobra.Command {
	var (
		everywhere bool
		output     outputFlag
		direct     string
		timeout    time.Duration
	)
	cmd := &cobra.Command{
		Use:   "why hpa[/NAME]|scaledobject/NAME",
		Short: "Say why a HorizontalPodAutoscaler does not scale",
		Long: `Say why a HorizontalPodAutoscaler does not scale: the links of the chain between it and its number, what was seen of
each just now, the PromQL that was sent, the first broken link, its cause and what to do.

Of a ScaledObject of KEDA it explains the HorizontalPodAutoscaler that KEDA makes of it, or why there is none.

Without a name it is a table of all HorizontalPodAutoscalers of the namespace, or of all namespaces with --all-namespaces. Of those that
work it has one line each, from what they say themselves. ScaledObjects of which KEDA has made none have one too.

Everything is read with your own rights. Prometheus is asked through the API server, by the subresource proxy of its Service or, where
the operator runs it as a Deployment, by a forwarded port with its token; or at --prometheus-url. A link that you may not see is
marked with a question mark and says what is missing.

The exit code is 0 only where the HorizontalPodAutoscaler works. Where one does not and a link before the broken one could not be
seen, it is 2, and what the operator last said of it is printed as well. Of a table it is the worst: 1 before 2.

` + exitCodes,
		Example: `  kubectl metricspipeline why hpa/web -n shop
  kubectl metricspipeline why scaledobject/web -n shop
  kubectl metricspipeline why hpa --all-namespaces
  kubectl port-forward -n monitoring service/prometheus-operated 9090 &
  kubectl metricspipeline why hpa/web -n shop --prometheus-url http://localhost:9090`,
		Args: func(_ *cobra.Command, arguments []string) error {
			of, err := subjectOf(arguments)
			if err == nil && of.name != "" && everywhere {
				err = usage("--all-namespaces and the name %s are both set: leave one of them out", of.name)
			}
			return err
		},
		ValidArgsFunction: env.completeAutoscalers,
		RunE: perform(func(ctx context.Context, arguments []string) error {
			if err := output.check(); err != nil {
				return err
			}
			of, _ := subjectOf(arguments) // Args has refused what is not understood.
			limited, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			if of.name == "" {
				return env.whyTable(limited, everywhere, direct, output)
			}
			return env.whyOne(limited, of, direct, output)
		}),
	}
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "Make a table of the HorizontalPodAutoscalers of all namespaces.")
	cmd.Flags().StringVar(&direct, "prometheus-url", "", "Ask Prometheus at this URL, and not through the API server.")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "How long to look at most.")
	output.add(cmd)
	return cmd
}

// subject is what is to be explained: an HPA or a ScaledObject; all HPAs where the name is empty.
type subject struct {
	scaledObject bool
	name         string
}

// subjectOf understands hpa/NAME, hpa NAME and hpa, and the same of a ScaledObject with a name.
func subjectOf(arguments []string) (subject, error) {
	const forms = "write hpa/NAME or scaledobject/NAME, or hpa alone for a table"
	if len(arguments) == 0 {
		return subject{}, usage("what to explain is not named: %s", forms)
	}
	kind, name, slash := strings.Cut(arguments[0], "/")
	if len(arguments) == 2 && !slash {
		name = arguments[1]
	} else if len(arguments) > 1 {
		return subject{}, usage("%q is one argument too many: %s", arguments[len(arguments)-1], forms)
	}
	of := subject{name: name}
	resource, _, _ := strings.Cut(strings.ToLower(kind), ".")
	switch resource {
	case "hpa", "horizontalpodautoscaler", "horizontalpodautoscalers":
	case "so", "scaledobject", "scaledobjects":
		of.scaledObject = true
	default:
		return subject{}, usage("%q is no HorizontalPodAutoscaler and no ScaledObject: %s", arguments[0], forms)
	}
	if (slash || of.scaledObject) && name == "" || strings.Contains(name, "/") {
		return subject{}, usage("%q has no name that an object can have: %s", arguments[0], forms)
	}
	return of, nil
}

// autoscalerName understands an HPA alone; the name is empty for all.
func autoscalerName(arguments []string) (string, error) {
	of, err := subjectOf(arguments)
	if err == nil && of.scaledObject {
		err = usage("%q is no HorizontalPodAutoscaler: write hpa/NAME", arguments[0])
	}
	return of.name, err
}

func (e *environment) whyOne(ctx context.Context, of subject, direct string, output outputFlag) error {
	reader, err := e.client()
	if err != nil {
		return err
	}
	var found explained
	hpa, object, err := e.scaler(ctx, reader, of)
	if err != nil {
		return err
	}
	if hpa == nil {
		found = explained{ScaledObject: of.name, Complete: true, Diagnosis: diagnose.ExamineScaledObject(*object)}
		if found.Namespace, err = e.namespace(); err != nil {
			return err
		}
	} else {
		by, err := e.diagnoser(ctx, reader, direct)
		if err != nil {
			return err
		}
		if found, err = e.explain(ctx, reader, by, hpa); err != nil {
			return err
		}
		found.unready = object != nil && object.ReadyFalse
	}
	if done, err := output.print(e.Out, found); err != nil {
		return err
	} else if !done {
		printExplained(newCanvas(e.Out), found, e.now())
	}
	return exit(found.code())
}

// explain diagnoses an HPA. Where not all of it could be seen, what the operator said of it is looked for.
func (e *environment) explain(
	ctx context.Context, reader reader, by diagnoser, hpa *autoscalingv2.HorizontalPodAutoscaler,
) (explained, error) {
	diagnosis, err := by.diagnose(ctx, hpa)
	if err != nil {
		return explained{}, err
	}
	found := explained{Namespace: hpa.Namespace, Name: hpa.Name, Pending: autoscaler.Pending(hpa), Diagnosis: diagnosis,
		ScaledObject: collect.ScaledObjectOf(hpa), Complete: diagnosis.Complete(), conditions: failingConditions(hpa)}
	if !found.Complete {
		found.Said = lastSaid(ctx, reader, hpa)
	}
	return found, nil
}

// autoscaler reads an HPA of the namespace.
func (e *environment) autoscaler(ctx context.Context, reader reader, name string) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	namespace, err := e.namespace()
	if err != nil {
		return nil, err
	}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	err = reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, hpa)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no HorizontalPodAutoscaler %s in the namespace %s: name another one, or its namespace by -n", name,
			namespace)
	case err != nil:
		return nil, fmt.Errorf("read HorizontalPodAutoscaler %s/%s: %w", namespace, name, err)
	}
	return hpa, nil
}
