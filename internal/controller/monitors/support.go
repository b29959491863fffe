// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"fmt"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/scrape"
)

// limits of monitors that came with a version of prometheus-operator, by the field of the monitor, and how to leave them out.
var limits = []struct {
	field, spec string
	omit        func(*scrape.Config)
}{
	{"spec.bodySizeLimit", "bodySize", func(c *scrape.Config) { c.BodySizeLimit = "" }},
	{"spec.targetLimit", "targets", func(c *scrape.Config) { c.TargetLimit = 0 }},
	{"spec.keepDroppedTargets", "droppedTargets", func(c *scrape.Config) { c.KeepDroppedTargets = 0 }},
}

// compares is the field whose action keepequal compares two labels of a target, by the CRD.
var compares = map[string]string{
	kinds.ServiceMonitorCRD: "spec.endpoints[].relabelings[].action=keepequal",
	kinds.PodMonitorCRD:     "spec.podMetricsEndpoints[].relabelings[].action=keepequal",
}

// support leaves out of the monitors what the installed CRDs do not define, and returns what that is. Monitors are left as they are
// where it is what they cannot do without.
func (r *Reconciler) support(ctx context.Context, s *settings, served cluster.Served) (string, error) {
	omitted := map[string]bool{}
	for crd, comparison := range compares {
		fields := []string{comparison}
		for _, limit := range limits {
			fields = append(fields, limit.field)
		}
		defined, err := r.schemas.Define(ctx, served, crd, fields...)
		if err != nil {
			return "", err //nolint:wrapcheck // it says what was read
		}
		if !defined[comparison] {
			s.keep(v1alpha1.ReasonCRDsOutdated, fmt.Sprintf("The CRD %s does not know the relabeling action keepequal, which keeps "+
				"Prometheus from addresses that are not an app's; upgrade prometheus-operator and its CRDs to 0.64 or newer.", crd))
			return "", nil
		}
		for _, limit := range limits {
			omitted[limit.field] = omitted[limit.field] || !defined[limit.field]
		}
	}
	var names []string
	for _, limit := range limits {
		if omitted[limit.field] {
			limit.omit(&s.config)
			names = append(names, limit.spec)
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return fmt.Sprintf("The installed CRDs of prometheus-operator are too old for spec.scrape.limits.%s, without effect until they are "+
		"upgraded.", strings.Join(names, ", ")), nil
}
