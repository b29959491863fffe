// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// right is one permission; name is "" for every object of the resource.
type right struct{ verb, group, resource, name string }

// rights of an account: cluster are those in the whole cluster, own those in the namespace of the operator.
type rights struct{ cluster, own map[right]bool }

func atoms(into map[right]bool, rules []rbacv1.PolicyRule) {
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, url := range rule.NonResourceURLs {
				into[right{verb: verb, resource: url}] = true
			}
			objects := rule.ResourceNames
			if len(objects) == 0 {
				objects = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, object := range objects {
						into[right{verb, group, resource, object}] = true
					}
				}
			}
		}
	}
}

// installed returns what config/default grants to an account.
func installed(t *testing.T, account string) rights {
	t.Helper()
	tree, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	granted := rights{map[right]bool{}, map[right]bool{}}
	permissions, err := tree.clusterPermissions()
	if err != nil {
		t.Fatal(err)
	}
	for _, permission := range permissions {
		if permission.ServiceAccountName == account {
			atoms(granted.cluster, permission.Rules)
		}
	}
	for _, object := range tree.objects {
		// Every Role of config/default is bound to the operator.
		if object.GetKind() == "Role" && account == tree.account() {
			var role rbacv1.Role
			convert(t, object.Object, &role)
			atoms(granted.own, role.Rules)
		}
	}
	return granted
}

func convert(t *testing.T, object map[string]any, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, into); err != nil {
		t.Fatal(err)
	}
}

// bundled returns what a bundle grants to each account.
func bundled(t *testing.T, bundle *manifests.Bundle) map[string]rights {
	t.Helper()
	granted := map[string]rights{}
	of := func(account string) rights {
		if _, ok := granted[account]; !ok {
			granted[account] = rights{map[right]bool{}, map[right]bool{}}
		}
		return granted[account]
	}
	strategy := bundle.CSV.Spec.InstallStrategy.StrategySpec
	for _, permission := range strategy.ClusterPermissions {
		atoms(of(permission.ServiceAccountName).cluster, permission.Rules)
	}
	// An OperatorGroup that selects all namespaces makes these cluster-wide.
	for _, permission := range strategy.Permissions {
		atoms(of(permission.ServiceAccountName).cluster, permission.Rules)
	}
	roles := map[string][]rbacv1.PolicyRule{}
	for _, object := range bundle.Objects {
		if object.GetKind() == "Role" {
			var role rbacv1.Role
			convert(t, object.Object, &role)
			roles[role.Name] = role.Rules
		}
	}
	for _, object := range bundle.Objects {
		switch object.GetKind() {
		case "RoleBinding":
			var binding rbacv1.RoleBinding
			convert(t, object.Object, &binding)
			for _, subject := range binding.Subjects {
				if subject.Namespace != "" || subject.Kind != rbacv1.ServiceAccountKind {
					t.Errorf("RoleBinding %s: subject %v, want a ServiceAccount without a namespace", binding.Name, subject)
				}
				if binding.RoleRef.Kind != "Role" || roles[binding.RoleRef.Name] == nil {
					t.Errorf("RoleBinding %s refers to %v, which is not in the bundle", binding.Name, binding.RoleRef)
				}
				atoms(of(subject.Name).own, roles[binding.RoleRef.Name])
			}
		case "ClusterRoleBinding":
			t.Errorf("ClusterRoleBinding %s: it would have to name a namespace", object.GetName())
		}
	}
	return granted
}

// TestRights: a bundle grants no more than config/default does, and everything in the operator's own namespace only where that does.
func TestRights(t *testing.T) {
	for name, folder := range bundles(t) {
		t.Run(name, func(t *testing.T) {
			if name == "release v0.1.0" {
				return // Its rights are those of its own config/, which TestNoSecrets bounds.
			}
			for account, granted := range bundled(t, load(t, folder)) {
				want := installed(t, account)
				if len(want.cluster) == 0 {
					t.Errorf("config/default has no account %s", account)
				}
				for r := range granted.cluster {
					if !want.cluster[r] {
						t.Errorf("%s has %+v in the whole cluster, which config/default does not grant", account, r)
					}
				}
				for r := range granted.own {
					if !want.own[r] {
						t.Errorf("%s has %+v in its namespace, which config/default does not grant", account, r)
					}
				}
				if len(granted.cluster) != len(want.cluster) || len(granted.own) != len(want.own) {
					t.Errorf("%s has %d and %d rights, of config/default %d and %d: it would not work", account,
						len(granted.cluster), len(granted.own), len(want.cluster), len(want.own))
				}
			}
		})
	}
}

// TestNoSecrets: whatever the OperatorGroup selects, no account can read a Secret outside of the operator's namespace.
func TestNoSecrets(t *testing.T) {
	for name, folder := range bundles(t) {
		bundle := load(t, folder)
		if n := len(bundle.CSV.Spec.InstallStrategy.StrategySpec.Permissions); n > 0 {
			t.Errorf("%s: the bundle has %d permissions, which an OperatorGroup can make cluster-wide", name, n)
		}
		everywhere := map[right]bool{}
		for _, granted := range bundled(t, bundle) {
			for r := range granted.cluster {
				everywhere[r] = true
			}
		}
		for _, object := range bundle.Objects {
			// Also those that are bound to nobody: an upgrade or a user could bind them.
			if object.GetKind() == "ClusterRole" {
				var role rbacv1.ClusterRole
				convert(t, object.Object, &role)
				atoms(everywhere, role.Rules)
			}
		}
		for r := range everywhere {
			if slices.Contains([]string{"", "*"}, r.group) && slices.Contains([]string{"secrets", "*"}, r.resource) {
				t.Errorf("%s: %+v in the whole cluster", name, r)
			}
			if slices.Contains([]string{"escalate", "impersonate", "*"}, r.verb) {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}
