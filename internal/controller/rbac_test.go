// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/certs/provider"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/registry"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// anyName are the resources that the operator may write under any name, by why.
var anyName = map[string]string{
	"events":               "Kubernetes makes up the names",
	"replicasets":          "Kubernetes makes up the names",
	"podmonitors":          "there is one for each namespace, or app",
	"servicemonitors":      "there is one for each namespace, or app",
	"tokenreviews":         "they have no names",
	"subjectaccessreviews": "they have no names",
}

// TestRoleNames: the operator may write every object that it manages by its name, and none beside them.
func TestRoleNames(t *testing.T) {
	content, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	writes := sets.New("create", "update", "patch", "delete", "deletecollection")
	may := map[string]sets.Set[string]{}
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		role := rbacv1.ClusterRole{} // A Role has the same fields.
		if err := yaml.Unmarshal(document, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if !writes.HasAny(rule.Verbs...) {
				continue
			}
			for _, resource := range rule.Resources {
				if anyName[resource] != "" {
					continue
				}
				if len(rule.ResourceNames) == 0 {
					t.Errorf("%q of %s is limited to no name", rule.Verbs, resource)
				}
				if may[resource] == nil {
					may[resource] = sets.New[string]()
				}
				may[resource].Insert(rule.ResourceNames...)
			}
		}
	}
	if diff := gocmp.Diff(managedNames(t), may); diff != "" {
		t.Errorf("names that it may write (-managed +role):\n%s", diff)
	}
}

// managedNames returns the names of everything that the operator writes, by resource.
func managedNames(t *testing.T) map[string]sets.Set[string] {
	t.Helper()
	managed := map[string]sets.Set[string]{}
	add := func(resource string, names ...string) {
		if anyName[resource] != "" {
			return
		}
		if managed[resource] == nil {
			managed[resource] = sets.New[string]()
		}
		managed[resource].Insert(names...)
	}
	addKind := func(kind schema.GroupVersionKind, name string) {
		resource, _ := meta.UnsafeGuessKindToResource(kind)
		add(resource.Resource, name)
	}
	add("metricspipelines/status", "default")
	add("secrets", provider.AuthoritySecret, certs.AuthoritySecret)
	for _, object := range certs.AuthorityObjects("metrics", nil) {
		addKind(object.GetObjectKind().GroupVersionKind(), object.GetName())
	}
	for shard := range prometheus.Shards {
		add("configmaps", prometheus.ShardName(shard))
	}
	// It is in place of a Deployment, so the catalog has not both.
	addKind(kinds.Prometheus.GroupVersionKind, prometheus.ManagedObject)
	renderer := NewRenderer(nil)
	for _, component := range operand.Catalog(registry.Operands()) {
		component.Namespace = "metrics"
		objects, err := renderer.Build(component)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects {
			addKind(object.GroupVersionKind(), object.GetName())
		}
		add("configmaps", operand.LastGoodName(component.Name))
		add("secrets", component.Serving, certs.IssuedSecret(component.Name))
		if component.AccessSecret != "" {
			add("secrets", component.AccessSecret)
		}
		add("certificates", component.Name)
		for _, api := range component.APIs {
			add("apiservices", api.Name())
		}
	}
	return managed
}

// TestRoleIsOfTwoPlaces: the cluster and the operator's own namespace. A bundle of OLM cannot ship a Role in another one.
func TestRoleIsOfTwoPlaces(t *testing.T) {
	content, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var namespaces []string
	for line := range strings.Lines(string(content)) {
		if namespace, found := strings.CutPrefix(line, "  namespace: "); found {
			namespaces = append(namespaces, strings.TrimSpace(namespace))
		}
	}
	if want := []string{"metricspipeline-system"}; !slices.Equal(namespaces, want) {
		t.Errorf("Roles in %q, want %q", namespaces, want)
	}
}
