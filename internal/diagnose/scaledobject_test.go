// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package diagnose

import "github.com/metricspipeline/operator/api/v1alpha1"

// withoutHPACase is a ScaledObject of which there is no HPA.
type withoutHPACase struct {
	name   string
	object ScaledObject
	reason string
}

// withoutHPACases have every reason why KEDA has made none. Their sentences are in testdata/findings.txt.
func withoutHPACases() []withoutHPACase {
	return []withoutHPACase{
		{"a ScaledObject whose target is missing", ScaledObject{Name: "web", ReadyFalse: true, Observed: true,
			Ready: `ScaledObject doesn't have correct scaleTargetRef specification: deployments.apps "web" not found`},
			v1alpha1.AutoscalerScaledObjectNotReady},
		{"a paused ScaledObject", ScaledObject{Name: "web", HPA: "keda-hpa-web", Paused: "autoscaling.keda.sh/paused-replicas: 3", Observed: true,
			Ready: "ScaledObject is paused"}, v1alpha1.AutoscalerScaledObjectPaused},
		{"a paused ScaledObject whose number of replicas is none", ScaledObject{Name: "web", Paused: "autoscaling.keda.sh/paused-replicas: many",
			Ready: "failed to scale target to paused replica count: failed to parse paused replica count", ReadyFalse: true, Observed: true},
			v1alpha1.AutoscalerScaledObjectNotReady},
		{"a ScaledObject that KEDA has not looked at", ScaledObject{Name: "web"}, v1alpha1.AutoscalerScaledObjectWithoutHPA},
		{"a ScaledObject whose HPA was deleted while KEDA was down", ScaledObject{Name: "web", HPA: "keda-hpa-web", Observed: true,
			Ready: "ScaledObject is defined correctly and is ready for scaling"}, v1alpha1.AutoscalerScaledObjectWithoutHPA},
	}
}
