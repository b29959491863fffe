// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	monitoringModule = "github.com/prometheus-operator/prometheus-operator"
	monitoringEnv    = "METRICSPIPELINE_ENVTEST_MONITORING_CRDS"
)

var (
	// monitoringPin is the folder whose go.mod pins monitoringModule.
	monitoringPin = inProject("test/cluster/components/shared")

	// PipelineCRD is the file of our own CRD.
	PipelineCRD = inProject("config/crd/bases/metricspipeline.io_metricspipelines.yaml")
)

// inProject returns the path of a file of the project: packages in several folders use the harness. The project's root is
// the first folder on the way up that has a go.mod.
func inProject(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	for root := dir; root != filepath.Dir(root); root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return filepath.Join(root, path)
		}
	}
	return path
}

// PrometheusCRD is a file of prometheus-operator's CRDs, which are known after FindMonitoringCRDs.
func PrometheusCRD() string { return monitoringCRD("prometheuses") }

// PrometheusAgentCRD is described at PrometheusCRD.
func PrometheusAgentCRD() string { return monitoringCRD("prometheusagents") }

// ServiceMonitorCRD is described at PrometheusCRD.
func ServiceMonitorCRD() string { return monitoringCRD("servicemonitors") }

// PodMonitorCRD is described at PrometheusCRD.
func PodMonitorCRD() string { return monitoringCRD("podmonitors") }

// PrometheusRuleCRD is described at PrometheusCRD.
func PrometheusRuleCRD() string { return monitoringCRD("prometheusrules") }

// MonitoringCRDs are the five.
func MonitoringCRDs() []string {
	return []string{PrometheusCRD(), PrometheusAgentCRD(), ServiceMonitorCRD(), PodMonitorCRD(), PrometheusRuleCRD()}
}

func monitoringCRD(plural string) string {
	return filepath.Join(os.Getenv(monitoringEnv), "monitoring.coreos.com_"+plural+".yaml")
}

// FindMonitoringCRDs looks up the CRDs of prometheus-operator in the module cache, and fetches the module that the test
// cluster pins if it is not there. The folder is handed to the isolated process, which has no network, by its environment.
func FindMonitoringCRDs() error {
	dir, err := moduleDir(monitoringPin, monitoringModule)
	if err != nil {
		return err
	}
	return os.Setenv(monitoringEnv, filepath.Join(dir, "example", "prometheus-operator-crd"))
}

// moduleDir returns the folder of a module in the version that the go.mod in the folder pin demands.
func moduleDir(pin, path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	cmd.Dir = pin
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if parseErr := json.Unmarshal(out, &module); err != nil || parseErr != nil || module.Error != "" {
		return "", fmt.Errorf("finding %s, which brings CRDs: `go mod download` in %s: %w %s",
			path, pin, errors.Join(err, parseErr), module.Error)
	}
	return module.Dir, nil
}

// InstallCRD creates the CRDs of a file and waits until they are served.
func (c *Cluster) InstallCRD(ctx context.Context, file string) error {
	crds, err := readCRDs(file)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := c.Client.Create(ctx, crd); err != nil {
			return fmt.Errorf("creating the CRD of %s: %w", file, err)
		}
		if err := c.waitEstablished(ctx, crd); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) waitEstablished(ctx context.Context, crd *apiextv1.CustomResourceDefinition) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(crd), crd); err != nil {
			return false, err
		}
		return slices.ContainsFunc(crd.Status.Conditions, func(condition apiextv1.CustomResourceDefinitionCondition) bool {
			return condition.Type == apiextv1.Established && condition.Status == apiextv1.ConditionTrue
		}), nil
	})
	if err != nil {
		return fmt.Errorf("waiting until CRD %s is established: %w", crd.Name, err)
	}
	return nil
}

// RemoveCRD deletes the CRDs of a file with all their objects, and waits until they are deleted.
func (c *Cluster) RemoveCRD(ctx context.Context, file string) error {
	crds, err := readCRDs(file)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := c.removeCRD(ctx, crd); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) removeCRD(ctx context.Context, crd *apiextv1.CustomResourceDefinition) error {
	if err := c.Client.Delete(ctx, crd); err != nil {
		return client.IgnoreNotFound(err)
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(crd), crd)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// readCRDs reads a file of one CRD or several. It leaves out the descriptions of fields, which are most of the CRDs of others: a good part
// of what the API server works in these tests is to read, write and publish them.
func readCRDs(file string) ([]*apiextv1.CustomResourceDefinition, error) {
	content, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	var crds []*apiextv1.CustomResourceDefinition
	for documents := utilyaml.NewYAMLOrJSONDecoder(content, 4096); ; {
		crd := &apiextv1.CustomResourceDefinition{}
		if err := documents.Decode(crd); errors.Is(err, io.EOF) {
			return crds, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the CRDs of %s: %w", file, err)
		}
		if crd.Name != "" { // What stands before the first --- is an empty document.
			for _, version := range crd.Spec.Versions {
				withoutDescriptions(version.Schema.OpenAPIV3Schema)
			}
			crds = append(crds, crd)
		}
	}
}

func withoutDescriptions(schema *apiextv1.JSONSchemaProps) {
	schema.Description = ""
	for name, property := range schema.Properties {
		withoutDescriptions(&property)
		schema.Properties[name] = property
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		withoutDescriptions(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		withoutDescriptions(schema.AdditionalProperties.Schema)
	}
}
