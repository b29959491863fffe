// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// OperatorNamespace is where config/default puts the operator, and the operator what it deploys.
	OperatorNamespace = "metricspipeline-system"
	// OperatorName is the name of the operator's Deployment.
	OperatorName = "metricspipeline-operator"
	// OperatorReplicas is how many of it config/default runs.
	OperatorReplicas = 2
)

// OperatorImage is the image that the suite runs the operator from: IMG of the environment, as `make` sets it.
func OperatorImage() string { return environment("IMG", "metricspipeline.io/operator:e2e") }

func environment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// installFile is what `make build-installer` writes, and `make` for the suite, the demo and the benchmarks with their IMG.
const installFile = "dist/install.yaml"

// installed are the objects of the file that the operator is installed from. An error says when it is not there, or is for another
// image than the one under test.
func (c *Cluster) installed() ([]client.Object, error) {
	file, err := os.Open(filepath.Join(c.Root, installFile))
	if err != nil {
		return nil, fmt.Errorf("read what to install: %w; run make build-installer IMG=%s", err, OperatorImage())
	}
	defer file.Close()
	var objects []client.Object
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", installFile, err)
		}
		if object.GetKind() == "Deployment" {
			if err := hasImage(object, OperatorImage()); err != nil {
				return nil, err
			}
		}
		objects = append(objects, object)
	}
}

// hasImage says when the Deployment is not for that image: the file is of an earlier build.
func hasImage(object *unstructured.Unstructured, image string) error {
	deployment := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment); err != nil {
		return fmt.Errorf("read the Deployment %s of %s: %w", object.GetName(), installFile, err)
	}
	for _, container := range deployment.Spec.Template.Spec.Containers {
		if container.Image != image {
			return fmt.Errorf("%s is for the image %s, not %s: run make build-installer IMG=%s", installFile, container.Image, image, image)
		}
	}
	return nil
}

// InstallOperator applies dist/install.yaml as a user does and waits until the operator is ready. The test cluster also gets a
// NetworkPolicy under which nothing works but what other policies allow.
func (c *Cluster) InstallOperator(ctx context.Context) error {
	objects, err := c.installed()
	if err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "apply", "--server-side", "-f", installFile); err != nil {
		return err
	}
	if HasTestCluster() { // Another one may have DNS on a port that our policies do not list.
		if err := c.Apply(ctx, denyAll()); err != nil {
			return err
		}
	}
	for _, object := range objects {
		if object.GetObjectKind().GroupVersionKind().Kind != "CustomResourceDefinition" {
			continue
		}
		err := Await(ctx, c, &apiextv1.CustomResourceDefinitionList{}, client.ObjectKeyFromObject(object), isEstablished)
		if err != nil {
			return fmt.Errorf("wait for the CustomResourceDefinition %s: %w", object.GetName(), err)
		}
	}
	key := client.ObjectKey{Namespace: OperatorNamespace, Name: OperatorName}
	if err := Await(ctx, c, &appsv1.DeploymentList{}, key, RolledOut); err != nil {
		return fmt.Errorf("wait for the operator, image %s: %w", OperatorImage(), err)
	}
	return nil
}

// UninstallOperator deletes dist/install.yaml as a user does, the namespace and the CustomResourceDefinition included. It is an
// error when an object with the label of the installation is left.
func (c *Cluster) UninstallOperator(ctx context.Context) error {
	if _, err := c.Kubectl(ctx, "delete", "--ignore-not-found", "-f", installFile); err != nil {
		return err
	}
	left, err := c.Labeled(ctx, client.MatchingLabels{"app.kubernetes.io/part-of": "metricspipeline"}, true)
	if err != nil {
		return fmt.Errorf("look for what is left of the operator: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("kubectl delete -f %s left %s", installFile, strings.Join(Names(left), ", "))
	}
	return nil
}

// DeleteOperatorRoles takes the operator's rights away and leaves it running.
func (c *Cluster) DeleteOperatorRoles(ctx context.Context) error {
	objects, err := c.installed()
	if err != nil {
		return err
	}
	return c.Delete(ctx, slices.DeleteFunc(objects, func(object client.Object) bool {
		return object.GetObjectKind().GroupVersionKind().Group != rbacv1.GroupName
	})...)
}

func isEstablished(crd *apiextv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(crd.Status.Conditions, func(condition apiextv1.CustomResourceDefinitionCondition) bool {
		return condition.Type == apiextv1.Established && condition.Status == apiextv1.ConditionTrue
	})
}

// RolledOut is true of a Deployment that runs as specified: every pod is new and available, no old one is left.
func RolledOut(deployment *appsv1.Deployment) bool {
	status := deployment.Status
	return status.ObservedGeneration == deployment.Generation && deployment.Spec.Replicas != nil &&
		status.UpdatedReplicas == *deployment.Spec.Replicas && status.AvailableReplicas == *deployment.Spec.Replicas &&
		status.Replicas == *deployment.Spec.Replicas
}
