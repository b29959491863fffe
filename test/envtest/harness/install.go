// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/metricspipeline/operator/test/kustomization"
)

const (
	// OperatorNamespace and operatorAccount are those of config/.
	OperatorNamespace = "metricspipeline-system"
	operatorAccount   = "metricspipeline-operator"
	// OperatorUser is that account as the API server knows it.
	OperatorUser = "system:serviceaccount:" + OperatorNamespace + ":" + operatorAccount
)

var installFolder = inProject("config/default")

// Install applies config/default as `make deploy` does: the CRD, the operator's namespace, account, roles and Deployment.
// The Deployment stays without pods, its work is done by World.Start.
func (c *Cluster) Install(ctx context.Context) error {
	warnings := &warningRecorder{}
	config := rest.CopyConfig(c.Config)
	config.WarningHandler = warnings
	installer, err := client.New(config, client.Options{Scheme: Scheme})
	if err != nil {
		return err
	}
	objects, err := Installation()
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := installer.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl")); err != nil {
			return fmt.Errorf("applying %s of %s: %w", Identity(object), installFolder, err)
		}
	}
	crds, err := readCRDs(PipelineCRD)
	if err != nil {
		return err
	}
	c.InstallWarnings = warnings.all()
	return c.waitEstablished(ctx, crds[0])
}

// Installation returns the objects of config/default, in the order in which they are applied.
func Installation() ([]*unstructured.Unstructured, error) { return kustomization.Build(installFolder) }

// operatorIdentity is the operator's ServiceAccount, with the rights that Install gave it and no others.
var operatorIdentity = envtest.User{
	Name:   OperatorUser,
	Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + OperatorNamespace},
}

// OperatorConfig returns the configuration of a client that is the operator.
func (c *Cluster) OperatorConfig() (*rest.Config, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.operator != nil {
		return rest.CopyConfig(c.operator), nil
	}
	user, err := c.environment.AddUser(operatorIdentity, nil)
	if err != nil {
		return nil, fmt.Errorf("making the operator's credentials: %w", err)
	}
	c.operator = user.Config()
	c.operator.QPS = -1 // As ctrl.GetConfig does.
	return rest.CopyConfig(c.operator), nil
}

// OperatorKubeconfig is OperatorConfig for a program.
func (c *Cluster) OperatorKubeconfig() ([]byte, error) {
	user, err := c.environment.AddUser(operatorIdentity, nil)
	if err != nil {
		return nil, fmt.Errorf("making the operator's credentials: %w", err)
	}
	return user.KubeConfig()
}

// warningRecorder keeps the warnings in the answers of the API server.
type warningRecorder struct {
	mutex    sync.Mutex
	warnings []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (r *warningRecorder) HandleWarningHeader(_ int, _, text string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.warnings = append(r.warnings, text)
}

func (r *warningRecorder) all() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.warnings)
}
