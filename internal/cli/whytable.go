// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
)

// page is how many objects one answer of the API server has at most.
const page = 500

// autoscalers lists those of a namespace; of all for "".
func autoscalers(ctx context.Context, reader reader, namespace string) ([]autoscalingv2.HorizontalPodAutoscaler, error) {
	var all []autoscalingv2.HorizontalPodAutoscaler
	list := autoscalingv2.HorizontalPodAutoscalerList{}
	for next := ""; ; {
		if err := reader.List(ctx, &list, client.InNamespace(namespace), client.Limit(page), client.Continue(next)); err != nil {
			return nil, fmt.Errorf("list HorizontalPodAutoscalers of %s: %w", cmp.Or(namespace, "all namespaces"), err)
		}
		all = append(all, list.Items...)
		if next = list.Continue; next == "" {
			return all, nil
		}
	}
}

// scope is the namespace to look at; empty for all.
func (e *environment) scope(everywhere bool) (string, error) {
	if everywhere {
		return "", nil
	}
	return e.namespace()
}

// whyTable explains all of a namespace, or of all.
func (e *environment) whyTable(ctx context.Context, everywhere bool, direct string, output outputFlag) error {
	namespace, err := e.scope(everywhere)
	if err != nil {
		return err
	}
	reader, err := e.client()
	if err != nil {
		return err
	}
	all, err := autoscalers(ctx, reader, namespace)
	if err != nil {
		return err
	}
	rows := make([]explained, 0, len(all))
	var by diagnoser
	for i := range all {
		hpa := &all[i]
		row := explained{Namespace: hpa.Namespace, Name: hpa.Name, Complete: true, Pending: autoscaler.Pending(hpa)}
		if autoscaler.Failing(hpa) {
			if by == nil { // Where all work, nothing else is read.
				if by, err = e.diagnoser(ctx, reader, direct); err != nil {
					return err
				}
			}
			if row, err = e.explain(ctx, reader, by, hpa); err != nil { // The others may be seen all the same.
				row = explained{Namespace: hpa.Namespace, Name: hpa.Name, Problem: err.Error()}
			}
		}
		rows = append(rows, row)
	}
	rows = append(rows, withoutAutoscaler(ctx, reader, namespace, all)...)
	if done, err := output.print(e.Out, rows); err != nil {
		return err
	} else if !done {
		if err := e.printTable(rows, namespace); err != nil {
			return err
		}
	}
	return exit(worstCode(rows))
}

// withoutAutoscaler explains the ScaledObjects of which KEDA has made no HPA, as while its operator is down: no HPA fails for them, so
// nothing else says it.
func withoutAutoscaler(ctx context.Context, reader reader, namespace string, all []autoscalingv2.HorizontalPodAutoscaler) []explained {
	made := map[client.ObjectKey]bool{}
	for i := range all {
		made[client.ObjectKey{Namespace: all[i].Namespace, Name: collect.ScaledObjectOf(&all[i])}] = true
	}
	var rows []explained
	err := collect.ScaledObjects(ctx, reader, namespace, page, func(in string, object *diagnose.ScaledObject) {
		if !made[client.ObjectKey{Namespace: in, Name: object.Name}] {
			rows = append(rows, explained{Namespace: in, ScaledObject: object.Name, Complete: true,
				Diagnosis: diagnose.ExamineScaledObject(*object)})
		}
	})
	if err != nil && !meta.IsNoMatchError(err) {
		rows = append(rows, explained{Namespace: namespace, ScaledObject: "*",
			Problem: fmt.Sprintf("list ScaledObjects of %s, of which KEDA may have made no HPA: %v",
				cmp.Or(namespace, "all namespaces"), err)})
	}
	return rows
}

// worstCode is that of a table: a fault that is known says more than something that was not seen.
func worstCode(rows []explained) int {
	code := ExitWorks
	for _, row := range rows {
		switch row.code() {
		case ExitBroken:
			return ExitBroken
		case ExitUnseen:
			code = ExitUnseen
		}
	}
	return code
}

func (e *environment) printTable(rows []explained, namespace string) error {
	if len(rows) == 0 {
		fmt.Fprintf(e.ErrOut, "there are no HorizontalPodAutoscalers in %s\n", cmp.Or(namespace, "the cluster"))
		return nil
	}
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tNAME\tSTATE\tMETRIC\tREASON\tMESSAGE")
	for _, row := range rows {
		printRow(table, row)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(out.String()) { // Empty cells at the end are spaces.
		fmt.Fprintln(e.Out, strings.TrimRight(line, " \n"))
	}
	return nil
}

// printRow prints a line for each finding, or one.
func printRow(table io.Writer, row explained) {
	state := "Works"
	name := row.Name
	if name == "" {
		name = "scaledobject/" + row.ScaledObject
	}
	switch {
	case !row.Complete:
		state = "NotSeen"
	case row.Pending:
		state = "Pending"
	case row.Failing, row.first() != nil:
		state = "Fails"
	}
	printed := false
	for _, chain := range row.Chains {
		if chain.Finding != nil {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Namespace, name, state, chain.Metric, chain.Finding.Reason,
				chain.Finding.Message())
			printed = true
		}
	}
	switch {
	case printed:
	case row.Problem != "":
		fmt.Fprintf(table, "%s\t%s\t%s\t\t\t%s\n", row.Namespace, name, state, row.Problem)
	case row.Said != nil:
		fmt.Fprintf(table, "%s\t%s\t%s\t\t%s\t%s\n", row.Namespace, name, state, row.Said.Reason, row.Said.Message)
	default:
		fmt.Fprintf(table, "%s\t%s\t%s\t\t\t\n", row.Namespace, name, state)
	}
}

// completeAutoscalers completes names, and hpa/ before them.
func (e *environment) completeAutoscalers(cmd *cobra.Command, arguments []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(arguments) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	namespace, err := e.namespace()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	reader, err := e.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	all, err := autoscalers(cmd.Context(), reader, namespace)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := []string{"hpa"}
	for _, hpa := range all {
		names = append(names, "hpa/"+hpa.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
