// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
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

// Kustomize builds the kustomization in a folder, as `kustomize build` does.
func Kustomize(dir string) ([]*unstructured.Unstructured, error) {
	options := krusty.MakeDefaultOptions()
	// The order is up to the kustomization, as on the command line.
	options.Reorder = krusty.ReorderOptionUnspecified
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("build the kustomization %s: %w", dir, err)
	}
	var objects []*unstructured.Unstructured
	for _, resource := range built.Resources() {
		content, err := resource.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", resource.CurId(), dir, err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(content); err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", resource.CurId(), dir, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// operatorObjects are config/default with the image under test, and a NetworkPolicy under which nothing works but what other
// policies allow, where they are enforced.
func (c *Cluster) operatorObjects() ([]client.Object, error) {
	built, err := Kustomize(filepath.Join(c.Root, "config", "default"))
	if err != nil {
		return nil, err
	}
	var objects []client.Object
	for _, object := range built {
		if object.GetKind() == "Deployment" && object.GetName() == OperatorName {
			if err := setImage(object, OperatorImage()); err != nil {
				return nil, err
			}
		}
		objects = append(objects, object)
	}
	if HasTestCluster() { // Another one may have DNS on a port that our policies do not list.
		objects = append(objects, denyAll())
	}
	return objects, nil
}

// setImage gives the only container of a Deployment an image, which is used from the node when it is there.
func setImage(deployment *unstructured.Unstructured, image string) error {
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		return fmt.Errorf("the Deployment %s has %d containers, want the operator's alone: %w", deployment.GetName(), len(containers), err)
	}
	container, ok := containers[0].(map[string]any)
	if !ok {
		return fmt.Errorf("the Deployment %s has a container that is a %T", deployment.GetName(), containers[0])
	}
	container["image"] = image
	container["imagePullPolicy"] = string(corev1.PullIfNotPresent)
	return unstructured.SetNestedSlice(deployment.Object, containers, "spec", "template", "spec", "containers")
}

// InstallOperator applies config/default and waits until the operator is ready.
func (c *Cluster) InstallOperator(ctx context.Context) error {
	objects, err := c.operatorObjects()
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, objects...); err != nil {
		return err
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

// UninstallOperator removes what InstallOperator applied, the namespace and the CustomResourceDefinition included.
func (c *Cluster) UninstallOperator(ctx context.Context) error {
	objects, err := c.operatorObjects()
	if err != nil {
		return err
	}
	slices.Reverse(objects)
	return c.Delete(ctx, objects...)
}

// DeleteOperatorRoles takes the operator's rights away and leaves it running.
func (c *Cluster) DeleteOperatorRoles(ctx context.Context) error {
	objects, err := c.operatorObjects()
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
