// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"os"
	"path/filepath"
)

// What else scales pods, by the versions that the test cluster runs.
const (
	kedaModule = "github.com/kedacore/keda/v2"
	kedaEnv    = "METRICSPIPELINE_ENVTEST_KEDA_CRDS"
	vpaModule  = "k8s.io/autoscaler/vertical-pod-autoscaler"
	vpaEnv     = "METRICSPIPELINE_ENVTEST_VPA_CRDS"
)

// FindScalerCRDs is FindMonitoringCRDs for KEDA and the VPA.
func FindScalerCRDs() error {
	keda, kedaErr := moduleDir(inProject("test/cluster/components/keda"), kedaModule)
	vpa, vpaErr := moduleDir(inProject("test/cluster/components/next"), vpaModule)
	return errors.Join(kedaErr, vpaErr,
		os.Setenv(kedaEnv, filepath.Join(keda, "config", "crd", "bases")), os.Setenv(vpaEnv, filepath.Join(vpa, "deploy")))
}

// ScaledObjectCRD is a file of KEDA's CRDs, which are known after FindScalerCRDs.
func ScaledObjectCRD() string { return filepath.Join(os.Getenv(kedaEnv), "keda.sh_scaledobjects.yaml") }

// VPACRD is the file of the VPA's CRDs, which are known after FindScalerCRDs.
func VPACRD() string { return filepath.Join(os.Getenv(vpaEnv), "vpa-v1-crd-gen.yaml") }
