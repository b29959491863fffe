// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command dashboard writes the dashboard for Grafana, as JSON. See make generate.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/metricspipeline/operator/hack/dashboard/panels"
)

func main() {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(panels.Dashboard()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
