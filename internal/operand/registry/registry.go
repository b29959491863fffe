// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package registry lists the operands. A new one has a folder beside this one and in the assets, a type in the API, and a line
// here; nothing else names it.
package registry

import (
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/managedprometheus"
	"github.com/metricspipeline/operator/internal/operand/metricsserver"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
	"github.com/metricspipeline/operator/internal/operand/selfmonitoring"
)

// Operands returns them in the order in which they are deployed.
func Operands() []operand.Operand {
	return []operand.Operand{metricsserver.Operand{}, managedprometheus.Operand{}, prometheusadapter.New(), selfmonitoring.Operand{}}
}
