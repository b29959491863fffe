// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// shipped are the kinds of objects that a bundle has as manifests. operator-registry admits more; of those, a ServiceMonitor or
// PrometheusRule would fail the whole installation where its CRD is missing, so the operator makes them itself.
var shipped = []string{
	"ClusterRole", "CustomResourceDefinition", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "Secret", "Service",
	"ServiceAccount",
}

// left are the kinds that no bundle can have. The namespace is the user's choice, and the quota is for a priority class that the
// Deployment of the bundle does not name.
var left = []string{"Namespace", "ResourceQuota"}

// manifests returns the objects beside the ClusterServiceVersion. None names a namespace: OLM installs them into one of the user's
// choice.
func (t *tree) manifests() ([]File, error) {
	var files []File
	for _, object := range t.objects {
		switch kind := object.GetKind(); {
		case slices.Contains(left, kind), t.byOLM(object):
			continue
		case !slices.Contains(shipped, kind):
			return nil, fmt.Errorf("config/default has the %s %s, a kind that must not be in a bundle", kind, object.GetName())
		}
		if err := t.anywhere(object); err != nil {
			return nil, err
		}
		content, err := toYAML(object.Object)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: fileName(object), Content: content})
	}
	return sorted(files), nil
}

// byOLM is true for what OLM makes itself from the ClusterServiceVersion: the operator's account, and the role that is bound to it in
// the whole cluster.
func (t *tree) byOLM(object *unstructured.Unstructured) bool {
	switch object.GetKind() {
	case "ServiceAccount":
		return object.GetName() == t.account()
	case "ClusterRole":
		return slices.ContainsFunc(t.bindings, func(binding rbacv1.ClusterRoleBinding) bool {
			return binding.RoleRef.Name == object.GetName() && slices.ContainsFunc(binding.Subjects, func(subject rbacv1.Subject) bool {
				return subject.Name == t.account()
			})
		})
	}
	return false
}

// anywhere removes the namespace from an object. The subject of a RoleBinding then is the account in the binding's own namespace, which
// OLM does not write into it.
func (t *tree) anywhere(object *unstructured.Unstructured) error {
	unstructured.RemoveNestedField(object.Object, "metadata", "namespace")
	if object.GetKind() != "RoleBinding" {
		return nil
	}
	subjects, _, err := unstructured.NestedSlice(object.Object, "subjects")
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		fields, ok := subject.(map[string]any)
		if !ok || fields["kind"] != rbacv1.ServiceAccountKind || fields["namespace"] != t.namespace.Name {
			return fmt.Errorf("RoleBinding %s: the subject %v is no ServiceAccount of %s", object.GetName(), subject, t.namespace.Name)
		}
		delete(fields, "namespace")
	}
	return unstructured.SetNestedSlice(object.Object, subjects, "subjects")
}

// fileName of an object. OLM applies manifests in the order of their names: a ServiceAccount has to come before the Secret with its
// token, which kube-controller-manager deletes where the account does not exist.
func fileName(object *unstructured.Unstructured) string {
	rank := "2"
	if object.GetKind() == "ServiceAccount" {
		rank = "1"
	}
	return fmt.Sprintf("%s-%s-%s.yaml", rank, strings.ToLower(object.GetKind()), object.GetName())
}

// clusterPermissions are the rights of a namespace's accounts in the whole cluster. There are no `permissions`: OLM makes those
// cluster-wide as well where an OperatorGroup selects all namespaces, so the operator could read every Secret. The Role of its own
// namespace is a manifest.
func (t *tree) clusterPermissions() ([]v1alpha1.StrategyDeploymentPermissions, error) {
	var permissions []v1alpha1.StrategyDeploymentPermissions
	for _, binding := range t.bindings {
		role := t.clusterRoles[binding.RoleRef.Name]
		if role == nil {
			return nil, fmt.Errorf("ClusterRoleBinding %s: there is no ClusterRole %s in config/default", binding.Name, binding.RoleRef.Name)
		}
		if role.AggregationRule != nil {
			return nil, fmt.Errorf("ClusterRoleBinding %s: the rules of an aggregated ClusterRole are not known", binding.Name)
		}
		for _, subject := range binding.Subjects {
			if subject.Kind != rbacv1.ServiceAccountKind || subject.Namespace != t.namespace.Name {
				return nil, fmt.Errorf("ClusterRoleBinding %s: the subject %s %s/%s is no ServiceAccount of %s",
					binding.Name, subject.Kind, subject.Namespace, subject.Name, t.namespace.Name)
			}
			permissions = append(permissions, v1alpha1.StrategyDeploymentPermissions{ServiceAccountName: subject.Name, Rules: role.Rules})
		}
	}
	// The operator's own first.
	slices.SortStableFunc(permissions, func(a, b v1alpha1.StrategyDeploymentPermissions) int {
		if (a.ServiceAccountName == t.account()) != (b.ServiceAccountName == t.account()) {
			if a.ServiceAccountName == t.account() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.ServiceAccountName, b.ServiceAccountName)
	})
	return permissions, nil
}
