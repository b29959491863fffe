// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/yaml"
)

// roleFiles are what the operator's ServiceAccount is bound to, in the order of the digest (hack/verify-role.sh has it too).
var roleFiles = []string{
	"../../../config/rbac/role.yaml",
	"../../../config/rbac/leader_election_role.yaml",
	"../../../config/rbac/adapter_aggregate_role.yaml",
}

// aggregateRole collects what prometheus-adapter may list, from the roles of others.
const aggregateRole = "metricspipeline-prometheus-adapter-aggregate"

// role is a ClusterRole, or a Role, which has a namespace.
type role struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Rules []rbacv1.PolicyRule `json:"rules"`
}

// permission is the smallest thing that a role can grant.
type permission struct {
	role, namespace                   string
	group, resource, objectName, verb string
	nonResourceURL                    string
}

// String names the permission, and the subtest that takes it away.
func (p permission) String() string {
	place := p.role
	if p.namespace != "" {
		place += " in " + p.namespace
	}
	if p.nonResourceURL != "" {
		return fmt.Sprintf("%s: %s %s", place, p.verb, p.nonResourceURL)
	}
	resource := p.resource
	if p.group != "" {
		resource += "." + p.group
	}
	if p.objectName != "" {
		resource += " " + p.objectName
	}
	return fmt.Sprintf("%s: %s %s", place, p.verb, resource)
}

// covers is true when a request may need the permission.
func (p permission) covers(sent *request.RequestInfo) bool {
	if !sent.IsResourceRequest {
		return p.nonResourceURL == sent.Path && p.verb == sent.Verb
	}
	resource := sent.Resource
	if sent.Subresource != "" {
		resource += "/" + sent.Subresource
	}
	verb := p.verb == sent.Verb || p.verb == "create" && sent.Verb == "patch" // A server-side apply may create.
	return p.group == sent.APIGroup && (p.resource == resource || p.resource == "*") && verb &&
		(p.namespace == "" || p.namespace == sent.Namespace) && (p.objectName == "" || p.objectName == sent.Name)
}

// readRoles returns the roles of the files, and a digest of these.
func readRoles() (roles []role, digest string, err error) {
	hash := sha256.New()
	for _, file := range roleFiles {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		hash.Write(content)
		for _, document := range bytes.Split(content, []byte("\n---\n")) {
			var r role
			if err := yaml.Unmarshal(document, &r); err != nil {
				return nil, "", fmt.Errorf("%s: %w", file, err)
			}
			if strings.HasSuffix(r.Kind, "Role") {
				roles = append(roles, r)
			}
		}
	}
	return roles, hex.EncodeToString(hash.Sum(nil)), nil
}

// permissions returns each one that a role grants, in the order of its rules.
func (r role) permissions() []permission {
	var all []permission
	for _, rule := range r.Rules {
		for _, single := range split(rule) {
			p := permission{role: r.Metadata.Name, namespace: r.Metadata.Namespace, verb: single.Verbs[0]}
			if len(single.NonResourceURLs) > 0 {
				p.nonResourceURL = single.NonResourceURLs[0]
			} else {
				p.group, p.resource = single.APIGroups[0], single.Resources[0]
			}
			if len(single.ResourceNames) > 0 {
				p.objectName = single.ResourceNames[0]
			}
			all = append(all, p)
		}
	}
	return all
}

// ofAnyName is the permission without a name.
func (p permission) ofAnyName() permission {
	p.objectName = ""
	return p
}

// beside is the same permission about a neighbor, which a thief would rather have.
func (p permission) beside() permission {
	victims := map[string]string{"apiservices": "v1.apps", "clusterroles": "cluster-admin", "clusterrolebindings": "cluster-admin"}
	p.objectName = cmp.Or(victims[p.resource], p.objectName+"-beside")
	return p
}

// grouped returns the permissions of a role; those that differ by name alone are one group, in the order of the first.
func (r role) grouped() [][]permission {
	var groups [][]permission
	at := map[permission]int{}
	for _, p := range r.permissions() {
		i, known := at[p.ofAnyName()]
		if !known {
			i = len(groups)
			at[p.ofAnyName()] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], p)
	}
	return groups
}

// split returns rules with one entry in each field, which together grant what the rule does.
func split(rule rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var single []rbacv1.PolicyRule
	for _, verb := range rule.Verbs {
		for _, url := range rule.NonResourceURLs {
			single = append(single, rbacv1.PolicyRule{NonResourceURLs: []string{url}, Verbs: []string{verb}})
		}
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				one := rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}}
				if len(rule.ResourceNames) == 0 {
					single = append(single, one)
				}
				for _, name := range rule.ResourceNames {
					named := one
					named.ResourceNames = []string{name}
					single = append(single, named)
				}
			}
		}
	}
	return single
}

// without returns the rules of a role that grant all but the permissions.
func (r role) without(taken ...permission) []rbacv1.PolicyRule {
	var kept []rbacv1.PolicyRule
	for _, rule := range r.Rules {
		kept = append(kept, split(rule)...)
	}
	return slices.DeleteFunc(kept, func(rule rbacv1.PolicyRule) bool {
		single := role{Metadata: r.Metadata, Rules: []rbacv1.PolicyRule{rule}}.permissions()
		return slices.Contains(taken, single[0])
	})
}
