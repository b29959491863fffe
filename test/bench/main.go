// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures what the project promises to be better at, against what one would otherwise use or against a
// stated bound, on the cluster of KUBECONFIG: `make bench ROW=P2`. It prints one line per figure. A figure that misses its
// goal is reported and is not an error: a benchmark is not a test.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// row is a benchmark. Each has a file of its own and is entered in rows.
type row struct {
	// name is what -row selects it by.
	name string
	// about says in one line what is compared.
	about string
	// measure runs it, and reports through progress.
	measure func(ctx context.Context, cluster *kit.Cluster, progress progress) ([]figure, error)
	// floor is the program that the row compares with, where that is one of our own; see [startFloor].
	floor func(ctx context.Context, in io.Reader, out io.Writer) error
}

// rows are all the benchmarks.
var rows = []row{p1, p2, p5, p5Hostile, p5Workloads, p6, p7, p9, p10, p11, p12, p13}

// progress reports a step of a measurement.
type progress func(format string, args ...any)

// figure is one result: ours against a peer's or against a floor that none can be below, or ours alone.
type figure struct {
	name string
	// against names the peer or the floor; empty where ours stands alone.
	against string
	// ours and theirs are in unit; less is better.
	ours, theirs float64
	unit         string
	// goal is what ours/theirs should be at most, or ours where it stands alone. Without a goal, a figure is there to
	// compare with.
	goal float64
	free bool
}

func main() {
	name := flag.String("row", "P2", "the row to measure: "+names())
	floor := flag.Bool("floor", false, "be the program that the row compares with; the row starts it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *name, *floor)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string, floor bool) error {
	i := slices.IndexFunc(rows, func(r row) bool { return strings.EqualFold(r.name, name) })
	if i < 0 {
		return fmt.Errorf("no row %q: there are %s", name, names())
	}
	if floor {
		if rows[i].floor == nil {
			return fmt.Errorf("row %s compares with no program of its own", rows[i].name)
		}
		return rows[i].floor(ctx, os.Stdin, os.Stdout)
	}
	cluster, err := kit.Connect()
	if err != nil {
		return err
	}
	step := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	step("%s: %s", rows[i].name, rows[i].about)
	figures, err := rows[i].measure(ctx, cluster, step)
	if err != nil {
		return fmt.Errorf("row %s: %w", rows[i].name, err)
	}
	for _, f := range figures {
		fmt.Println(rows[i].name, f)
	}
	return nil
}

// String is a figure's line.
func (f figure) String() string {
	line, value, format := fmt.Sprintf("%s: ours %.4g %s", f.name, f.ours, f.unit), f.ours, "%s, goal <= %.4g, %s"
	if f.against != "" {
		value, format = f.ours/f.theirs, "%s, goal <= %.2f, %s"
		line = fmt.Sprintf("%s: ours %.1f %s, %s %.1f %s, ratio %.2f", f.name, f.ours, f.unit, f.against, f.theirs, f.unit, value)
	}
	switch {
	case f.free:
		return line
	case value > f.goal:
		return fmt.Sprintf(format, line, f.goal, "not ok")
	default:
		return fmt.Sprintf(format, line, f.goal, "ok")
	}
}

func names() string {
	var all []string
	for _, r := range rows {
		all = append(all, r.name)
	}
	return strings.Join(all, ", ")
}

// median of an odd number of values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
